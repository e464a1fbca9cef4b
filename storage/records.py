"""Reading an account, and holding it: the locks every write takes, in one order."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from storage.models import Account, AccountStatus, PhoneProof
from storage.partner_tables import campaigns
from storage.statements import Connection, Statement
from storage.tables import IS_ASKED, accounts, challenges

_invite = sa.select(campaigns.c.id).where(campaigns.c.inviter == accounts.c.telegram_id).scalar_subquery()
_elsewhere = {"asked_number": challenges.c.number.label("asked_number"), "invite": _invite.label("invite")}
_columns = [_elsewhere[name] if name in _elsewhere else accounts.c[name] for name in Account.__dataclass_fields__]
_account = sa.select(*_columns).outerjoin_from(
    accounts, challenges, sa.and_(challenges.c.account_id == accounts.c.id, IS_ASKED)
)
_OF_PERSON = Statement(_account.where(accounts.c.telegram_id == sa.bindparam("person")))
_WITH_ID = Statement(_account.where(accounts.c.id == sa.bindparam("account")))
_LOCK = Statement(sa.select(sa.func.pg_advisory_xact_lock(sa.bindparam("lock", type_=sa.BigInteger))))
_LOCK_ROW = Statement(
    sa.select(accounts.c.id).where(accounts.c.telegram_id == sa.bindparam("person")).with_for_update()
)


async def account_of(conn: Connection, telegram_id: int) -> Account | None:
    """Return the person's account as this transaction sees it, None when there is none."""
    return _to_account((await conn.execute(_OF_PERSON, person=telegram_id)).one_or_none())


async def account_with(conn: Connection, account_id: UUID) -> Account:
    """Return an account that is known to exist, as this transaction sees it."""
    account = _to_account((await conn.execute(_WITH_ID, account=account_id)).one_or_none())
    if account is None:
        raise LookupError("the account was held by this transaction and is gone all the same")
    return account


async def hold(
    conn: Connection, telegram_id: int, *, number: str | None = None, address: str | None = None
) -> Account | None:
    """Lock a person and everything they may win or lose, then return their account, None when there is none.

    Locks are taken in the order person, numbers, addresses, account row, always before any row is changed: so two
    people who want the same number or address queue up and never wait for each other in a circle. SQLite needs none
    of it: BEGIN IMMEDIATE lets one writer in at a time.
    """
    if not conn.is_postgresql:
        return await account_of(conn, telegram_id)
    await lock(conn, "person", str(telegram_id))
    known = await account_of(conn, telegram_id)
    numbers, addresses = {number}, {address}
    if known is not None:
        numbers |= {known.phone, known.asked_number}
        addresses |= {known.email}
    for kind, values in (("number", numbers), ("address", addresses)):
        for value in sorted(value for value in values if value is not None):
            await lock(conn, kind, value)
    # Rivals and the cleanup may have changed it until here; the next statement sees what they committed.
    await conn.execute(_LOCK_ROW, person=telegram_id)
    return await account_of(conn, telegram_id)


def _to_account(row: Any) -> Account | None:
    if row is None:
        return None
    proof = None if row.phone_proof is None else PhoneProof(row.phone_proof)
    return Account(**(row._asdict() | {"status": AccountStatus(row.status), "phone_proof": proof}))


async def lock(conn: Connection, kind: str, value: str) -> None:
    """Hold one person, number, address, range or the budget until the transaction ends (PostgreSQL)."""
    digest = hashlib.sha256(f"{kind}:{value}".encode()).digest()
    await conn.execute(_LOCK, lock=int.from_bytes(digest[:8], "big", signed=True))
