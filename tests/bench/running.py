"""The bench from start to end: one shared Valkey, one process for each contender, phase after phase.

Every phase has its own deadline, and what it started is ended by it, whatever happens.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from redis.asyncio import Redis

from bot.valkey import Valkey
from tests.bench.contenders import Contender, Kind, Place, kinds
from tests.bench.counting import count
from tests.bench.outside import Outside
from tests.bench.people import Answers, Door, JourneyFailed, Person
from tests.bench.plan import Contest, Memory, Plan, Results
from tests.bench.racing import Ground, race

_COUNTING_WITHIN = 90.0
_STARTS_WITHIN = 60.0
# Before the end of it all: what is left undone is reported, not cut off.
_ENDS_WITHIN = 10.0
# People at once while conversations pile up.
_BEGINNERS = 32


class Bench:
    """One run. `folder` takes the contenders' data and logs."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._folder = folder
        self._outside = Outside()
        self._valkey = Valkey(folder / "valkey")
        self._numbers = itertools.count(1)
        self._kinds = {key: kind for key, kind in kinds().items() if key in plan.contenders}
        self._plan = plan
        self._until = 0.0
        self._results = Results(plan, {key: Contest(kind.title) for key, kind in self._kinds.items()})

    async def run(self) -> Results:
        """Measure everything that is planned."""
        began = time.monotonic()
        self._until = began + self._plan.within
        plan, rounds = self._plan, self._plan.rounds * len(self._plan.people) * len(self._kinds)
        whole = [kind for kind in self._kinds.values() if not kind.races_only]
        async with AsyncExitStack() as stack:
            await self._outside.start()
            stack.push_async_callback(self._outside.stop)
            await self._valkey.start()
            stack.push_async_callback(self._valkey.stop)
            for kind in whole:
                await self._phase(f"counting: {kind.title}", self._count(kind), _COUNTING_WITHIN)
            await self._phase("racing", self._race(), 60 + rounds * (plan.seconds + 20))
            for kind in whole:
                await self._phase(f"starting: {kind.title}", self._start(kind), _STARTS_WITHIN)
            if "a" in self._kinds and plan.conversations:
                await self._phase("conversations", self._remember(), plan.conversations_within + 60)
        self._results.took = time.monotonic() - began
        return self._results

    async def _phase(self, name: str, work: Awaitable[None], within: float) -> None:
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        began = time.monotonic()
        within = max(0.0, min(within, self._until - began))
        try:
            async with asyncio.timeout(within):
                await work
        except TimeoutError:
            self._results.failures.append(f"{name}: not finished within {within:.0f} s")
        except JourneyFailed as error:
            self._results.failures.append(f"{name}: {error}")
        print(f"{time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)

    def _person(self, number: int, door: Door, answers: Answers) -> Person:
        return Person(number, self._outside, door, answers)

    @asynccontextmanager
    async def _serving(self, kind: Kind, purpose: str, *before: str) -> AsyncIterator[tuple[Contender, float]]:
        place = Place(self._outside.base_url, self._valkey.url, self._folder / f"{kind.key}-{purpose}")
        contender = Contender(kind, place)
        try:
            yield contender, await contender.start(self._person, *before)
        finally:
            await contender.stop()

    async def _count(self, kind: Kind) -> None:
        log = self._folder / f"{kind.key}.statements"
        log.touch()
        async with self._serving(kind, "counted", "-m", "tests.bench.counted", str(log)) as (contender, _):
            redis = Redis.from_url(self._valkey.url)
            try:
                self._results.contests[kind.key].counted = await count(
                    contender, self._outside, redis, log, self._numbers, self._plan.counted_journeys
                )
            finally:
                await redis.aclose()

    async def _race(self) -> None:
        plan = self._plan
        assert self._valkey.pid is not None
        ground = Ground(self._outside, self._valkey.pid, self._numbers)
        async with AsyncExitStack() as stack:
            standing = []
            for kind in self._kinds.values():
                contender, took = await stack.enter_async_context(self._serving(kind, "race"))
                self._results.contests[kind.key].first_start = took
                standing.append(contender)
            races = await race(ground, standing, plan.people, plan.rounds, plan.seconds, plan.think)
            for contender in standing:
                contest = self._results.contests[contender.kind.key]
                contest.race, contest.peak = races[contender.kind.key], contender.memory("VmHWM")
        self._results.failures += ground.failures

    async def _start(self, kind: Kind) -> None:
        for _ in range(self._plan.starts):
            # On the data of the race: a start on an empty folder also makes the tables, once in a bot's life.
            async with self._serving(kind, "race") as (_, took):
                self._results.contests[kind.key].starts.append(took)

    async def _remember(self) -> None:
        assert self._valkey.pid is not None
        ground = Ground(self._outside, self._valkey.pid, self._numbers)
        memory = self._results.memory = Memory()
        redis = Redis.from_url(self._valkey.url)
        try:
            async with self._serving(self._kinds["a"], "memory") as (contender, _):
                until = min(time.monotonic() + self._plan.conversations_within, self._until - _ENDS_WITHIN)
                # The first open connections and load scripts, here and there.
                ground.failed(contender, await ground.crowd(contender).starts(_BEGINNERS, _BEGINNERS * 10, 30))
                before, done = int((await redis.info("memory"))["used_memory"]), 0
                for target in self._plan.conversations:
                    crowd = ground.crowd(contender)
                    answers = await crowd.starts(_BEGINNERS, target - done, until - time.monotonic())
                    ground.failed(contender, answers)
                    done += len(answers.latencies)
                    memory.resident.append((done, contender.memory("VmRSS")))
                    if not memory.record:
                        used = int((await redis.info("memory"))["used_memory"])
                        memory.record = (used - before) / max(1, done)
        finally:
            await redis.aclose()
            self._results.failures += ground.failures
