"""How an event reaches the CRM: sent, tried again by the schedule of Standard Webhooks, in the end put aside."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from bot.courier import Courier
from bot.crm_settings import CrmSettings, signing_key
from bot.gateways.crm import Conflict, CrmWebhook, EventResult, Gone, NotTaken, Taken
from storage.clock import Clock
from storage.database import Database
from storage.event_queue import Event, EventQueue
from storage.events import EventType
from storage.outbox import EVENT, OutboxItem

log = logging.getLogger(__name__)

# Of the pause before a try, either way: what failed together must not come back together.
_JITTER = 0.1
# A CRM that answers in a tenth of a second takes 80 a second; one that does not answer holds so many connections.
_HANDS = 8
# Seconds. A call that is cut is made again by whoever takes its row over, under the same id: nothing waits for it.
_GRACE = 0.5


class EventDelivery:
    """Sends one event, the same id and body at every try, and settles its row by the CRM's answer."""

    def __init__(
        self,
        queue: EventQueue,
        crm: CrmWebhook,
        clock: Clock,
        chance: random.Random,
        *,
        retries: Sequence[timedelta],
        owner: str,
        forget: Callable[[int], Awaitable[object]],
        wake: Callable[[], None],
    ) -> None:
        """`retries`: the pauses between the tries. `owner` is the courier's name on its leases.

        `forget` drops a person's conversation by their Telegram id, `wake` tells the other courier of its new rows.
        """
        self._queue = queue
        self._crm = crm
        self._clock = clock
        self._chance = chance
        self._retries = tuple(retries)
        self._owner = owner
        self._forget = forget
        self._wake = wake

    async def deliver(self, item: OutboxItem) -> None:
        """Send it once."""
        if not isinstance(item, Event):
            raise TypeError(f"a {item.kind} row is no event")
        result = await self._send(item)
        now = self._clock.now()
        match result:
            case Taken():
                log.info("the CRM took event %s (%s)", item.id, item.type)
                await self._tell(await self._queue.delivered(item, self._owner, now))
            case Conflict() if item.type is EventType.CONFIRMED:
                log.warning("the CRM refuses account %s: event %s", item.account_id, item.id)
                await self._tell(await self._queue.refused(item, self._owner, now))
            case Gone():
                await self._queue.stop(item, self._owner, now)
                self._wake()
            case Conflict():
                await self._again(item, "HTTP 409", now)
            case NotTaken(detail):
                await self._again(item, detail, now)

    async def _send(self, event: Event) -> EventResult:
        try:
            return await self._crm.send(event.id, event.payload, self._clock.now())
        except Exception:
            # Whatever it is, an event is not given up for it sooner than for an outage.
            log.exception("event %s could not be sent", event.id)
            return NotTaken("fault")

    async def _tell(self, telegram_id: int | None) -> None:
        """Let the next update of a person whose account has changed find that out."""
        if telegram_id is not None:
            await self._forget(telegram_id)
            self._wake()

    async def _again(self, event: Event, detail: str, now: datetime) -> None:
        if event.attempts > len(self._retries):
            log.error("event %s is put aside after %d tries: %s", event.id, event.attempts, detail)
            await self._queue.give_up(event, self._owner, detail, now)
            self._wake()
            return
        pause = self._retries[event.attempts - 1] * self._chance.uniform(1 - _JITTER, 1 + _JITTER)
        log.warning("the CRM did not take event %s: %s", event.id, detail)
        await self._queue.retry(event.id, self._owner, now + pause, detail)


@asynccontextmanager
async def telling_crm(
    settings: CrmSettings,
    database: Database,
    clock: Clock,
    *,
    owner: str,
    forget: Callable[[int], Awaitable[object]],
    wake: Callable[[], None],
) -> AsyncIterator[Courier | None]:
    """Deliver events inside the block, by a courier of their own: codes and notices wait for no CRM.

    None when there is no CRM. What stopped them, a 410, is over with a new start. `owner` names this process; `forget`
    and `wake` are as in `EventDelivery`.
    """
    if settings.crm_webhook_url is None:
        yield None
        return
    keys = [signing_key(secret) for secret in settings.crm_webhook_secret]
    crm = CrmWebhook(settings.crm_webhook_url, keys, settings.crm_webhook_timeout, parallel=_HANDS)
    queue = EventQueue(database, lease=2 * settings.crm_webhook_timeout + timedelta(seconds=30))
    delivery = EventDelivery(
        queue, crm, clock, random.SystemRandom(),
        retries=settings.crm_webhook_retries, owner=owner, forget=forget, wake=wake,
    )  # fmt: skip
    courier = Courier(queue, {EVENT: delivery}, clock, owner, hands=_HANDS, grace=_GRACE)
    try:
        if await queue.resume():
            log.warning("events go to the CRM again, which wanted none before this start")
        courier.start()
        yield courier
    finally:
        await courier.stop()
        await crm.close()
