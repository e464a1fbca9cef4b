"""`/metrics` for Prometheus: what the ledger and the outbox come to, and what this process did since it started.

No person, number or code: gateways, channels, countries, states and limits. What comes from the database is the same on
every replica (take the maximum, not the sum); what is counted in the process is its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from aiogram.types import TelegramObject
from aiohttp import web

from bot.outages import storage_is_away
from storage.clock import Clock
from storage.conversion import Backlog, Conversion, Figures
from storage.errors import Refusal

if TYPE_CHECKING:
    from prometheus_client.core import Metric

log = logging.getLogger(__name__)

T = TypeVar("T")

_DAY = timedelta(hours=24)
# Seconds for which an answer of the stores serves every scrape, however many ask.
_FRESH = 10.0
# Seconds that a store may take to answer: Prometheus waits for ten.
_WITHIN = 3.0
# Label values, and what they are at.
_Values = Iterable[tuple[tuple[str, ...], float]]
_SEND = ("gateway", "channel", "country")


class Counters:
    """What happened to updates here. A middleware of the update observer, inside the one that explains refusals."""

    def __init__(self) -> None:
        self.updates: Counter[str] = Counter()
        # By the refusal's name and, where there is one, its limit.
        self.refusals: Counter[tuple[str, str]] = Counter()

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        """Count one update by how it ended."""
        outcome = "failed"
        try:
            reply = await handler(event, data)
            outcome = "handled"
            return reply
        except Refusal as refusal:
            outcome = "refused"
            self.refusals[type(refusal).__name__, str(getattr(refusal, "limit", ""))] += 1
            raise
        finally:
            self.updates[outcome] += 1


@dataclass(frozen=True)
class _Seen:
    """What the stores answered; None where they did not."""

    day: Figures | None
    backlog: Backlog | None
    redis: bool


class Metrics:
    """The route. `budget` is DAILY_BUDGET; `redis_answers` raises when Redis does not; `monotonic` returns seconds."""

    def __init__(
        self,
        conversion: Conversion,
        counters: Counters,
        redis_answers: Callable[[], Awaitable[object]],
        clock: Clock,
        *,
        budget: int | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._conversion = conversion
        self._counters = counters
        self._redis_answers = redis_answers
        self._clock = clock
        self._budget = budget
        self._monotonic = monotonic
        self._seen: _Seen | None = None
        self._seen_at = 0.0
        # Whoever scrapes while the stores are being asked waits for that answer.
        self._asking = asyncio.Lock()

    def add_to(self, app: web.Application) -> None:
        """Add `GET /metrics`."""
        app.router.add_get("/metrics", self._answer)

    async def _answer(self, _: web.Request) -> web.Response:
        # Not at the top: 1 MB and 20 ms, for who is scraped.
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest

        registry = CollectorRegistry(support_collectors_without_names=True)
        ProcessCollector(registry=registry)
        registry.register(_Collected([*_families(await self._look(), self._counters, self._budget, self._clock)]))
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _look(self) -> _Seen:
        async with self._asking:
            if self._seen is None or self._monotonic() - self._seen_at >= _FRESH:
                self._seen = await self._read()
                self._seen_at = self._monotonic()
            return self._seen

    async def _read(self) -> _Seen:
        now = self._clock.now()
        day, backlog, redis = await asyncio.gather(
            _answered(self._conversion.of(now - _DAY, now)),
            _answered(self._conversion.backlog(now)),
            _answered(self._pinged()),
        )
        return _Seen(day, backlog, redis is not None)

    async def _pinged(self) -> bool:
        await self._redis_answers()
        return True


async def _answered(question: Awaitable[T]) -> T | None:
    """Return a store's answer, None when there is none in time."""
    try:
        async with asyncio.timeout(_WITHIN):
            return await question
    except Exception as error:
        if storage_is_away(error):
            log.warning("a scrape goes without what a store did not answer: %s", type(error).__name__)
        else:
            log.exception("a scrape goes without what could not be read")
        return None


class _Collected:
    """Families that are there already, as a collector."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _families(seen: _Seen, counters: Counters, budget: int | None, clock: Clock) -> Iterator[Metric]:
    is_up = {("database",): seen.day is not None and seen.backlog is not None, ("redis",): seen.redis}
    yield _gauge("up", "Whether this store answered.", ("store",), is_up.items())
    if seen.day is not None:
        yield from _of_day(seen.day)
    if budget is not None:
        yield _gauge("budget", "DAILY_BUDGET: minor units of CURRENCY.", (), [((), budget)])
    if seen.backlog is not None:
        yield from _of_backlog(seen.backlog, clock)
    updates = [((outcome,), n) for outcome, n in counters.updates.items()]
    yield _counter("updates", "Updates that reached the conversation, by how they ended.", ("outcome",), updates)
    told = "Refusals people were told, by kind and limit."
    yield _counter("refusals_told", told, ("refusal", "limit"), counters.refusals.items())


def _of_day(day: Figures) -> Iterator[Metric]:
    places = [((each.gateway, each.channel.value, each.country), each) for each in day.converted]
    states = [((*place, state.value), n) for place, each in places for state, n in each.states.items()]
    yield _gauge("sends_last_day", "Codes of the last 24 hours, by state.", (*_SEND, "state"), states)
    entered = [(place, each.entered) for place, each in places]
    yield _gauge("entered_last_day", "Codes of the last 24 hours that were entered.", _SEND, entered)
    conversion = [(place, each.entered / each.sent) for place, each in places if each.sent]
    yield _gauge("conversion_last_day", "Entered of those that left, of the last 24 hours.", _SEND, conversion)
    cost = [(place, each.cost) for place, each in places]
    yield _gauge("cost_last_day", "Price of the codes of the last 24 hours: minor units of CURRENCY.", _SEND, cost)
    spent = "What the last 24 hours cost, or may have: minor units of CURRENCY."
    yield _gauge("spent_last_day", spent, (), [((), day.cost)])
    refusals = [((limit.value,), n) for limit, n in day.refusals.items()]
    yield _gauge("refusals_last_day", "Codes refused in the last 24 hours, by limit.", ("limit",), refusals)


def _of_backlog(backlog: Backlog, clock: Clock) -> Iterator[Metric]:
    yield _gauge("outbox_rows", "Rows the outbox holds, those of a later hour included.", (), [((), backlog.rows)])
    yield _gauge("outbox_due_rows", "Rows that are due, or being sent.", (), [((), backlog.due)])
    waited = (clock.now() - backlog.oldest_due).total_seconds() if backlog.oldest_due else 0.0
    yield _gauge("outbox_oldest_due_seconds", "For how long the oldest due row has been.", (), [((), waited)])


def _gauge(name: str, says: str, labels: tuple[str, ...], values: _Values) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"registration_{name}", says, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def _counter(name: str, says: str, labels: tuple[str, ...], values: _Values) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"registration_{name}", says, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family
