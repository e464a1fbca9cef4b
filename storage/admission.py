"""Whether a code may leave now, and through which gateways: every limit on sends, the guard of ranges, the budget.

Counted over the ledger inside the sending transaction. On PostgreSQL the caller holds the person and the number; the
range and the budget are locked here, in that order, so nobody else adds a row between the count and the insert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from storage.errors import Limit, LimitReached, NothingIsSent
from storage.ledger import COUNTED, Ledger, Recipient, hmac_is, opens_at, under
from storage.limits import Limits, Window
from storage.models import Channel
from storage.records import lock
from storage.sending import Offer, Sending
from storage.spending import affordable_at, country_refusal, spent_at
from storage.statements import Connection, Statement
from storage.tables import prefix_blocks, sends

# Refused rows are most of the ledger while somebody attacks: the indexes that are counted over leave them out.
_PAID_FOR = sa.and_(
    COUNTED, sends.c.refused_by.is_(None), sends.c.channel != sa.literal_column(f"'{Channel.TEST.value}'")
)
# A code may leave minutes after it was asked for, while gateways are away: what counts is when it left.
_LEFT = sa.func.coalesce(sends.c.left_at, sends.c.at, type_=sends.c.at.type)
_SENT_TO_PERSON = Statement(
    sa.select(_LEFT.label("at"))
    .where(hmac_is(sends.c.person_hmac, "person"), _PAID_FOR, sends.c.at > sa.bindparam("since"))
    .order_by(_LEFT.desc())
)
# What was to wake somebody and did not is not counted; an SMS is paid for all the same.
_SENT_TO_NUMBER = Statement(
    sa.select(_LEFT.label("at"), sends.c.channel)
    .where(hmac_is(sends.c.number_hmac, "number"), _PAID_FOR, sends.c.at > sa.bindparam("since"))
    .where(sa.or_(sends.c.channel == sa.literal_column("'sms'"), sends.c.state != sa.literal_column("'undelivered'")))
    .order_by(_LEFT.desc())
)
_SENT_TO_PREFIX = Statement(
    sa.select(_LEFT.label("at"), sends.c.entered_at, sends.c.person_hmac)
    .where(hmac_is(sends.c.prefix_hmac, "prefix"), _PAID_FOR, sends.c.at > sa.bindparam("since"))
    .order_by(_LEFT.desc())
)
_BLOCKED = Statement(
    sa.select(prefix_blocks.c.blocked_at, prefix_blocks.c.until).where(hmac_is(prefix_blocks.c.prefix_hmac, "prefix"))
)
Refused = LimitReached | NothingIsSent


@dataclass(frozen=True)
class Admitted:
    """A code may leave by these offers, the best first. `spent`: what the last 24 hours cost without it."""

    offers: tuple[Offer, ...]
    spent: int = 0


@dataclass(frozen=True)
class PrefixHistory:
    """What a range was sent lately: `closed_until` when it is closed, `is_suspect` when it should be.

    `is_trusted`: others than the person who asks left no more of its codes than were entered.
    """

    unconfirmed: tuple[datetime, ...]
    closed_until: datetime | None
    is_suspect: bool
    is_trusted: bool


@dataclass(frozen=True)
class Admission:
    """Reads, counts and decides; changes nothing. `holds` False is for who only wants to know: no lock is taken."""

    ledger: Ledger
    limits: Limits
    sending: Sending

    async def of(
        self,
        conn: Connection,
        to: Recipient,
        channel: Channel | None,
        now: datetime,
        *,
        sms_left: bool = True,
        holds: bool = True,
    ) -> Admitted | Refused:
        """Tell whether a code may leave at `now`, by `channel` or (None) by whatever need not be asked for.

        `sms_left`: whether the challenge still has an SMS.
        """
        wrong = await self.ledger.wrong_codes(conn, to.telegram_id, to.number, now)
        if wrong is not None:
            return wrong
        if self.sending.test_numbers.code(to.number, now) is not None:
            return Admitted((Offer("test", Channel.TEST, 0),))
        if self.sending.paused:
            return NothingIsSent(Limit.PAUSED)
        offers = self.sending.routes.offers(to.country, channel)
        if not offers:
            return NothingIsSent(Limit.NO_GATEWAY)
        person = await self._person_refusal(conn, to, now)
        if person is not None:
            return person
        open_offers = await self._open_to_number(conn, to, offers, now, sms_left=sms_left)
        if isinstance(open_offers, LimitReached):
            return open_offers
        history = await self.prefix_history(conn, to, now, holds=holds)
        closed = self._prefix_refusal(history, now)
        return closed or await self._within_budget(conn, to, open_offers, now, history.is_trusted, holds=holds)

    async def spent(self, conn: Connection, now: datetime, *, holds: bool = True) -> int:
        """Return what the last 24 hours cost, holding the budget until the transaction ends."""
        await self._hold_budget(conn, holds=holds)
        return await spent_at(conn, now)

    async def number_refusal(
        self, conn: Connection, hmacs: Sequence[str], channels: frozenset[Channel], now: datetime
    ) -> dict[Channel, LimitReached]:
        """Return which of these channels may not reach the number now, each with its limit."""
        windows = {channel: self._windows(channel) for channel in channels}
        since = now - max(window.period for each in windows.values() for window in each)
        rows = (await conn.execute(_SENT_TO_NUMBER, since=self._asked_since(since), **under("number", hmacs))).all()
        found = {}
        for channel, own in windows.items():
            is_sms = channel is Channel.SMS
            free_at = opens_at([at for at, used in rows if (used == Channel.SMS) == is_sms], own, now)
            if free_at is not None:
                limit = Limit.SENDS_PER_NUMBER if is_sms else Limit.CALLS_PER_NUMBER
                found[channel] = LimitReached(limit, free_at)
        return found

    async def prefix_history(
        self, conn: Connection, to: Recipient, now: datetime, *, holds: bool = True
    ) -> PrefixHistory:
        """Return what the number's range was sent lately, holding it until the transaction ends."""
        if holds and conn.is_postgresql:
            await lock(conn, "prefix", to.number[:-4])
        hmacs = under("prefix", self.ledger.keys.prefixes(to.number))
        blocks = (await conn.execute(_BLOCKED, **hmacs)).all()
        evidence, hour = self.limits.prefix_evidence, self.limits.sends_per_prefix
        since = self._asked_since(now - max(evidence.period, hour.period))
        rows = (await conn.execute(_SENT_TO_PREFIX, since=since, **hmacs)).all()
        # What was the reason to close a range is no reason to close it again.
        judged_from = max([now - evidence.period, *(block.blocked_at for block in blocks)])
        judged = [row for row in rows if row.at > judged_from]
        entered = sum(row.entered_at is not None for row in judged)
        unconfirmed = [row for row in rows if row.entered_at is None]
        # Who asks again for a code that did not come is no evidence.
        own = self.ledger.keys.persons(to.telegram_id)
        left = sum(row.person_hmac not in own for row in unconfirmed)
        return PrefixHistory(
            unconfirmed=tuple(row.at for row in unconfirmed),
            closed_until=max((block.until for block in blocks if block.until > now), default=None),
            is_suspect=len(judged) >= evidence.count
            and entered * 100 < self.limits.prefix_confirmed_percent * len(judged),
            is_trusted=left <= len(rows) - len(unconfirmed),
        )

    def _asked_since(self, since: datetime) -> datetime:
        """Return since when what left after `since` may have been asked for."""
        return since - self.limits.code_lifetime

    def _windows(self, channel: Channel) -> tuple[Window, ...]:
        return self.limits.sends_per_number if channel is Channel.SMS else (self.limits.calls_per_number,)

    async def _person_refusal(self, conn: Connection, to: Recipient, now: datetime) -> LimitReached | None:
        windows = self.limits.sends_per_person
        since = now - max(window.period for window in windows)
        person = under("person", self.ledger.keys.persons(to.telegram_id))
        sent = list((await conn.execute(_SENT_TO_PERSON, since=self._asked_since(since), **person)).scalars())
        free_at = opens_at(sent, windows, now)
        return None if free_at is None else LimitReached(Limit.SENDS_PER_PERSON, free_at)

    async def _open_to_number(
        self, conn: Connection, to: Recipient, offers: tuple[Offer, ...], now: datetime, *, sms_left: bool
    ) -> tuple[Offer, ...] | LimitReached:
        channels = frozenset(offer.channel for offer in offers)
        closed = await self.number_refusal(conn, self.ledger.keys.numbers(to.number), channels, now)
        if not sms_left and Channel.SMS in channels:
            closed[Channel.SMS] = LimitReached(Limit.SENDS_PER_CHALLENGE, now)
        left = tuple(offer for offer in offers if offer.channel not in closed)
        return left or min(closed.values(), key=lambda limit: limit.retry_at)

    def _prefix_refusal(self, history: PrefixHistory, now: datetime) -> LimitReached | None:
        if history.closed_until is not None:
            return LimitReached(Limit.PREFIX_BLOCKED, history.closed_until)
        if history.is_suspect:
            return LimitReached(Limit.PREFIX_BLOCKED, now + self.limits.prefix_blocked_for)
        free_at = opens_at(history.unconfirmed, (self.limits.sends_per_prefix,), now)
        return None if free_at is None else LimitReached(Limit.SENDS_PER_PREFIX, free_at)

    async def _within_budget(
        self,
        conn: Connection,
        to: Recipient,
        offers: tuple[Offer, ...],
        now: datetime,
        trusted_range: bool,
        *,
        holds: bool,
    ) -> Admitted | LimitReached:
        budget = self.sending.daily_budget
        if budget is None:
            return Admitted(offers)
        await self._hold_budget(conn, holds=holds)
        spent, price = await spent_at(conn, now), offers[0].price
        if price:
            refusal = await country_refusal(
                conn, self.limits, to.country, price, budget, spent, trusted_range=trusted_range, now=now
            )
            if refusal is not None:
                return refusal
        affordable = next((offers[n:] for n, offer in enumerate(offers) if spent + offer.price <= budget), None)
        if affordable is not None:
            return Admitted(affordable, spent)
        needed = spent + min(offer.price for offer in offers) - budget
        return LimitReached(Limit.DAILY_BUDGET, await affordable_at(conn, needed, now))

    async def _hold_budget(self, conn: Connection, *, holds: bool) -> None:
        if holds and conn.is_postgresql:
            await lock(conn, "budget", "")
