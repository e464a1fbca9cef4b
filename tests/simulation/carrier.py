"""The outside world in one process: two gateways with their outages, the way of an SMS to a phone, delivery reports."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from handlers.ports import Accepted, CodeMessage, SendResult, Unavailable, Unknown
from storage.clock import Clock
from storage.models import Channel, SendState
from storage.sending import Offer
from storage.sends import Sends
from tests.simulation.plan import BY_CODE, Plan

CHEAPER, DEARER = "cheaper", "dearer"
_REPORTED = 0.9
# Of the lost ones: the vendor of the others says nothing, or knows nothing.
_KNOWN_LOST = 0.5
_GATEWAY_TIMEOUT = 10.0


@dataclass(frozen=True)
class CountryRoutes:
    """Both gateways serve every country, the cheaper one first."""

    def offers(self, country: str, channel: Channel | None) -> tuple[Offer, ...]:
        if channel not in (None, Channel.SMS):
            return ()
        prices = BY_CODE[country]
        return Offer(CHEAPER, Channel.SMS, prices.cheaper), Offer(DEARER, Channel.SMS, prices.dearer)

    def channels(self, country: str) -> frozenset[Channel]:
        return frozenset({Channel.SMS})


@dataclass(frozen=True)
class Outage:
    """From when to when (seconds of the run) a gateway does not work; `silent`: it answers nothing at all."""

    begins: float
    ends: float
    silent: bool


def outages(plan: Plan) -> list[Outage]:
    """Return outages that take a third of the time: one in each of eight stretches, every other one silent."""
    chance = plan.chance("outages")
    stretch = plan.seconds / 8
    found = []
    for n in range(8):
        begins = n * stretch + chance.uniform(0, stretch * 2 / 3)
        found.append(Outage(begins, begins + stretch / 3, silent=n % 2 == 1))
    return found


class Carrier:
    """Takes messages to phones, loses some, reports on most. `phones`: who is told a code that arrives, by number."""

    def __init__(self, plan: Plan, clock: Clock, sends: Sends) -> None:
        self.phones: dict[str, Callable[[str], None]] = {}
        self.taken: list[tuple[float, str]] = []
        self._plan = plan
        self._clock = clock
        self._sends = sends
        self._nth: Counter[str] = Counter()
        self._running: set[asyncio.Task[None]] = set()

    def take(self, gateway: str, message: CodeMessage) -> str:
        """Take a message and return its id."""
        self._nth[message.number] += 1
        nth = self._nth[message.number]
        # The same fate for the same message in every run.
        chance = self._plan.chance(f"{message.number}:{nth}")
        name = f"{gateway}-{message.send_id.hex}"
        loop = asyncio.get_running_loop()
        self.taken.append((loop.time(), message.number))
        if chance.random() < self._plan.lost:
            if chance.random() < _KNOWN_LOST:
                self._report_in(chance.uniform(20, 180), gateway, name, SendState.UNDELIVERED)
            return name
        arrives = chance.lognormvariate(1.95, 1.0)
        loop.call_later(arrives, self._arrive, message.number, message.code)
        if chance.random() < _REPORTED:
            self._report_in(arrives + chance.uniform(1, 5), gateway, name, SendState.DELIVERED)
        return name

    async def finish(self) -> None:
        """Wait until nothing is on its way any more."""
        while self._running:
            await asyncio.wait(self._running)

    def _arrive(self, number: str, code: str) -> None:
        phone = self.phones.get(number)
        if phone is not None:
            phone(code)

    def _report_in(self, seconds: float, gateway: str, provider_id: str, state: SendState) -> None:
        async def report() -> None:
            await asyncio.sleep(seconds)
            await self._sends.report(gateway, provider_id, state, self._clock.now())

        task = asyncio.create_task(report())
        self._running.add(task)
        task.add_done_callback(self._running.discard)


class SimulatedGateway:
    """One vendor. In an outage it refuses, or is silent: then it took half of the messages all the same."""

    channels = frozenset({Channel.SMS})

    def __init__(self, name: str, carrier: Carrier, plan: Plan, outages: list[Outage]) -> None:
        self.name = name
        self._carrier = carrier
        self._outages = outages
        self._chance = plan.chance(f"gateway {name}")

    async def send(self, message: CodeMessage) -> SendResult:
        now = asyncio.get_running_loop().time()
        outage = next((outage for outage in self._outages if outage.begins <= now < outage.ends), None)
        if outage is None:
            await asyncio.sleep(self._chance.uniform(0.1, 0.8))
            return Accepted(self._carrier.take(self.name, message))
        if not outage.silent:
            await asyncio.sleep(self._chance.uniform(0.1, 0.8))
            return Unavailable("503")
        if self._chance.random() < 0.5:
            self._carrier.take(self.name, message)
        await asyncio.sleep(_GATEWAY_TIMEOUT)
        return Unknown("silent")

    async def close(self) -> None:
        """Nothing is open."""
