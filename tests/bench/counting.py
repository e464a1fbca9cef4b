"""The counting round: what each step costs at the wire, with one person and nobody else. Nothing here is timed."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from redis.asyncio import Redis

from tests.bench.contenders import Contender
from tests.bench.outside import Outside
from tests.bench.people import STEPS, Answers, Person
from tests.bench.wire import Line

# Seconds without anything new after which a step's work is over, and the most that is waited for that.
_QUIET = 0.15
_QUIET_WITHIN = 5.0
_FRAME = re.compile(r"(BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE)\b", re.IGNORECASE)
_ENDS = re.compile(r"(COMMIT|END|ROLLBACK)\b(?! TO)", re.IGNORECASE)


@dataclass
class Work:
    """What was counted, in all."""

    redis: Counter[str] = field(default_factory=Counter)
    statements: int = 0
    transactions: int = 0
    courier_statements: int = 0
    courier_transactions: int = 0
    calls: Counter[str] = field(default_factory=Counter)

    def __iadd__(self, other: Work) -> Work:
        self.redis += other.redis
        self.statements += other.statements
        self.transactions += other.transactions
        self.courier_statements += other.courier_statements
        self.courier_transactions += other.courier_transactions
        self.calls += other.calls
        return self


@dataclass
class Counted:
    """The work of so many journeys, by step."""

    journeys: int
    steps: dict[str, Work]

    @property
    def whole(self) -> Work:
        """The work of all steps together."""
        total = Work()
        for work in self.steps.values():
            total += work
        return total


class _Statements:
    """Reads what `tests.bench.counted` writes down."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new(self) -> list[tuple[int, str]]:
        """Return what came since the last call: the connection's number and the statement, whole lines only."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            arrived = file.read()
        whole = arrived[: arrived.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [tuple(json.loads(line)) for line in whole.splitlines()]


class _Wire:
    """Everything one contender does, as it comes."""

    def __init__(self, contender: Contender, outside: Outside, statements: _Statements) -> None:
        self.commands: Counter[str] = Counter()
        self._token = contender.kind.token
        self._outside = outside
        self._source = statements
        self._statements: list[tuple[int, str]] = []
        self._begun = self._made()

    def _made(self) -> Counter[str]:
        return Counter({**self._outside.calls[self._token], "SMS": self._outside.sms})

    async def quiet(self) -> Work:
        """Wait until nothing new comes, and return what came since the last time."""
        until = time.monotonic() + _QUIET_WITHIN
        seen: tuple[int, int, int] | None = None
        while time.monotonic() < until:
            self._statements += self._source.new()
            now = (len(self._statements), self.commands.total(), self._made().total())
            if now == seen:
                break
            seen = now
            await asyncio.sleep(_QUIET)
        work = Work(redis=Counter(self.commands), calls=self._made() - self._begun)
        _sort_out(self._statements, work)
        self.commands.clear()
        self._statements, self._begun = [], self._made()
        return work


def _sort_out(statements: list[tuple[int, str]], work: Work) -> None:
    """Count statements and transactions, the courier's apart."""
    for _, own in itertools.groupby(sorted(statements, key=lambda pair: pair[0]), key=lambda pair: pair[0]):
        for transaction in _transactions(statement for _, statement in own):
            parts = _parts(transaction)
            ours = [part for part in parts if not _is_courier(part)]
            work.statements += sum(map(len, ours))
            work.courier_statements += sum(map(len, parts)) - sum(map(len, ours))
            if _FRAME.match(transaction[0]):
                work.transactions += bool(ours)
                work.courier_transactions += not ours


def _parts(transaction: list[str]) -> list[list[str]]:
    """Return what stands in each savepoint, or all of it where there is none: several people may share a commit."""
    parts: list[list[str]] = [[]]
    for statement in transaction:
        if statement.upper().startswith("SAVEPOINT"):
            parts.append([])
        elif not _FRAME.match(statement):
            parts[-1].append(statement)
    return [part for part in parts if part]


def _is_courier(part: list[str]) -> bool:
    """Tell whether this is work beside the conversation, for which nobody waits: the courier's, or a job's.

    Whatever an update changes, it records the update beside it; who changes something without, or looks into the
    outbox, acts for no update.
    """
    text = " ".join(part)
    changes = any(re.match("INSERT|UPDATE|DELETE", statement, re.IGNORECASE) for statement in part)
    return "applied_updates" not in text and (changes or "outbox" in text)


def _transactions(statements: Iterator[str]) -> Iterator[list[str]]:
    """Cut one connection's statements into transactions; outside of any, each statement is its own."""
    inside: list[str] = []
    for statement in statements:
        if statement.startswith("--"):
            # A trigger's or a foreign key's own work.
            continue
        if inside or re.match(r"BEGIN\b", statement, re.IGNORECASE):
            inside.append(statement)
            if _ENDS.match(statement):
                yield inside
                inside = []
        else:
            yield [statement]
    if inside:
        yield inside


@asynccontextmanager
async def _monitored(redis: Redis, wire: _Wire) -> AsyncIterator[None]:
    """Count every command that reaches the store; what a script calls inside is part of the script."""

    async def listen(monitor: Any) -> None:
        async for command in monitor.listen():
            if command["client_type"] != "lua":
                wire.commands[cast(str, command["command"]).split(" ", 1)[0].upper()] += 1

    async with redis.monitor() as monitor:
        listening = asyncio.create_task(listen(monitor))
        try:
            yield
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def count(
    contender: Contender, outside: Outside, redis: Redis, log: Path, numbers: Iterator[int], journeys: int
) -> Counted:
    """Send one person after the other through a contender that runs under `tests.bench.counted`.

    Raises JourneyFailed.
    """
    found = Counted(journeys, {step: Work() for step in STEPS})
    wire = _Wire(contender, outside, _Statements(log))
    line = await Line.open(contender.door.port)
    try:
        # The first opens connections and loads scripts: not counted.
        await Person(next(numbers), outside, contender.door, Answers()).registers(line)
        async with _monitored(redis, wire):
            await wire.quiet()
            for _ in range(journeys):
                person = Person(next(numbers), outside, contender.door, Answers())
                with person.listening():
                    for step in STEPS:
                        await person.does(step, line)
                        found.steps[step] += await wire.quiet()
    finally:
        line.close()
    return found
