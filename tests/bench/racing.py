"""The race: interleaved rounds, so that what disturbs the machine disturbs every contender alike."""

from __future__ import annotations

import asyncio
import bisect
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tests.bench.contenders import Contender, cpu_seconds
from tests.bench.outside import Outside
from tests.bench.people import Answers, Crowd

# Seconds after the last answer in which what is left to do is still charged: a courier's rows, a session's closing.
_TAIL = 0.3


@dataclass(frozen=True)
class Round:
    """One contender under one crowd. Times in ms, CPU in microseconds."""

    updates: int
    per_second: float
    cpu: float
    store_cpu: float
    p50: float
    p99: float
    codes_after: tuple[float, ...]
    calls: float
    finished: int


@dataclass
class Race:
    """All rounds of one contender, by the number of people."""

    rounds: dict[int, list[Round]] = field(default_factory=dict)

    def add(self, people: int, result: Round) -> None:
        self.rounds.setdefault(people, []).append(result)

    def median(self, people: int, value: Callable[[Round], float]) -> float:
        """Return the median over the rounds: one round that the machine disturbed does not count."""
        return statistics.median(value(result) for result in self.rounds[people])

    def codes_after(self, people: int) -> list[float]:
        """Return all waits for an SMS, in ms, sorted."""
        return sorted(wait for result in self.rounds.get(people, ()) for wait in result.codes_after)


class Ground:
    """What every round needs: the world outside, the shared store's process, fresh people."""

    def __init__(self, outside: Outside, store_pid: int, numbers: Iterator[int]) -> None:
        self._outside = outside
        self._store_pid = store_pid
        self._numbers = numbers
        self.failures: list[str] = []

    def crowd(self, contender: Contender) -> Crowd:
        """Return a crowd at this contender's door."""
        return Crowd(self._outside, contender.door, self._numbers)

    def failed(self, contender: Contender, answers: Answers) -> None:
        """Keep what went wrong."""
        self.failures += [f"{contender.kind.title}: {failure}" for failure in answers.failures]

    async def round(self, contender: Contender, people: int, seconds: float, think: float) -> Round | None:
        """Let one crowd through; None when nobody was answered."""
        calls, sms = Counter(self._outside.calls[contender.kind.token]), self._outside.sms
        cpu, store = contender.cpu(), cpu_seconds(self._store_pid)
        began = time.perf_counter()
        answers = await self.crowd(contender).registers(people, seconds, think)
        await asyncio.sleep(_TAIL)
        cpu, store = contender.cpu() - cpu, cpu_seconds(self._store_pid) - store
        self.failed(contender, answers)
        updates = len(answers.latencies)
        if not updates:
            return None
        made = (self._outside.calls[contender.kind.token] - calls).total() + self._outside.sms - sms
        latencies = sorted(answers.latencies)
        return Round(
            updates=updates,
            per_second=bisect.bisect(sorted(answers.moments), began + seconds) / seconds,
            cpu=cpu / updates * 1e6,
            store_cpu=store / updates * 1e6,
            p50=percentile(latencies, 50) * 1000,
            p99=percentile(latencies, 99) * 1000,
            codes_after=tuple(wait * 1000 for wait in answers.codes_after),
            calls=made / updates,
            finished=answers.finished,
        )


def percentile(ordered: list[float], share: float) -> float:
    """Return the value that `share` percent of a sorted, not empty list do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]


async def race(
    ground: Ground, contenders: Iterable[Contender], people: Iterable[int], rounds: int, seconds: float, think: float
) -> dict[str, Race]:
    """Return every contender's rounds. A short crowd goes before: connections, caches and scripts are made then."""
    standing = list(contenders)
    found = {contender.kind.key: Race() for contender in standing}
    for contender in standing:
        ground.failed(contender, await ground.crowd(contender).registers(8, min(1.0, seconds), 0))
    for _ in range(rounds):
        for crowd in people:
            for contender in standing:
                result = await ground.round(contender, crowd, seconds, think)
                if result:
                    found[contender.kind.key].add(crowd, result)
    return found
