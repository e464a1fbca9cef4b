"""What is counted: sends, look-ups and wrong codes over sliding windows, inside the transaction that adds to them.

The caller holds the person (and the number): so nobody else adds a row between the count and the insert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import Database
from storage.errors import Limit, LimitReached
from storage.keys import Keys
from storage.limits import Limits, Window
from storage.models import SendState
from storage.tables import AttemptOutcome, LookupKind, code_attempts, lookups, sends

# What never left gives its allowance back.
_UNCOUNTED = (SendState.REFUSED, SendState.FAILED)
COUNTED = sends.c.state.not_in(_UNCOUNTED)
_LIMIT_OF = {
    LookupKind.ADDRESS: Limit.ADDRESSES_PER_PERSON,
    LookupKind.NUMBER: Limit.NUMBERS_PER_PERSON,
}


@dataclass(frozen=True)
class Recipient:
    """Who asks for a code, and for which number (E.164) of which country (ISO code)."""

    telegram_id: int
    number: str
    country: str


@dataclass(frozen=True)
class Ledger:
    """Counts and adds, by HMAC only."""

    database: Database
    keys: Keys
    limits: Limits

    async def look_up(
        self, conn: AsyncConnection, telegram_id: int, kind: LookupKind, value: str, now: datetime
    ) -> LimitReached | None:
        """Count one look-up of an address or number; return the limit when it is one different value too many.

        A value seen within the window is free, and does not prolong its stay in it.
        """
        window = self.limits.addresses_per_person if kind is LookupKind.ADDRESS else self.limits.numbers_per_person
        same = self.keys.addresses(value) if kind is LookupKind.ADDRESS else self.keys.numbers(value)
        recent = (
            sa.select(lookups.c.value_hmac, lookups.c.at)
            .where(
                lookups.c.person_hmac.in_(self.keys.persons(telegram_id)),
                lookups.c.kind == kind,
                lookups.c.at > now - window.period,
            )
            .order_by(lookups.c.at.desc())
        )
        rows = (await conn.execute(recent)).all()
        if any(row.value_hmac in same for row in rows):
            return None
        opens_at = _opens_at([row.at for row in rows], (window,), now)
        if opens_at is not None:
            return LimitReached(_LIMIT_OF[kind], opens_at)
        await conn.execute(
            sa.insert(lookups).values(
                id=self.database.new_id(), person_hmac=self.keys.person(telegram_id), kind=kind,
                value_hmac=same[0], at=now,
            )
        )  # fmt: skip
        return None

    async def send_refusal(self, conn: AsyncConnection, to: Recipient, now: datetime) -> LimitReached | None:
        """Return the limit that forbids a code now: too many wrong ones, or too many sends, by person, then number."""
        wrong = await self.wrong_codes(conn, to.telegram_id, to.number, now)
        if wrong is not None:
            return wrong
        person, number = self.keys.persons(to.telegram_id), self.keys.numbers(to.number)
        for limit, condition, windows in (
            (Limit.SENDS_PER_PERSON, sends.c.person_hmac.in_(person), self.limits.sends_per_person),
            (Limit.SENDS_PER_NUMBER, sends.c.number_hmac.in_(number), self.limits.sends_per_number),
        ):
            most = max(window.count for window in windows)
            newest = sa.select(sends.c.at).where(condition, COUNTED).order_by(sends.c.at.desc()).limit(most)
            opens_at = _opens_at((await conn.execute(newest)).scalars().all(), windows, now)
            if opens_at is not None:
                return LimitReached(limit, opens_at)
        return None

    async def wrong_codes(
        self, conn: AsyncConnection, telegram_id: int, number: str, now: datetime
    ) -> LimitReached | None:
        """Return the limit when this person guessed wrong too often for this number, whatever the challenge."""
        window = self.limits.wrong_codes
        newest = (
            sa.select(code_attempts.c.at)
            .where(
                code_attempts.c.number_hmac.in_(self.keys.numbers(number)),
                code_attempts.c.person_hmac.in_(self.keys.persons(telegram_id)),
                code_attempts.c.outcome == AttemptOutcome.WRONG,
            )
            .order_by(code_attempts.c.at.desc())
            .limit(window.count)
        )
        opens_at = _opens_at((await conn.execute(newest)).scalars().all(), (window,), now)
        return None if opens_at is None else LimitReached(Limit.WRONG_CODES, opens_at)

    async def add_send(
        self, conn: AsyncConnection, to: Recipient, challenge_id: UUID, code_n: int, now: datetime
    ) -> UUID:
        """Add the row of one code that is to be sent; return its id."""
        return await self._add(conn, to, now, challenge_id, code_n=code_n, state=SendState.QUEUED)

    async def add_refusal(
        self, conn: AsyncConnection, to: Recipient, challenge_id: UUID | None, limit: Limit, now: datetime
    ) -> None:
        """Add the row of one send that a limit forbade."""
        await self._add(conn, to, now, challenge_id, state=SendState.REFUSED, refused_by=limit)

    async def add_attempt(
        self, conn: AsyncConnection, to: Recipient, challenge_id: UUID, outcome: AttemptOutcome, now: datetime
    ) -> None:
        """Add the row of one compared code."""
        await conn.execute(
            sa.insert(code_attempts).values(
                id=self.database.new_id(), challenge_id=challenge_id, number_hmac=self.keys.number(to.number),
                person_hmac=self.keys.person(to.telegram_id), at=now, outcome=outcome,
            )
        )  # fmt: skip

    async def _add(
        self,
        conn: AsyncConnection,
        to: Recipient,
        now: datetime,
        challenge_id: UUID | None,
        *,
        state: SendState,
        code_n: int | None = None,
        refused_by: Limit | None = None,
    ) -> UUID:
        send_id = self.database.new_id()
        await conn.execute(
            sa.insert(sends).values(
                id=send_id, challenge_id=challenge_id, code_n=code_n, at=now, changed_at=now, channel="sms",
                number_hmac=self.keys.number(to.number), prefix_hmac=self.keys.prefix(to.number),
                person_hmac=self.keys.person(to.telegram_id), country=to.country,
                state=state, refused_by=refused_by, repeated=False,
            )
        )  # fmt: skip
        return send_id


def _opens_at(moments: Sequence[datetime], windows: tuple[Window, ...], now: datetime) -> datetime | None:
    """Return when all windows let one more in; None when they do now. `moments` are newest first."""
    opens = []
    for window in windows:
        inside = [at for at in moments if at > now - window.period]
        if len(inside) >= window.count:
            opens.append(inside[window.count - 1] + window.period)
    return max(opens, default=None)
