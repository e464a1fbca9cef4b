"""What is counted: sends, look-ups and wrong codes over sliding windows, inside the transaction that adds to them.

The caller holds the person (and the number): so nobody else adds a row between the count and the insert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from storage.database import Database
from storage.errors import Limit, LimitReached
from storage.keys import Keys
from storage.limits import Limits, Window
from storage.models import Channel, SendEvent, SendState
from storage.rows import insert
from storage.sending import Offer
from storage.statements import Connection, Statement
from storage.tables import AttemptOutcome, LookupKind, code_attempts, lookups, sends

# What never left gives its allowance back.
_UNCOUNTED = (SendState.REFUSED, SendState.FAILED)
COUNTED = sends.c.state.not_in([sa.literal_column(f"'{state.value}'") for state in _UNCOUNTED])
_LIMIT_OF = {
    LookupKind.ADDRESS: Limit.ADDRESSES_PER_PERSON,
    LookupKind.NUMBER: Limit.NUMBERS_PER_PERSON,
}


def hmac_is(column: sa.Column[str], name: str) -> sa.ColumnElement[bool]:
    """Match the HMAC under the key in force, or under the one before it: see `under`."""
    return column.in_([sa.bindparam(name, type_=sa.Text), sa.bindparam(f"{name}_before", type_=sa.Text)])


_LOOKED_UP = Statement(
    sa.select(lookups.c.value_hmac, lookups.c.at)
    .where(hmac_is(lookups.c.person_hmac, "person"), lookups.c.kind == sa.bindparam("about"))
    .where(lookups.c.at > sa.bindparam("since"))
    .order_by(lookups.c.at.desc())
)
GUESSED_WRONG = (
    sa.select(code_attempts.c.at)
    .where(hmac_is(code_attempts.c.number_hmac, "number"), hmac_is(code_attempts.c.person_hmac, "person"))
    .where(code_attempts.c.outcome == sa.literal_column(f"'{AttemptOutcome.WRONG.value}'"))
    .order_by(code_attempts.c.at.desc())
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_GUESSED_WRONG = Statement(GUESSED_WRONG)

_STORY = Statement(
    sa.select(sends.c.at, sends.c.state, sends.c.refused_by, sends.c.channel)
    .where(hmac_is(sends.c.number_hmac, "number"), hmac_is(sends.c.person_hmac, "person"))
    .where(sends.c.at > sa.bindparam("since"))
    .order_by(sends.c.at, sends.c.code_n.nulls_last())
)

_ENTERED = Statement(
    sa.update(sends).where(
        sends.c.challenge_id == sa.bindparam("challenge"), sends.c.code_n == sa.bindparam("n"), COUNTED
    ),
    sets=("entered_at",),
)


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
        self, conn: Connection, telegram_id: int, kind: LookupKind, value: str, now: datetime
    ) -> LimitReached | None:
        """Count one look-up of an address or number; return the limit when it is one different value too many.

        A value seen within the window is free, and does not prolong its stay in it.
        """
        window = self.limits.addresses_per_person if kind is LookupKind.ADDRESS else self.limits.numbers_per_person
        same = self.keys.addresses(value) if kind is LookupKind.ADDRESS else self.keys.numbers(value)
        person = under("person", self.keys.persons(telegram_id))
        rows = (await conn.execute(_LOOKED_UP, about=kind, since=now - window.period, **person)).all()
        if any(row.value_hmac in same for row in rows):
            return None
        free_at = opens_at([row.at for row in rows], (window,), now)
        if free_at is not None:
            return LimitReached(_LIMIT_OF[kind], free_at)
        await insert(
            conn, lookups, id=self.database.new_id(), person_hmac=self.keys.person(telegram_id), kind=kind,
            value_hmac=same[0], at=now,
        )  # fmt: skip
        return None

    async def look_up_number(self, conn: Connection, to: Recipient, now: datetime) -> None:
        """Count one look-up of a number; a refused one is written down. Raises LimitReached."""
        limit = await self.look_up(conn, to.telegram_id, LookupKind.NUMBER, to.number, now)
        if limit is not None:
            await self.add_refusal(conn, to, None, Channel.SMS, limit.limit, now)
            raise limit

    async def wrong_codes(self, conn: Connection, telegram_id: int, number: str, now: datetime) -> LimitReached | None:
        """Return the limit when this person guessed wrong too often for this number, whatever the challenge."""
        whose = under("number", self.keys.numbers(number)) | under("person", self.keys.persons(telegram_id))
        newest = (await conn.execute(_GUESSED_WRONG, most=self.limits.wrong_codes.count, **whose)).scalars()
        return self.too_many_guesses(newest, now)

    def too_many_guesses(self, newest: Sequence[datetime], now: datetime) -> LimitReached | None:
        """Return the limit when these wrong guesses, the newest first, are as many as it allows."""
        free_at = opens_at(newest, (self.limits.wrong_codes,), now)
        return None if free_at is None else LimitReached(Limit.WRONG_CODES, free_at)

    async def story(self, conn: Connection, to: Recipient, since: datetime) -> tuple[SendEvent, ...]:
        """Return what became of this person's codes to this number, oldest first."""
        whose = under("number", self.keys.numbers(to.number)) | under("person", self.keys.persons(to.telegram_id))
        rows = (await conn.execute(_STORY, since=since, **whose)).all()
        return tuple(SendEvent(at, SendState(state), refused, Channel(channel)) for at, state, refused, channel in rows)

    async def add_send(
        self, conn: Connection, to: Recipient, challenge_id: UUID, code_n: int, offer: Offer, now: datetime
    ) -> UUID:
        """Add the row of one code that is to be sent, with the price of its first gateway set aside; return its id."""
        # What nobody has to send is there already.
        state = SendState.ACCEPTED if offer.channel is Channel.TEST else SendState.QUEUED
        return await self._add(
            conn, to, now, challenge_id, channel=offer.channel, code_n=code_n, state=state, gateway=offer.gateway,
            price=offer.price,
        )  # fmt: skip

    async def add_refusal(
        self, conn: Connection, to: Recipient, challenge_id: UUID | None, channel: Channel, limit: Limit, now: datetime
    ) -> None:
        """Add the row of one send that a limit forbade."""
        await self._add(conn, to, now, challenge_id, channel=channel, state=SendState.REFUSED, refused_by=limit)

    async def entered(self, conn: Connection, challenge_id: UUID, code_n: int, now: datetime) -> None:
        """Write down that this very code was typed in and was right."""
        await conn.execute(_ENTERED, challenge=challenge_id, n=code_n, entered_at=now)

    async def add_attempt(
        self, conn: Connection, to: Recipient, challenge_id: UUID, outcome: AttemptOutcome, now: datetime
    ) -> None:
        """Add the row of one compared code."""
        await insert(
            conn, code_attempts, id=self.database.new_id(), challenge_id=challenge_id,
            number_hmac=self.keys.number(to.number), person_hmac=self.keys.person(to.telegram_id), at=now,
            outcome=outcome,
        )  # fmt: skip

    async def _add(
        self, conn: Connection, to: Recipient, now: datetime, challenge_id: UUID | None, **facts: Any
    ) -> UUID:
        send_id = self.database.new_id()
        await insert(
            conn, sends, id=send_id, challenge_id=challenge_id, at=now, changed_at=now,
            number_hmac=self.keys.number(to.number), prefix_hmac=self.keys.prefix(to.number),
            person_hmac=self.keys.person(to.telegram_id), country=to.country, repeated=False, **facts,
        )  # fmt: skip
        return send_id


def under(name: str, hmacs: Sequence[str]) -> dict[str, str]:
    """Return the parameters of `_hmac_is`: one value's HMACs, under the key in force and maybe the one before it."""
    return {name: hmacs[0], f"{name}_before": hmacs[-1]}


def opens_at(moments: Sequence[datetime], windows: tuple[Window, ...], now: datetime) -> datetime | None:
    """Return when all windows let one more in; None when they do now. `moments` are newest first."""
    opens = []
    for window in windows:
        inside = [at for at in moments if at > now - window.period]
        if len(inside) >= window.count:
            opens.append(inside[window.count - 1] + window.period)
    return max(opens, default=None)
