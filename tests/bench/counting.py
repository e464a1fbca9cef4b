"""The counting round: what each step costs at the wire, with one person and nobody else. Nothing here is timed."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
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
_CHECKPOINT = re.compile(r"PRAGMA wal_checkpoint\b", re.IGNORECASE)
_ENDS = re.compile(r"(COMMIT|END|ROLLBACK)\b(?! TO)", re.IGNORECASE)


@dataclass
class Work:
    """What was counted, in all. `sql` and `courier_sql` are the statements themselves, without BEGIN and its like."""

    redis: Counter[str] = field(default_factory=Counter)
    sql: list[str] = field(default_factory=list)
    transactions: int = 0
    courier_sql: list[str] = field(default_factory=list)
    courier_transactions: int = 0
    calls: Counter[str] = field(default_factory=Counter)

    @property
    def statements(self) -> int:
        """How many statements the conversation ran."""
        return len(self.sql)

    @property
    def courier_statements(self) -> int:
        """How many statements the courier and the jobs ran."""
        return len(self.courier_sql)

    def __iadd__(self, other: Work) -> Work:
        self.redis += other.redis
        self.sql += other.sql
        self.transactions += other.transactions
        self.courier_sql += other.courier_sql
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


class Statements:
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


class Wire:
    """Everything the process with this bot token does, as it comes."""

    def __init__(self, token: str, outside: Outside, statements: Statements) -> None:
        self.commands: Counter[str] = Counter()
        self._token = token
        self._outside = outside
        self._source = statements
        self._statements: list[tuple[int, str]] = []
        self._begun = self._made()

    def _made(self) -> Counter[str]:
        return Counter({**self._outside.calls[self._token], "SMS": self._outside.sms})

    async def quiet(self, pause: float = _QUIET) -> Work:
        """Wait until nothing new comes for `pause` seconds, and return what came since the last time."""
        until = time.monotonic() + _QUIET_WITHIN
        seen: tuple[int, int, int] | None = None
        while time.monotonic() < until:
            self._statements += self._source.new()
            now = (len(self._statements), self.commands.total(), self._made().total())
            if now == seen:
                break
            seen = now
            await asyncio.sleep(pause)
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
            courier = [_is_courier(part) for part in parts]
            for part, is_courier in zip(parts, courier, strict=True):
                (work.courier_sql if is_courier else work.sql).extend(part)
            if _FRAME.match(transaction[0]):
                work.transactions += not all(courier)
                work.courier_transactions += all(courier)


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
        if statement.startswith("--") or _CHECKPOINT.match(statement):
            # A trigger's or a foreign key's own work; the log copied into the file, once a second for whoever wrote.
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
async def monitored(redis: Redis, wire: Wire) -> AsyncIterator[None]:
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
            # Whatever else ended it is raised: what came after was not counted.
            with suppress(asyncio.CancelledError):
                await listening


async def count(
    contender: Contender, outside: Outside, redis: Redis, log: Path, numbers: Iterator[int], journeys: int
) -> Counted:
    """Send one person after the other through a contender that runs under `tests.bench.counted`.

    Raises JourneyFailed.
    """
    found = Counted(journeys, {step: Work() for step in STEPS})
    wire = Wire(contender.kind.token, outside, Statements(log))
    line = await Line.open(contender.door.port)
    try:
        # The first opens connections and loads scripts: not counted.
        await Person(next(numbers), outside, contender.door, Answers()).registers(line)
        async with monitored(redis, wire):
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
