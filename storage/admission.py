"""Whether a code may leave now, and through which gateways: every limit on sends, the guard of ranges, the budget.

Counted over the ledger inside the sending transaction. On PostgreSQL the caller holds the person and the number; the
range and the budget are locked here, in that order, so nobody else adds a row between the count and the insert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.errors import Limit, LimitReached, NothingIsSent
from storage.history import History, history_of, sent_to_number
from storage.ledger import Ledger, Recipient, opens_at
from storage.limits import Limits
from storage.models import Channel
from storage.records import lock
from storage.sending import Offer, Sending
from storage.spending import affordable_at, country_refusal, spent_at
from storage.statements import Connection

Refused = LimitReached | NothingIsSent


@dataclass(frozen=True)
class Admitted:
    """A code may leave by these offers, the best first. `spent`: what the last 24 hours cost without it."""

    offers: tuple[Offer, ...]
    spent: int = 0


@dataclass(frozen=True)
class RangeHistory:
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
        if holds and conn.is_postgresql:
            await lock(conn, "prefix", to.number[:-4])
        history = await history_of(conn, self.ledger.keys, self.limits, to, now)
        wrong = self.ledger.too_many_guesses(history.wrong, now)
        if wrong is not None:
            return wrong
        if self.sending.test_numbers.code(to.number, now) is not None:
            return Admitted((Offer("test", Channel.TEST, 0),))
        if self.sending.paused:
            return NothingIsSent(Limit.PAUSED)
        offers = self.sending.routes.offers(to.country, channel)
        if not offers:
            return NothingIsSent(Limit.NO_GATEWAY)
        free_at = opens_at(history.to_person, self.limits.sends_per_person, now)
        if free_at is not None:
            return LimitReached(Limit.SENDS_PER_PERSON, free_at)
        open_offers = self._open_to_number(history, offers, now, sms_left=sms_left)
        if isinstance(open_offers, LimitReached):
            return open_offers
        of_range = self._range(history, to, now)
        closed = self._range_refusal(of_range, now)
        return closed or await self._within_budget(conn, to, open_offers, now, of_range.is_trusted, holds=holds)

    async def spent(self, conn: Connection, now: datetime, *, holds: bool = True) -> int:
        """Return what the last 24 hours cost, holding the budget until the transaction ends."""
        await self._hold_budget(conn, holds=holds)
        return await spent_at(conn, now)

    async def number_refusal(
        self, conn: Connection, hmacs: Sequence[str], channels: frozenset[Channel], now: datetime
    ) -> dict[Channel, LimitReached]:
        """Return which of these channels may not reach the number now, each with its limit."""
        return self._closed_channels(await sent_to_number(conn, self.limits, hmacs, now), channels, now)

    def _closed_channels(
        self, sent: Sequence[tuple[datetime, Channel]], channels: frozenset[Channel], now: datetime
    ) -> dict[Channel, LimitReached]:
        found = {}
        for channel in channels:
            is_sms = channel is Channel.SMS
            windows = self.limits.sends_per_number if is_sms else (self.limits.calls_per_number,)
            free_at = opens_at([at for at, used in sent if (used is Channel.SMS) == is_sms], windows, now)
            if free_at is not None:
                limit = Limit.SENDS_PER_NUMBER if is_sms else Limit.CALLS_PER_NUMBER
                found[channel] = LimitReached(limit, free_at)
        return found

    def _range(self, history: History, to: Recipient, now: datetime) -> RangeHistory:
        """Judge what the number's range was sent lately."""
        blocks, rows, evidence = history.blocks, history.to_range, self.limits.prefix_evidence
        # What was the reason to close a range is no reason to close it again.
        judged_from = max([now - evidence.period, *(block.blocked_at for block in blocks)])
        judged = [row for row in rows if row.at > judged_from]
        entered = sum(row.entered_at is not None for row in judged)
        unconfirmed = [row for row in rows if row.entered_at is None]
        # Who asks again for a code that did not come is no evidence.
        own = self.ledger.keys.persons(to.telegram_id)
        left = sum(row.person_hmac not in own for row in unconfirmed)
        return RangeHistory(
            unconfirmed=tuple(row.at for row in unconfirmed),
            closed_until=max((block.until for block in blocks if block.until > now), default=None),
            is_suspect=len(judged) >= evidence.count
            and entered * 100 < self.limits.prefix_confirmed_percent * len(judged),
            is_trusted=left <= len(rows) - len(unconfirmed),
        )

    def _open_to_number(
        self, history: History, offers: tuple[Offer, ...], now: datetime, *, sms_left: bool
    ) -> tuple[Offer, ...] | LimitReached:
        channels = frozenset(offer.channel for offer in offers)
        closed = self._closed_channels(history.to_number, channels, now)
        if not sms_left and Channel.SMS in channels:
            closed[Channel.SMS] = LimitReached(Limit.SENDS_PER_CHALLENGE, now)
        left = tuple(offer for offer in offers if offer.channel not in closed)
        return left or min(closed.values(), key=lambda limit: limit.retry_at)

    def _range_refusal(self, history: RangeHistory, now: datetime) -> LimitReached | None:
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
