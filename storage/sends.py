"""The ledger's rows as the courier moves them: one code, one row, its state only forward."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from storage import outbox
from storage.database import Database
from storage.keys import Keys, UnknownKey
from storage.limits import Limits
from storage.models import SendState
from storage.statements import Connection, Statement
from storage.tables import ChallengeState, accounts, challenges, sends

# From which states each one may be reached. QUEUED again only while the vendor certainly has nothing of it.
_FROM = {
    SendState.QUEUED: (SendState.SENDING,),
    SendState.ACCEPTED: (SendState.SENDING, SendState.UNKNOWN),
    SendState.UNKNOWN: (SendState.SENDING,),
    SendState.DELIVERED: (SendState.SENDING, SendState.UNKNOWN, SendState.ACCEPTED),
    SendState.FAILED: (SendState.QUEUED, SendState.SENDING, SendState.UNKNOWN, SendState.ACCEPTED),
}


@dataclass(frozen=True, repr=False)
class Dispatch:
    """One code to be sent now. Number and code exist only here: no repr, nothing of it is stored.

    `language` is the one the code was asked for in; after `expires_at` (aware UTC) sending it is of no use.
    """

    send_id: UUID
    number: str
    code: str
    language: str
    telegram_id: int
    expires_at: datetime


@dataclass(frozen=True)
class Told:
    """What the person who waits for a code is told of it: a text's key, in their language."""

    telegram_id: int
    language: str
    text: str


class Sends:
    """What the courier does to the ledger. Each method is one transaction."""

    def __init__(self, database: Database, keys: Keys, limits: Limits) -> None:
        self._database = database
        self._keys = keys
        self._limits = limits

    async def begin(self, send_id: UUID, gateway: str, now: datetime) -> Dispatch | None:
        """Mark a code as being sent through `gateway`, committed before the call; the caller holds the outbox row.

        None when it must not go: it expired, its challenge was answered, replaced or erased. A row found in `sending`
        was left by a process that died: it is repeated once, and is `unknown` the next time. So a row that a gateway
        did not take at all is settled as QUEUED before the next `begin`.
        """

        async def work(conn: Connection) -> Dispatch | None:
            row = (await conn.execute(_SEND, send=send_id)).one_or_none()
            if row is None or row.state not in (SendState.QUEUED, SendState.SENDING):
                return None
            left_over = row.state == SendState.SENDING
            dispatch = self._dispatch(send_id, row, now)
            if dispatch is None or (left_over and row.repeated):
                # What may have been sent is never called failed: it would give its allowance back.
                end = SendState.UNKNOWN if left_over else SendState.FAILED
                ended = await _set(conn, send_id, (row.state,), state=end, changed_at=now)
                if ended and row.challenge_state == ChallengeState.OPEN and row.telegram_id is not None:
                    text = "notice-code-unknown" if left_over else "notice-code-failed"
                    await self._tell(conn, send_id, Told(row.telegram_id, row.language, text), now)
                return None
            begun = await _set(
                conn, send_id, (row.state,), as_read=row.repeated,
                state=SendState.SENDING, gateway=gateway, repeated=row.repeated or left_over, changed_at=now,
            )  # fmt: skip
            return dispatch if begun else None

        return await self._database.write(None, work)

    async def settle(
        self,
        send_id: UUID,
        state: SendState,
        now: datetime,
        provider_id: str | None = None,
        price: int | None = None,
        told: Told | None = None,
        held: tuple[UUID, str] | None = None,
    ) -> bool:
        """Write down what became of a send, and queue what its person is told of it, in one transaction.

        `held` is the outbox row's id and who holds it: it is done with this.

        False when that would move it back, which changes nothing. QUEUED says that a gateway did not take it and it
        waits for another. `price` is in minor currency units.
        """
        facts = {"provider_id": provider_id, "price": price}
        values: dict[str, Any] = {name: value for name, value in facts.items() if value is not None}

        async def work(conn: Connection) -> bool:
            settled = await _set(conn, send_id, _FROM[state], state=state, changed_at=now, **values)
            if settled and told is not None:
                await self._tell(conn, send_id, told, now)
            if held is not None:
                await outbox.done(conn, *held)
            return settled

        return await self._database.write(None, work)

    async def _tell(self, conn: Connection, send_id: UUID, told: Told, now: datetime) -> None:
        # Named after the send: a row that is worked on twice still tells the person once.
        dedupe = f"{told.text}:{send_id}"
        await outbox.notice(self._database, conn, told.telegram_id, told.language, told.text, now, dedupe=dedupe)

    def _dispatch(self, send_id: UUID, row: Any, now: datetime) -> Dispatch | None:
        expires_at = row.at + self._limits.code_lifetime
        open_still = row.challenge_state == ChallengeState.OPEN and row.number is not None
        superseded = open_still and row.code_n <= row.codes - self._limits.live_codes
        if not open_still or superseded or row.telegram_id is None or now >= expires_at:
            return None
        try:
            code = self._keys.code(row.challenge_id, row.code_n, row.key_id, self._limits.code_length)
        except UnknownKey:
            return None
        return Dispatch(send_id, row.number, code, row.language, row.telegram_id, expires_at)


_SEND = Statement(
    sa.select(
        sends.c.state, sends.c.repeated, sends.c.at, sends.c.code_n, sends.c.challenge_id,
        challenges.c.state.label("challenge_state"), challenges.c.number, challenges.c.key_id, challenges.c.language,
        challenges.c.codes, accounts.c.telegram_id,
    )
    .outerjoin(challenges, challenges.c.id == sends.c.challenge_id)
    .outerjoin(accounts, accounts.c.id == challenges.c.account_id)
    .where(sends.c.id == sa.bindparam("send"))
)  # fmt: skip


async def _set(
    conn: Connection, send_id: UUID, states: Collection[SendState], as_read: bool | None = None, **values: object
) -> bool:
    """Change a row if it is still as it was read (`as_read`: its `repeated`): two at once cannot both succeed."""
    change = _change(tuple(states), as_read, tuple(values))
    return (await conn.execute(change, send=send_id, **values)).first() is not None


@cache
def _change(states: tuple[SendState, ...], as_read: bool | None, columns: tuple[str, ...]) -> Statement:
    still = sends.c.state.in_([sa.literal_column(f"'{SendState(state).value}'") for state in states])
    change = sa.update(sends).where(sends.c.id == sa.bindparam("send"), still)
    if as_read is not None:
        change = change.where(sends.c.repeated.is_(sa.true() if as_read else sa.false()))
    return Statement(change.returning(sends.c.id), sets=columns)
