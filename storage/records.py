"""Reading an account, and holding it: the locks every write takes, in one order."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.models import Account, AccountStatus
from storage.tables import ASKED, accounts, challenges

_ASKED_CHALLENGE = sa.and_(challenges.c.account_id == accounts.c.id, challenges.c.state.in_(ASKED))
_ACCOUNT = sa.select(accounts, challenges.c.number.label("asked_number")).outerjoin(challenges, _ASKED_CHALLENGE)


async def account_of(conn: AsyncConnection, telegram_id: int) -> Account | None:
    """Return the person's account as this transaction sees it, None when there is none."""
    return await _one(conn, accounts.c.telegram_id == telegram_id)


async def account_with(conn: AsyncConnection, account_id: UUID) -> Account:
    """Return an account that is known to exist, as this transaction sees it."""
    account = await _one(conn, accounts.c.id == account_id)
    if account is None:
        raise LookupError("the account was held by this transaction and is gone all the same")
    return account


async def hold(
    conn: AsyncConnection, telegram_id: int, *, number: str | None = None, address: str | None = None
) -> Account | None:
    """Lock a person and everything they may win or lose, then return their account, None when there is none.

    Locks are taken in the order person, numbers, addresses, account row, always before any row is changed: so two
    people who want the same number or address queue up and never wait for each other in a circle. SQLite needs none
    of it: BEGIN IMMEDIATE lets one writer in at a time.
    """
    if conn.dialect.name != "postgresql":
        return await account_of(conn, telegram_id)
    await _lock(conn, "person", str(telegram_id))
    known = await account_of(conn, telegram_id)
    numbers, addresses = {number}, {address}
    if known is not None:
        numbers |= {known.phone, known.asked_number}
        addresses |= {known.email}
    for kind, values in (("number", numbers), ("address", addresses)):
        for value in sorted(value for value in values if value is not None):
            await _lock(conn, kind, value)
    # Rivals and the cleanup may have changed it until here; the next statement sees what they committed.
    row = sa.select(accounts.c.id).where(accounts.c.telegram_id == telegram_id).with_for_update()
    await conn.execute(row)
    return await account_of(conn, telegram_id)


async def _one(conn: AsyncConnection, condition: sa.ColumnElement[bool]) -> Account | None:
    row = (await conn.execute(_ACCOUNT.where(condition))).mappings().one_or_none()
    return None if row is None else _to_account(row)


def _to_account(row: sa.RowMapping) -> Account:
    values: dict[str, Any] = {name: row[name] for name in Account.__dataclass_fields__}
    return Account(**(values | {"status": AccountStatus(row["status"])}))


async def _lock(conn: AsyncConnection, kind: str, value: str) -> None:
    digest = hashlib.sha256(f"{kind}:{value}".encode()).digest()
    key = int.from_bytes(digest[:8], "big", signed=True)
    await conn.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.literal(key, sa.BigInteger))))
