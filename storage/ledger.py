"""What is counted: sends, look-ups and wrong codes over sliding windows, inside the transaction that adds to them.

The caller holds the person (and the number): so nobody else adds a row between the count and the insert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from storage.database import Database
from storage.errors import Limit, LimitReached
from storage.keys import Keys
from storage.limits import Limits, Window
from storage.models import SendEvent, SendState
from storage.rows import insert
from storage.statements import Connection, Statement
from storage.tables import AttemptOutcome, LookupKind, code_attempts, lookups, sends

# What never left gives its allowance back.
_UNCOUNTED = (SendState.REFUSED, SendState.FAILED)
COUNTED = sends.c.state.not_in([sa.literal_column(f"'{state.value}'") for state in _UNCOUNTED])
_LIMIT_OF = {
    LookupKind.ADDRESS: Limit.ADDRESSES_PER_PERSON,
    LookupKind.NUMBER: Limit.NUMBERS_PER_PERSON,
}


def _hmac_is(column: sa.Column[str], name: str) -> sa.ColumnElement[bool]:
    """Match the HMAC under the key in force, or under the one before it: see `_under`."""
    return column.in_([sa.bindparam(name, type_=sa.Text), sa.bindparam(f"{name}_before", type_=sa.Text)])


def _newest(column: sa.Column[str], name: str) -> Statement:
    newest = sa.select(sends.c.at).where(_hmac_is(column, name), COUNTED).order_by(sends.c.at.desc())
    return Statement(newest.limit(sa.bindparam("most", type_=sa.Integer)))


_LOOKED_UP = Statement(
    sa.select(lookups.c.value_hmac, lookups.c.at)
    .where(_hmac_is(lookups.c.person_hmac, "person"), lookups.c.kind == sa.bindparam("about"))
    .where(lookups.c.at > sa.bindparam("since"))
    .order_by(lookups.c.at.desc())
)
_SENT_TO_PERSON = _newest(sends.c.person_hmac, "person")
_SENT_TO_NUMBER = _newest(sends.c.number_hmac, "number")
_GUESSED_WRONG = Statement(
    sa.select(code_attempts.c.at)
    .where(_hmac_is(code_attempts.c.number_hmac, "number"), _hmac_is(code_attempts.c.person_hmac, "person"))
    .where(code_attempts.c.outcome == sa.literal_column(f"'{AttemptOutcome.WRONG.value}'"))
    .order_by(code_attempts.c.at.desc())
    .limit(sa.bindparam("most", type_=sa.Integer))
)

_STORY = Statement(
    sa.select(sends.c.at, sends.c.state, sends.c.refused_by)
    .where(_hmac_is(sends.c.number_hmac, "number"), _hmac_is(sends.c.person_hmac, "person"))
    .where(sends.c.at > sa.bindparam("since"))
    .order_by(sends.c.at, sends.c.code_n.nulls_last())
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
        person = _under("person", self.keys.persons(telegram_id))
        rows = (await conn.execute(_LOOKED_UP, about=kind, since=now - window.period, **person)).all()
        if any(row.value_hmac in same for row in rows):
            return None
        opens_at = _opens_at([row.at for row in rows], (window,), now)
        if opens_at is not None:
            return LimitReached(_LIMIT_OF[kind], opens_at)
        await insert(
            conn, lookups, id=self.database.new_id(), person_hmac=self.keys.person(telegram_id), kind=kind,
            value_hmac=same[0], at=now,
        )  # fmt: skip
        return None

    async def send_refusal(self, conn: Connection, to: Recipient, now: datetime) -> LimitReached | None:
        """Return the limit that forbids a code now: too many wrong ones, or too many sends, by person, then number."""
        wrong = await self.wrong_codes(conn, to.telegram_id, to.number, now)
        if wrong is not None:
            return wrong
        person = _under("person", self.keys.persons(to.telegram_id))
        number = _under("number", self.keys.numbers(to.number))
        for limit, newest, whose, windows in (
            (Limit.SENDS_PER_PERSON, _SENT_TO_PERSON, person, self.limits.sends_per_person),
            (Limit.SENDS_PER_NUMBER, _SENT_TO_NUMBER, number, self.limits.sends_per_number),
        ):
            most = max(window.count for window in windows)
            opens_at = _opens_at((await conn.execute(newest, most=most, **whose)).scalars(), windows, now)
            if opens_at is not None:
                return LimitReached(limit, opens_at)
        return None

    async def wrong_codes(self, conn: Connection, telegram_id: int, number: str, now: datetime) -> LimitReached | None:
        """Return the limit when this person guessed wrong too often for this number, whatever the challenge."""
        window = self.limits.wrong_codes
        whose = _under("number", self.keys.numbers(number)) | _under("person", self.keys.persons(telegram_id))
        newest = (await conn.execute(_GUESSED_WRONG, most=window.count, **whose)).scalars()
        opens_at = _opens_at(newest, (window,), now)
        return None if opens_at is None else LimitReached(Limit.WRONG_CODES, opens_at)

    async def story(self, conn: Connection, to: Recipient, since: datetime) -> tuple[SendEvent, ...]:
        """Return what became of this person's codes to this number, oldest first."""
        whose = _under("number", self.keys.numbers(to.number)) | _under("person", self.keys.persons(to.telegram_id))
        rows = (await conn.execute(_STORY, since=since, **whose)).all()
        return tuple(SendEvent(at, SendState(state), refused_by) for at, state, refused_by in rows)

    async def add_send(self, conn: Connection, to: Recipient, challenge_id: UUID, code_n: int, now: datetime) -> UUID:
        """Add the row of one code that is to be sent; return its id."""
        return await self._add(conn, to, now, challenge_id, code_n=code_n, state=SendState.QUEUED)

    async def add_refusal(
        self, conn: Connection, to: Recipient, challenge_id: UUID | None, limit: Limit, now: datetime
    ) -> None:
        """Add the row of one send that a limit forbade."""
        await self._add(conn, to, now, challenge_id, state=SendState.REFUSED, refused_by=limit)

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
        self,
        conn: Connection,
        to: Recipient,
        now: datetime,
        challenge_id: UUID | None,
        *,
        state: SendState,
        code_n: int | None = None,
        refused_by: Limit | None = None,
    ) -> UUID:
        send_id = self.database.new_id()
        await insert(
            conn, sends, id=send_id, challenge_id=challenge_id, code_n=code_n, at=now, changed_at=now, channel="sms",
            number_hmac=self.keys.number(to.number), prefix_hmac=self.keys.prefix(to.number),
            person_hmac=self.keys.person(to.telegram_id), country=to.country,
            state=state, refused_by=refused_by, repeated=False,
        )  # fmt: skip
        return send_id


def _under(name: str, hmacs: Sequence[str]) -> dict[str, str]:
    """Return the parameters of `_hmac_is`: one value's HMACs, under the key in force and maybe the one before it."""
    return {name: hmacs[0], f"{name}_before": hmacs[-1]}


def _opens_at(moments: Sequence[datetime], windows: tuple[Window, ...], now: datetime) -> datetime | None:
    """Return when all windows let one more in; None when they do now. `moments` are newest first."""
    opens = []
    for window in windows:
        inside = [at for at in moments if at > now - window.period]
        if len(inside) >= window.count:
            opens.append(inside[window.count - 1] + window.period)
    return max(opens, default=None)
