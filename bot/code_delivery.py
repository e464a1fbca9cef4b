"""How a code reaches its number: gateway after gateway, and an SMS after a verification message that did not arrive."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from uuid import UUID

from bot.outages import storage_is_away
from bot.resting import Resting
from handlers.ports import (
    Accepted,
    CodeMessage,
    Gateway,
    InvalidNumber,
    Misconfigured,
    Refused,
    SendResult,
    Unavailable,
    Unknown,
)
from locales import Texts
from storage.challenges import Challenges
from storage.clock import Clock
from storage.errors import LimitReached, NothingIsSent
from storage.models import Channel, SendState
from storage.outbox import Outbox, OutboxItem
from storage.sending import Offer
from storage.sends import Dispatch, NotNow, Sends

log = logging.getLogger(__name__)

_LONGEST_DELAY = 16.0
# A second apart: shorter than the lease, after which somebody else takes the row over.
_WRITES = 30


def delay(attempts: int, chance: random.Random) -> float:
    """Return seconds before the next try after `attempts` ones: 1 to 16, doubling, with jitter."""
    return min(_LONGEST_DELAY, max(1.0, 2.0 ** (attempts - 1) * chance.uniform(0.75, 1.25)))


class CodeDelivery:
    """Sends one code through the first gateway that takes it. The code and the number exist only while it is sent."""

    def __init__(
        self,
        outbox: Outbox,
        sends: Sends,
        gateways: Sequence[Gateway],
        resting: Resting,
        texts: Texts,
        clock: Clock,
        chance: random.Random,
        *,
        product: str,
        tries: int,
        owner: str,
    ) -> None:
        """`tries` bounds how often all gateways are asked; `owner` is the courier's name on its leases."""
        self._outbox = outbox
        self._sends = sends
        self._gateways = {gateway.name: gateway for gateway in gateways}
        self._resting = resting
        self._texts = texts
        self._clock = clock
        self._chance = chance
        self._product = product
        self._tries = tries
        self._owner = owner

    async def deliver(self, item: OutboxItem) -> None:
        """Send, and settle the ledger's row by what became of it."""
        send_id = UUID(str(item.payload["send_id"]))
        wait: list[float] = []
        tried: Dispatch | None = None
        offers = self._resting.last(self._known(item), self._clock.now())
        while offers:
            begun = await self._sends.begin(send_id, offers[0], now=self._clock.now())
            if begun is NotNow.OVER:
                await self._outbox.done(item.id, self._owner)
                return
            if isinstance(begun, NotNow):
                del offers[0]
                continue
            tried = begun
            # After a crash it may be another one than was offered.
            asked = (begun.gateway, begun.channel)
            offers = [offer for offer in offers if (offer.gateway, offer.channel) != asked]
            result = await self._ask(begun)
            if not isinstance(result, (Unavailable, Misconfigured)):
                await self._settle(item, begun, result)
                return
            wait.append(self._rest(begun, result))
            # Nothing left: the row waits again, so that the next attempt is none of a process that died.
            await self._sends.settle(begun, SendState.QUEUED, now=self._clock.now())
        if tried is None:
            # None that this process knows may be used now: another may, until the code is of no use.
            await self._outbox.retry(item.id, self._owner, self._clock.now() + timedelta(seconds=5), "no gateway")
        else:
            await self._again(item, tried, min(wait))

    def _known(self, item: OutboxItem) -> list[Offer]:
        """Return the row's offers that this process can use; all of them when it can use none, to say so."""
        offers = [Offer(gateway, Channel(channel), int(price)) for gateway, channel, price in item.payload["route"]]
        return [offer for offer in offers if offer.gateway in self._gateways] or offers

    def _rest(self, dispatch: Dispatch, result: Unavailable | Misconfigured) -> float:
        """Leave a gateway that sent nothing alone for a while; return the seconds its vendor asks to wait."""
        now = self._clock.now()
        if isinstance(result, Misconfigured):
            log.error("gateway %s must be mended: %s", dispatch.gateway, result.detail)
            self._resting.failed(dispatch.gateway, now)
            # Nobody knows when; another round may meet a gateway that is back by then.
            return 0.0
        log.warning("gateway %s is unavailable for code %s: %s", dispatch.gateway, dispatch.send_id, result.detail)
        if dispatch.channel is not Channel.TELEGRAM:
            # There it is most often the number that is not to be reached.
            self._resting.failed(dispatch.gateway, now, result.retry_after)
        return result.retry_after or 0.0

    async def _ask(self, dispatch: Dispatch) -> SendResult:
        gateway = self._gateways.get(dispatch.gateway)
        if gateway is None:
            return Misconfigured("SMS_GATEWAYS: this process does not have it any more")
        text = self._texts.plain(dispatch.language, "sms-code", code=dispatch.code, product=self._product)
        message = CodeMessage(
            dispatch.number, text, dispatch.code, dispatch.language, dispatch.channel, dispatch.send_id,
            dispatch.expires_at - self._clock.now(),
        )  # fmt: skip
        try:
            return await gateway.send(message)
        except Exception:
            log.exception("gateway %s failed", gateway.name)
            return Unknown("a fault in the gateway's code")

    async def _again(self, item: OutboxItem, dispatch: Dispatch, least: float) -> None:
        run_at = self._clock.now() + timedelta(seconds=max(least, delay(item.attempts, self._chance)))
        if item.attempts < self._tries and run_at < dispatch.expires_at:
            await self._outbox.retry(item.id, self._owner, run_at=run_at, error="unavailable")
            return
        await self._end(item, dispatch, SendState.FAILED, text="notice-code-failed")

    async def _settle(
        self, item: OutboxItem, dispatch: Dispatch, result: Accepted | Unknown | InvalidNumber | Refused
    ) -> None:
        match result:
            case Accepted(provider_id, price):
                log.info("code %s was taken by gateway %s", dispatch.send_id, dispatch.gateway)
                self._resting.worked(dispatch.gateway)
                await self._end(item, dispatch, SendState.ACCEPTED, provider_id=provider_id, price=price)
            case Unknown(detail, provider_id):
                log.warning("nobody knows whether code %s was sent: %s", dispatch.send_id, detail)
                self._resting.failed(dispatch.gateway, self._clock.now())
                text = "notice-code-unknown" if dispatch.channel is not Channel.TELEGRAM else None
                await self._end(item, dispatch, SendState.UNKNOWN, text=text, provider_id=provider_id)
            case InvalidNumber(detail) | Refused(detail):
                # Final, for all gateways: who opted out at one vendor is not to be reached through another.
                log.info("code %s cannot be delivered: %s", dispatch.send_id, detail)
                await self._end(item, dispatch, SendState.FAILED, text="notice-code-undeliverable")

    async def _end(
        self,
        item: OutboxItem,
        dispatch: Dispatch,
        state: SendState,
        *,
        text: str | None = None,
        provider_id: str | None = None,
        price: int | None = None,
    ) -> None:
        now, held = self._clock.now(), (item.id, self._owner)
        await _insist(
            lambda: self._sends.settle(dispatch, state, now, provider_id=provider_id, price=price, text=text, held=held)
        )


class FallBack:
    """Follows a verification message in Telegram that did not arrive in time by an SMS."""

    def __init__(
        self, outbox: Outbox, challenges: Challenges, clock: Clock, wake: Callable[[], None], owner: str
    ) -> None:
        """`wake` is the courier's; `owner` its name on its leases."""
        self._outbox = outbox
        self._challenges = challenges
        self._clock = clock
        self._wake = wake
        self._owner = owner

    async def deliver(self, item: OutboxItem) -> None:
        """Queue the SMS unless the message arrived or the person went on."""
        try:
            if await self._challenges.fall_back(UUID(str(item.payload["send_id"])), now=self._clock.now()):
                self._wake()
        except (LimitReached, NothingIsSent) as refusal:
            log.info("no SMS follows a verification message: %s", refusal.limit)
        await self._outbox.done(item.id, self._owner)


async def _insist(write: Callable[[], Awaitable[object]]) -> None:
    """Write down what happened outside, waiting for a database that is away: forgetting it would repeat the SMS."""
    for _ in range(_WRITES - 1):
        try:
            await write()
            return
        except Exception as error:
            if not storage_is_away(error):
                raise
            await asyncio.sleep(1)
    await write()
