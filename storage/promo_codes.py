"""Promo codes: a use is held for whoever gives one, and taken for good when their registration is complete.

Every count is made while the code's own row is locked, so a code with N uses gives exactly N, however many want one.
What is held and not taken is free again when the hold ends, with the registration at the latest. Refused codes are
counted per person in the database, so that nobody learns codes by trying, and no restart helps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from storage.database import Database
from storage.errors import (
    Limit,
    LimitReached,
    PromoNotNow,
    PromoTooLate,
    PromoUnknown,
    PromoUsedBefore,
    PromoUsedUp,
    Refusal,
)
from storage.keys import Keys
from storage.ledger import hmac_is, opens_at, under
from storage.limits import Limits
from storage.marks import mark, mark_is, marks
from storage.models import Account, AccountStatus, UpdateRef
from storage.partner_tables import promo_codes, promo_uses
from storage.records import hold
from storage.rows import change, insert, insert_unless_there
from storage.statements import Connection, Statement
from storage.tables import LookupKind, accounts, lookups

FORM = re.compile("[A-Za-z0-9_-]{1,20}")
"""What a code may be, so that it fits a link beside a campaign's; small letters mean the capital ones."""

_code_is = promo_codes.c.code == sa.bindparam("promo")
_use_of_code = promo_uses.c.code == sa.bindparam("promo")
_is_held = promo_uses.c.used_at.is_(None)
_LOCK = Statement(sa.select(promo_codes).where(_code_is).with_for_update())
_HELD_BY_OTHERS = Statement(
    sa.select(sa.func.count().label("n"))
    .select_from(promo_uses)
    .where(_use_of_code, _is_held, promo_uses.c.held_until > sa.bindparam("moment"))
    .where(sa.not_(mark_is(promo_uses.c.person, "person")))
)
# Of one person, and of whoever proved the same number before.
_USED_BY = Statement(
    sa.select(sa.func.count().label("n"))
    .select_from(promo_uses)
    .where(_use_of_code, promo_uses.c.used_at.is_not(None))
    .where(sa.or_(mark_is(promo_uses.c.person, "person"), mark_is(promo_uses.c.number, "number")))
)
_USED_SINCE = Statement(
    sa.select(promo_uses.c.id).where(
        mark_is(promo_uses.c.person, "person"), _use_of_code, promo_uses.c.used_at >= sa.bindparam("since")
    )
)
_HOLDS = Statement(
    sa.select(promo_uses.c.id, promo_uses.c.code).where(mark_is(promo_uses.c.person, "person"), _is_held)
)
_DROP = Statement(sa.delete(promo_uses).where(promo_uses.c.id == sa.bindparam("use")))
_DROP_LAPSED = Statement(
    sa.delete(promo_uses).where(_use_of_code, _is_held, promo_uses.c.held_until <= sa.bindparam("moment"))
)
_COUNT_USE = Statement(sa.update(promo_codes).where(_code_is).values(used=promo_codes.c.used + 1))
_REFUSED = Statement(
    sa.select(lookups.c.at)
    .where(hmac_is(lookups.c.person_hmac, "person"), lookups.c.at > sa.bindparam("since"))
    .where(lookups.c.kind == sa.literal_column(f"'{LookupKind.PROMO.value}'"))
    .order_by(lookups.c.at.desc())
)
_held = sa.select(promo_uses.c.code).where(
    mark_is(promo_uses.c.person, "promised"), _is_held, promo_uses.c.held_until > sa.bindparam("created_at_promo")
)
HELD_PROMO = _held.limit(sa.literal_column("1")).scalar_subquery()
"""The code that is held for whoever gets an account: see `promised`."""
_PROLONG = Statement(
    sa.update(promo_uses).where(mark_is(promo_uses.c.person, "person"), _is_held), sets=("held_until",)
)
_ALL = Statement(sa.select(promo_codes).order_by(promo_codes.c.created_at, promo_codes.c.code))


@dataclass(frozen=True)
class PromoCode:
    """A code in capitals; `max_uses` None: any number. `used`: by registrations that were completed."""

    code: str
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    max_uses: int | None = None
    per_person: int = 1
    used: int = 0
    created_at: datetime | None = None


class PromoCodes:
    """Each public method is one transaction."""

    def __init__(self, database: Database, keys: Keys, limits: Limits) -> None:
        self._database = database
        self._keys = keys
        self._limits = limits

    async def add(self, promo: PromoCode, now: datetime) -> bool:
        """Make a code, in capitals; False when there is one of that name."""

        async def work(conn: Connection) -> bool:
            row = vars(replace(promo, code=promo.code.upper(), created_at=now))
            return await insert_unless_there(conn, promo_codes, **row)

        return await self._database.write(None, work)

    async def all(self) -> tuple[PromoCode, ...]:
        """Return every code, the oldest first."""

        async def work(conn: Connection) -> tuple[PromoCode, ...]:
            return tuple(PromoCode(**row._asdict()) for row in (await conn.execute(_ALL)).all())

        return await self._database.read(work)

    async def take(self, update: UpdateRef, code: str, now: datetime) -> bool:
        """Hold a use of this code for the person, in place of any other they gave.

        Raises LimitReached (promo_guesses) before anything is looked up, PromoTooLate, PromoUnknown, PromoNotNow,
        PromoUsedUp, PromoUsedBefore. True, always: what a repeated update is answered.
        """
        promo = code.upper()

        async def work(conn: Connection) -> bool:
            account = await hold(conn, update.telegram_id)
            if account is not None and account.status is not AccountStatus.PENDING:
                raise PromoTooLate
            await self._guard(conn, update.telegram_id, now)
            refusal = await _refusal(conn, self._keys, update.telegram_id, promo, now)
            if refusal is not None:
                await self._count_refused(conn, update.telegram_id, promo, now)
                raise refusal
            until = account.expires_at if account is not None else now + self._limits.unconfirmed_lifetime
            await self._hold(conn, update.telegram_id, promo, until)
            if account is not None:
                await change(conn, accounts, account.id, promo=promo)
            return True

        return await self._database.write(update, work)

    async def _guard(self, conn: Connection, telegram_id: int, now: datetime) -> None:
        window = self._limits.promo_guesses
        person = under("person", self._keys.persons(telegram_id))
        refused = (await conn.execute(_REFUSED, since=now - window.period, **person)).scalars()
        free_at = opens_at(refused, (window,), now)
        if free_at is not None:
            raise LimitReached(Limit.PROMO_GUESSES, free_at)

    async def _count_refused(self, conn: Connection, telegram_id: int, promo: str, now: datetime) -> None:
        await insert(
            conn, lookups, id=self._database.new_id(), person_hmac=self._keys.person(telegram_id),
            kind=LookupKind.PROMO, value_hmac=self._keys.promo(promo), at=now,
        )  # fmt: skip

    async def _hold(self, conn: Connection, telegram_id: int, promo: str, until: datetime) -> None:
        for held in (await conn.execute(_HOLDS, **marks("person", self._keys.persons(telegram_id)))).all():
            await conn.execute(_DROP, use=held.id)
        person = mark(self._keys.person(telegram_id))
        await insert(conn, promo_uses, id=self._database.new_id(), code=promo, person=person, held_until=until)


def promised(keys: Keys, telegram_id: int, now: datetime) -> dict[str, Any]:
    """Return the parameters of `HELD_PROMO`."""
    return {**marks("promised", keys.persons(telegram_id)), "created_at_promo": now}


async def prolong(conn: Connection, keys: Keys, account: Account) -> None:
    """Hold what a new account's person was promised for as long as the account waits."""
    if account.promo is not None:
        persons = marks("person", keys.persons(account.telegram_id))
        await conn.execute(_PROLONG, held_until=account.expires_at, **persons)


async def redeem(conn: Connection, database: Database, keys: Keys, account: Account, now: datetime) -> str | None:
    """Take the use that is held for an account which is being confirmed; return its code, None when it is gone.

    Whose hold has ended takes a free use all the same. The code's dates are those of the moment it was given.
    """
    if account.promo is None:
        return None
    persons = marks("person", keys.persons(account.telegram_id))
    own = await conn.execute(_USED_SINCE, promo=account.promo, since=account.created_at, **persons)
    if own.first() is not None:
        # Confirmed once already, and another number had to be proven since.
        return account.promo
    locked = (await conn.execute(_LOCK, promo=account.promo)).one_or_none()
    held = [row for row in (await conn.execute(_HOLDS, **persons)).all() if row.code == account.promo]
    if locked is None or await _is_gone(conn, keys, locked, account.telegram_id, account.phone, now):
        return None
    taken = {"number": mark(keys.number(account.phone or "")), "used_at": now}
    if held:
        await change(conn, promo_uses, held[0].id, **taken)
    else:
        person = mark(keys.person(account.telegram_id))
        await insert(conn, promo_uses, id=database.new_id(), code=account.promo, person=person, held_until=now, **taken)
    await conn.execute(_COUNT_USE, promo=account.promo)
    return account.promo


async def _refusal(conn: Connection, keys: Keys, telegram_id: int, promo: str, now: datetime) -> Refusal | None:
    """Lock the code's row; tell why the person gets no use of it now, None when they do."""
    locked = (await conn.execute(_LOCK, promo=promo)).one_or_none()
    if locked is None:
        return PromoUnknown()
    begins, ends = locked.valid_from, locked.valid_until
    if (begins is not None and now < begins) or (ends is not None and now >= ends):
        return PromoNotNow()
    await conn.execute(_DROP_LAPSED, promo=promo, moment=now)
    return await _is_gone(conn, keys, locked, telegram_id, None, now)


async def _is_gone(
    conn: Connection, keys: Keys, locked: Any, telegram_id: int, number: str | None, now: datetime
) -> Refusal | None:
    """Tell why this person gets no use of the code whose row is locked; None when they do."""
    person = marks("person", keys.persons(telegram_id))
    numbers = marks("number", keys.numbers(number or ""))
    used: int = (await conn.execute(_USED_BY, promo=locked.code, **person, **numbers)).scalar_one()
    if used >= locked.per_person:
        return PromoUsedBefore()
    others: int = (await conn.execute(_HELD_BY_OTHERS, promo=locked.code, moment=now, **person)).scalar_one()
    if locked.max_uses is not None and locked.used + others >= locked.max_uses:
        return PromoUsedUp()
    return None
