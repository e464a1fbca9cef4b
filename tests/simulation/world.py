"""The real engine and the real courier between simulated people and simulated gateways, on a simulated clock."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

from bot.code_delivery import CodeDelivery
from bot.courier import Courier, Delivery
from bot.limit_settings import LimitSettings
from bot.resting import Resting
from locales import Texts
from storage.accounts import Accounts
from storage.challenges import Challenges
from storage.clock import Clock
from storage.database import Database, Work
from storage.keys import Keys
from storage.limits import Limits
from storage.models import TermsAcceptance, UpdateRef
from storage.outbox import ALERT, CODE, NOTICE, Outbox, OutboxItem
from storage.sending import Sending
from storage.sends import Sends
from tests.simulation.carrier import CHEAPER, DEARER, Carrier, CountryRoutes, SimulatedGateway, outages
from tests.simulation.loop import SimulatedClock, SimulatedLoop
from tests.simulation.plan import Plan

T = TypeVar("T")
LANGUAGE = "ru"
_VERSION = "1"
_OWNER = "simulation"


class HeldDatabase(Database):
    """A database whose work takes no simulated time."""

    def __init__(self, url: str, loop: SimulatedLoop, clock: Clock, random: Callable[[int], bytes]) -> None:
        super().__init__(url, answer_within=None, clock=clock, random=random)
        self._loop = loop
        self.written = 0
        """How many transactions that may have changed something are over."""

    async def read(self, work: Work[T]) -> T:
        with self._loop.held():
            return await super().read(work)

    async def write(self, update: UpdateRef | None, work: Work[T]) -> T:
        with self._loop.held():
            result = await super().write(update, work)
        self.written += 1
        return result


class WatchedOutbox(Outbox):
    """An outbox that is not looked into, every second of the day, while nothing was written and nothing falls due."""

    def __init__(self, database: HeldDatabase, limits: Limits) -> None:
        super().__init__(database, limits)
        self._held = database
        self._empty_at = -1
        self._due: datetime | None = None

    async def take(self, owner: str, now: datetime, batch: int = 20) -> list[OutboxItem]:
        if self._held.written == self._empty_at and (self._due is None or now < self._due):
            return []
        # The look itself is one.
        looked_at = self._held.written + 1
        items = await super().take(owner, now, batch)
        if not items:
            self._empty_at, self._due = looked_at, await self.next_due()
        return items


class Chats:
    """What people are told in their chats; `NoticeDelivery` without a Telegram. `inboxes`: by Telegram id."""

    def __init__(self, outbox: Outbox) -> None:
        self.inboxes: dict[int, Callable[[str], None]] = {}
        self._outbox = outbox

    async def deliver(self, item: OutboxItem) -> None:
        inbox = self.inboxes.get(int(item.payload["telegram_id"]))
        if inbox is not None:
            inbox(str(item.payload["text"]))
        await self._outbox.done(item.id, _OWNER)


class Alerts:
    """What the operator is told."""

    def __init__(self, outbox: Outbox, clock: Clock) -> None:
        self.told: list[tuple[datetime, str]] = []
        self._outbox = outbox
        self._clock = clock

    async def deliver(self, item: OutboxItem) -> None:
        percent: Any = item.payload["values"].get("percent")
        self.told.append((self._clock.now(), item.payload["text"] + (f" {percent}" if percent else "")))
        await self._outbox.done(item.id, _OWNER)


class World:
    """Everything a simulated person or attacker meets."""

    def __init__(self, plan: Plan, url: str, loop: SimulatedLoop) -> None:
        settings, limits = LimitSettings(), plan.limits()
        chance = plan.chance("engine")
        self.plan = plan
        self.loop = loop
        self.clock = SimulatedClock(loop)
        self.keys = Keys("a secret of the simulation, long enough")
        self.database = HeldDatabase(url, loop, self.clock, chance.randbytes)
        sending = Sending(CountryRoutes(), plan.daily_budget)
        self.accounts = Accounts(self.database, self.keys, limits, _VERSION)
        self.challenges = Challenges(self.database, self.keys, limits, _VERSION, sending)
        self.outbox = WatchedOutbox(self.database, limits)
        sends = Sends(self.database, self.keys, limits, sending)
        self.carrier = Carrier(plan, self.clock, sends)
        gateways = (
            SimulatedGateway(CHEAPER, self.carrier, plan, outages(plan)),
            SimulatedGateway(DEARER, self.carrier, plan, []),
        )
        self.chats, self.alerts = Chats(self.outbox), Alerts(self.outbox, self.clock)
        codes = CodeDelivery(
            self.outbox, sends, gateways, Resting(settings.gateway_rest), Texts(), self.clock, random.Random(plan.seed),
            product="CRM", tries=limits.outbox_tries, owner=_OWNER,
        )  # fmt: skip
        deliveries: dict[str, Delivery] = {CODE: codes, NOTICE: self.chats, ALERT: self.alerts}
        self.courier = Courier(self.outbox, deliveries, self.clock, _OWNER)
        self._updates = itertools.count(1)

    def update(self, telegram_id: int) -> UpdateRef:
        """Return the next update of a person."""
        return UpdateRef(telegram_id, next(self._updates))

    async def accept_terms(self, telegram_id: int) -> None:
        """Let a person come so far that the number is asked."""
        await self.accounts.accept_terms(
            self.update(telegram_id), LANGUAGE, f"person{telegram_id}@example.org",
            TermsAcceptance(_VERSION, LANGUAGE, "0" * 64), now=self.clock.now(),
        )  # fmt: skip


@asynccontextmanager
async def opened(plan: Plan, url: str, loop: SimulatedLoop) -> AsyncIterator[World]:
    """Open the world and start its courier; at the end nothing is on its way any more."""
    world = World(plan, url, loop)
    world.courier.start()
    try:
        yield world
        await world.carrier.finish()
    finally:
        await world.courier.stop()
        await world.database.dispose()
