"""The ledger's rows as the courier and the vendors' reports move them: one code, one row, its state only forward."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from storage import outbox, send_states
from storage.admission import Admission
from storage.database import Database
from storage.keys import Keys, UnknownKey
from storage.ledger import Ledger
from storage.limits import Limits
from storage.models import Channel, SendState
from storage.records import lock
from storage.rows import insert_unless_there
from storage.sending import Offer, Sending
from storage.statements import Connection, Statement
from storage.tables import ChallengeState, accounts, challenges, early_reports, sends

# Texts, by key, of which one or the other is told.
_FAILED, _UNKNOWN, _UNDELIVERED = "notice-code-failed", "notice-code-unknown", "notice-code-undelivered"


class NotNow(Enum):
    """Why an offer is not used."""

    OVER = auto()
    """The code must not go at all any more; the row is settled."""
    CLOSED = auto()
    """This gateway is too dear for what the budget has left, its channel may not reach the number now, or all pause."""


@dataclass(frozen=True, repr=False)
class Dispatch:
    """One code to be sent now. Number and code exist only here: no repr, nothing of it is stored.

    `gateway` and `channel` are what must be used: after a crash the one that may have it already. `language` is the one
    the code was asked for in; after `expires_at` (aware UTC) sending it is of no use. `country` is the number's.
    """

    send_id: UUID
    gateway: str
    channel: Channel
    number: str
    country: str
    code: str
    language: str
    telegram_id: int
    expires_at: datetime
    repeated: bool = False


@dataclass(frozen=True)
class Told:
    """What the person who waits for a code is told: a text's key, in their language, and other ways to get one."""

    telegram_id: int
    language: str
    text: str
    channels: tuple[Channel, ...] = ()


class Sends:
    """What the courier and the reports do to the ledger. Each method is one transaction."""

    def __init__(self, database: Database, keys: Keys, limits: Limits, sending: Sending | None = None) -> None:
        self._database = database
        self._keys = keys
        self._limits = limits
        self._sending = sending or Sending()
        self._admission = Admission(Ledger(database, keys, limits), limits, self._sending)

    async def begin(self, send_id: UUID, offer: Offer, now: datetime) -> Dispatch | NotNow:
        """Mark a code as being sent by this offer, committed before the call; the caller holds the outbox row.

        OVER when it must not go: it expired, its challenge was answered, replaced or erased. A row found in `sending`
        was left by a process that died: it is repeated once, by the gateway that was being asked, and is `unknown` the
        next time. So a row that a gateway did not take at all is settled as QUEUED before the next `begin`. A dearer
        gateway than the last takes the difference out of the budget first, a repeat its price once more.
        """

        async def work(conn: Connection) -> Dispatch | NotNow:
            row = (await conn.execute(_SEND, send=send_id)).one_or_none()
            if row is None or row.state not in (SendState.QUEUED, SendState.SENDING):
                return NotNow.OVER
            left_over = row.state == SendState.SENDING
            chosen = _chosen(row, offer, left_over=left_over)
            dispatch = self._dispatch(send_id, row, chosen, now, repeated=row.repeated or left_over)
            if dispatch is None or (left_over and (row.repeated or await self._is_too_dear(conn, row, chosen, now))):
                await self._give_up(conn, send_id, row, left_over, now)
                return NotNow.OVER
            if self._sending.paused or (not left_over and await self._is_closed(conn, row, chosen, now)):
                return NotNow.CLOSED
            begun = await send_states.change_in(
                conn, send_id, (row.state,), as_read=row.repeated, state=SendState.SENDING, repeated=dispatch.repeated,
                changed_at=now, left_at=now, **_other_than(row, chosen),
            )  # fmt: skip
            return dispatch if begun else NotNow.OVER

        return await self._database.write(None, work)

    async def settle(
        self,
        dispatch: Dispatch,
        state: SendState,
        now: datetime,
        *,
        provider_id: str | None = None,
        price: int | None = None,
        text: str | None = None,
        held: tuple[UUID, str] | None = None,
    ) -> bool:
        """Write down what became of a send, and queue the text (by key) its person is told, in one transaction.

        `held` is the outbox row's id and who holds it: it is done with this. False when it would move back, which
        changes nothing. QUEUED says that a gateway did not take it and it waits for another. `price` is what the vendor
        says it costs, in minor currency units.
        """
        values: dict[str, Any] = {} if provider_id is None else {"provider_id": provider_id}
        if state is SendState.FAILED:
            values["price"] = 0
        elif price is not None and not dispatch.repeated:
            # What is set aside for a repeat is the price of both, and nobody knows whether the first was taken.
            values["price"] = price

        async def work(conn: Connection) -> bool:
            if provider_id is not None:
                await _hold_message(conn, dispatch.gateway, provider_id)
            became = await send_states.settle(conn, dispatch.send_id, state, now, **values)
            if became is not None and text is not None:
                # What may have left is not called failed to its person either.
                says = _UNKNOWN if (text, became) == (_FAILED, SendState.UNKNOWN) else text
                told = Told(dispatch.telegram_id, dispatch.language, says, self._others(says, dispatch.country))
                await self._tell(conn, dispatch.send_id, told, now)
            if became in send_states.ON_THE_WAY:
                await self._may_fall_back(conn, dispatch, now)
            if became is not None and provider_id is not None:
                await self._take_early(conn, dispatch.gateway, provider_id, now)
            if held is not None:
                await outbox.done(conn, *held)
            return became is not None

        return await self._database.write(None, work)

    async def report(self, gateway: str, provider_id: str, state: SendState, now: datetime) -> bool:
        """Write down what a vendor says of a message, DELIVERED or UNDELIVERED; tell whether that changed anything.

        Who waits for a code that did not arrive is told at once. A report that came before the answer to its call
        waits for it; one about a message nobody knows does nothing else.
        """

        async def work(conn: Connection) -> bool:
            await _hold_message(conn, gateway, provider_id)
            if await self._apply(conn, gateway, provider_id, state, now):
                return True
            if (await conn.execute(_KNOWN, gateway=gateway, provider=provider_id)).first() is None:
                if state is SendState.DELIVERED:
                    # Of two that came early this one is the last word.
                    await conn.execute(_TAKE_EARLY, gateway=gateway, provider=provider_id)
                await insert_unless_there(
                    conn, early_reports, gateway=gateway, provider_id=provider_id, state=state, at=now
                )
            return False

        return await self._database.write(None, work)

    async def _apply(self, conn: Connection, gateway: str, provider_id: str, state: SendState, now: datetime) -> bool:
        row = (await conn.execute(_KNOWN, gateway=gateway, provider=provider_id)).first()
        if row is None or await send_states.settle(conn, row.id, state, now) is None:
            return False
        is_waited_for = row.challenge_state == ChallengeState.OPEN and row.code_n == row.codes
        if state is SendState.UNDELIVERED and is_waited_for and row.telegram_id is not None:
            if row.channel == Channel.TELEGRAM:
                await self._fall_back(conn, row.id, row.telegram_id, now, "at once")
            else:
                told = Told(row.telegram_id, row.language, _UNDELIVERED, self._others(_UNDELIVERED, row.country))
                await self._tell(conn, row.id, told, now)
        return True

    async def _take_early(self, conn: Connection, gateway: str, provider_id: str, now: datetime) -> None:
        early = (await conn.execute(_TAKE_EARLY, gateway=gateway, provider=provider_id)).first()
        if early is not None:
            await self._apply(conn, gateway, provider_id, SendState(early.state), now)

    async def _may_fall_back(self, conn: Connection, dispatch: Dispatch, now: datetime) -> None:
        if dispatch.channel is Channel.TELEGRAM:
            due = now + self._limits.verification_message_ttl
            await self._fall_back(conn, dispatch.send_id, dispatch.telegram_id, due, "in time")

    async def _fall_back(self, conn: Connection, send_id: UUID, telegram_id: int, run_at: datetime, why: str) -> None:
        await outbox.put(
            self._database, conn, outbox.FALL_BACK, {"send_id": send_id.hex}, run_at,
            telegram_id=telegram_id, dedupe=f"fall back {why}:{send_id}",
        )  # fmt: skip

    async def _give_up(self, conn: Connection, send_id: UUID, row: Any, left_over: bool, now: datetime) -> None:
        # What may have been sent is never called failed: it would give its allowance back.
        may_have_left = left_over or row.repeated
        values = {"state": SendState.UNKNOWN} if may_have_left else {"state": SendState.FAILED, "price": 0}
        ended = await send_states.change_in(conn, send_id, (row.state,), changed_at=now, **values)
        if ended and row.challenge_state == ChallengeState.OPEN and row.telegram_id is not None:
            text = _UNKNOWN if may_have_left else _FAILED
            told = Told(row.telegram_id, row.language, text, self._others(text, row.country))
            await self._tell(conn, send_id, told, now)

    async def _is_closed(self, conn: Connection, row: Any, offer: Offer, now: datetime) -> bool:
        if offer.channel != row.channel:
            if conn.is_postgresql:
                await lock(conn, "number", row.number)
            hmacs = self._keys.numbers(row.number)
            if await self._admission.number_refusal(conn, hmacs, frozenset({offer.channel}), now):
                return True
        return await self._is_too_dear(conn, row, offer, now)

    async def _is_too_dear(self, conn: Connection, row: Any, offer: Offer, now: datetime) -> bool:
        budget, more = self._sending.daily_budget, offer.price - (row.price or 0)
        return budget is not None and more > 0 and await self._admission.spent(conn, now) + more > budget

    def _others(self, text: str, country: str) -> tuple[Channel, ...]:
        """Return by what else a code may come to who is told this; nothing where it may still come."""
        if text not in (_FAILED, _UNDELIVERED):
            return ()
        return tuple(sorted(self._sending.routes.channels(country) - {Channel.SMS}))

    async def _tell(self, conn: Connection, send_id: UUID, told: Told, now: datetime) -> None:
        # Named after the send: a row that is worked on twice still tells the person once.
        dedupe = f"{told.text}:{send_id}"
        values = {"channels": list(told.channels)} if told.channels else None
        await outbox.notice(self._database, conn, told.telegram_id, told.language, told.text, now, values, dedupe)

    def _dispatch(self, send_id: UUID, row: Any, offer: Offer, now: datetime, *, repeated: bool) -> Dispatch | None:
        expires_at = row.at + self._limits.code_lifetime
        open_still = row.challenge_state == ChallengeState.OPEN and row.number is not None
        superseded = open_still and row.code_n <= row.codes - self._limits.live_codes
        if not open_still or superseded or row.telegram_id is None or now >= expires_at:
            return None
        try:
            code = self._keys.code(row.challenge_id, row.code_n, row.key_id, self._limits.code_length)
        except UnknownKey:
            return None
        return Dispatch(
            send_id, offer.gateway, offer.channel, row.number, row.country, code, row.language, row.telegram_id,
            expires_at, repeated,
        )  # fmt: skip


def _chosen(row: Any, offer: Offer, *, left_over: bool) -> Offer:
    """Return what must be used, and what it costs in all: `row.price` is what is set aside already."""
    if left_over:
        return Offer(row.gateway, Channel(row.channel), 2 * (row.price or 0))
    return Offer(offer.gateway, offer.channel, max(offer.price, row.price or 0)) if row.repeated else offer


def _other_than(row: Any, offer: Offer) -> dict[str, Any]:
    """Return what is not in the row yet: a column that is set is written into every index it stands in."""
    chosen = {"gateway": offer.gateway, "channel": offer.channel, "price": offer.price}
    return {name: value for name, value in chosen.items() if getattr(row, name) != value}


_SEND = Statement(
    sa.select(
        sends.c.state, sends.c.repeated, sends.c.at, sends.c.code_n, sends.c.challenge_id, sends.c.gateway,
        sends.c.channel, sends.c.country, sends.c.price, challenges.c.state.label("challenge_state"),
        challenges.c.number, challenges.c.key_id, challenges.c.language, challenges.c.codes, accounts.c.telegram_id,
    )
    .outerjoin(challenges, challenges.c.id == sends.c.challenge_id)
    .outerjoin(accounts, accounts.c.id == challenges.c.account_id)
    .where(sends.c.id == sa.bindparam("send"))
)  # fmt: skip
_KNOWN = Statement(
    sa.select(
        sends.c.id, sends.c.code_n, sends.c.channel, sends.c.country, challenges.c.state.label("challenge_state"),
        challenges.c.codes, challenges.c.language, accounts.c.telegram_id,
    )
    .outerjoin(challenges, challenges.c.id == sends.c.challenge_id)
    .outerjoin(accounts, accounts.c.id == challenges.c.account_id)
    .where(sends.c.gateway == sa.bindparam("gateway"), sends.c.provider_id == sa.bindparam("provider"))
    .order_by(sends.c.at.desc())
    .limit(sa.literal_column("1"))
)  # fmt: skip
_TAKE_EARLY = Statement(
    sa.delete(early_reports)
    .where(early_reports.c.gateway == sa.bindparam("gateway"), early_reports.c.provider_id == sa.bindparam("provider"))
    .returning(early_reports.c.state)
)


async def _hold_message(conn: Connection, gateway: str, provider_id: str) -> None:
    """Let the answer to a call and the report about its message be written down one after the other (PostgreSQL).

    Else neither would see the other, and the report would wait for an answer that is there.
    """
    if conn.is_postgresql:
        await lock(conn, "message", f"{gateway}:{provider_id}")
