"""What a partner's answer costs: `python -m tests.bench.funnels [--touches N,...] [--postgresql | --sqlite]`.

Databases with so many touches of so many partners, five campaigns each; one of them asks for every period and for the
table. Three questions: how an answer grows with the partner's own people, whether it grows with other partners' (the
last rows: the same own people among ten times as many others, and everything one partner's), and what a touch takes.
Exits with 1 when an answer takes a second or does not come from the covering index.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import asyncpg as on_asyncpg

from handlers.funnel_table import as_csv
from storage.attribution import Attribution
from storage.database import Database
from storage.funnels import DAYS_OF_PARTNER, OF_PARTNER, Funnels, Period
from storage.keys import Keys
from storage.migrations import migrate
from storage.statements import Statement
from tests.bench.cleanup import percentile, postgresql_server

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CAMPAIGNS = 5
DAYS = 365
# How far people come: a third registers.
STAGES = (25, 15, 15, 10, 35)
RUNS = 50
WITHIN = 1.0
INDEX = "ix_touches_campaign_id_day_stage"
_TOUCHES = ("person", "campaign_id", "at", "day", "stage")
_SIZE_SQLITE = (
    "SELECT sum(pgsize) FROM dbstat WHERE name IN (SELECT name FROM sqlite_master WHERE tbl_name = 'touches')"
)


@dataclass
class Measured:
    """One database. Times in seconds by what was asked; `size`: bytes per touch with its indexes."""

    database: str
    touches: int
    partners: int
    answers: dict[str, list[float]] = field(default_factory=dict)
    size: float = 0.0
    plan: str = ""

    @property
    def failures(self) -> list[str]:
        # The table is a file, which may take its time.
        slow = [period for period in Period if percentile(self.answers[period], 0.99) >= WITHIN * 1000]
        found = [f"{name} takes a second or more" for name in slow]
        return found if "covering index" in self.plan.lower() or "Index Only Scan" in self.plan else [*found, self.plan]


def partner_id(n: int) -> UUID:
    return UUID(int=n + 1)


def campaign_id(n: int) -> int:
    """Spread as random codes are, the same each time."""
    return (n * 2654435761 + 12345) % 2**40


def campaign_rows(partners: int) -> Iterator[tuple[int, UUID, str, datetime]]:
    for n in range(partners * CAMPAIGNS):
        yield campaign_id(n), partner_id(n // CAMPAIGNS), f"campaign {n}", NOW


def touch_rows(touches: int, partners: int) -> Iterator[tuple[bytes, int, int, int, int]]:
    """In the order of their moments, as they come."""
    chance = random.Random(8)
    stages = chance.choices(range(len(STAGES)), STAGES, k=10_007)
    begin = NOW - timedelta(days=DAYS)
    for n in range(touches):
        at = begin + timedelta(days=DAYS) * (n + 1) / touches
        of = campaign_id(chance.randrange(partners * CAMPAIGNS))
        yield chance.randbytes(16), of, int(at.timestamp()), at.toordinal(), stages[n % len(stages)]


def click_rows(partners: int) -> Iterator[tuple[int, int, int]]:
    for n, day in itertools.product(range(partners * CAMPAIGNS), range(DAYS)):
        yield campaign_id(n), NOW.toordinal() - day, 1 + (n + day) % 50


def fill_sqlite(path: str, touches: int, partners: int) -> float:
    """Fill a migrated file nobody else has open; return the bytes per touch."""
    raw = sqlite3.connect(path)
    try:
        raw.execute("PRAGMA synchronous=OFF")
        raw.executemany(
            "INSERT INTO campaigns (id, partner_id, name, created_at) VALUES (?, ?, ?, ?)",
            ((number, of.hex, name, f"{at:%Y-%m-%d %H:%M:%S.%f}") for number, of, name, at in campaign_rows(partners)),
        )
        raw.executemany(
            f"INSERT INTO touches ({', '.join(_TOUCHES)}) VALUES (?, ?, ?, ?, ?)", touch_rows(touches, partners)
        )
        raw.executemany("INSERT INTO click_days (campaign_id, day, clicks) VALUES (?, ?, ?)", click_rows(partners))
        raw.commit()
        return float(raw.execute(_SIZE_SQLITE).fetchone()[0]) / touches
    finally:
        raw.close()


async def fill_postgresql(url: str, touches: int, partners: int) -> float:
    """Fill a migrated database, and tidy up as PostgreSQL does by itself a minute later."""
    raw = await asyncpg.connect(url)
    try:
        for table, columns, rows in (
            ("campaigns", ("id", "partner_id", "name", "created_at"), campaign_rows(partners)),
            ("touches", _TOUCHES, touch_rows(touches, partners)),
            ("click_days", ("campaign_id", "day", "clicks"), click_rows(partners)),
        ):
            await raw.copy_records_to_table(table, records=rows, columns=columns)
        await raw.execute("VACUUM ANALYZE touches")
        await raw.execute("VACUUM ANALYZE click_days")
        await raw.execute("VACUUM ANALYZE campaigns")
        return float(await raw.fetchval("SELECT pg_total_relation_size('touches')")) / touches
    finally:
        await raw.close()


async def plan_of(url: str, statement: Statement, **values: Any) -> str:
    """Return how the database runs it."""
    if url.startswith("sqlite"):
        prepared = statement.prepared(sqlite.dialect())
        file = sqlite3.connect(url.removeprefix("sqlite:///"))
        try:
            found = file.execute(f"EXPLAIN QUERY PLAN {prepared.sql}", prepared.parameters(values)).fetchall()
        finally:
            file.close()
        return "\n".join(str(row[-1]) for row in found)
    dialect: Any = on_asyncpg.dialect()  # type: ignore[no-untyped-call]
    prepared = statement.prepared(dialect)
    raw = await asyncpg.connect(url)
    try:
        explain = f"EXPLAIN (ANALYZE, BUFFERS) {prepared.sql}"
        return "\n".join(row[0] for row in await raw.fetch(explain, *prepared.parameters(values)))
    finally:
        await raw.close()


async def timed(runs: int, ask: Callable[[int], Awaitable[object]]) -> list[float]:
    """Return how long each of so many took, after one that warms up."""
    await ask(-1)
    times = []
    for n in range(runs):
        began = time.perf_counter()
        await ask(n)
        times.append(time.perf_counter() - began)
    return times


async def ask(measured: Measured, url: str, runs: int) -> Measured:
    """Ask as the chat does, through the bot's own repositories."""
    database = Database(url)
    funnels, own = Funnels(database, UTC), partner_id(0)
    attribution = Attribution(database, Keys("a secret of the bench, long enough"), timedelta(days=30), UTC)

    async def table(n: int) -> None:
        as_csv(await funnels.days(own))

    async def comes(n: int) -> None:
        # Nobody has been there with a negative id.
        await attribution.touch(-1000 - n, campaign_id(n % CAMPAIGNS), NOW)

    try:
        for period in Period:
            measured.answers[period.value] = await timed(runs, lambda n, of=period: funnels.of_partner(own, of, NOW))  # type: ignore[misc]
        measured.answers["table"] = await timed(max(3, runs // 5), table)
        measured.answers["a touch"] = await timed(runs, comes)
    finally:
        await database.dispose()
    statements = {"the answer": OF_PARTNER[0], "the table": DAYS_OF_PARTNER[0]}
    plans = [f"{name}\n{await plan_of(url, one, partner=own, since=0)}" for name, one in statements.items()]
    measured.plan = "\n".join(plans)
    return measured


def run(database: str, touches: int, partners: int, runs: int = RUNS) -> Measured:
    """Load, measure, and leave nothing behind."""
    measured = Measured(database, touches, partners)
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name, ExitStack() as stack:
        path = Path(name) / "bot.db"
        url = f"sqlite:///{path}" if database == "sqlite" else stack.enter_context(postgresql_server())
        asyncio.run(migrate(url))
        if database == "sqlite":
            measured.size = fill_sqlite(str(path), touches, partners)
        else:
            measured.size = asyncio.run(fill_postgresql(url, touches, partners))
        return asyncio.run(ask(measured, url, runs))


def report(results: list[Measured]) -> str:
    """Return the table: milliseconds, p50 / p99."""
    names = list(results[0].answers)
    heads = ("database", "touches", "partners", "a partner's", *names, "bytes")
    rows = [heads]
    for one in results:
        times = [f"{percentile(one.answers[n], 0.5):.1f} / {percentile(one.answers[n], 0.99):.1f}" for n in names]
        counts = (f"{one.touches:,}", f"{one.partners:,}", f"{one.touches // one.partners:,}")
        rows.append((one.database, *counts, *times, f"{one.size:.0f}"))
    widths = [max(len(row[n]) for row in rows) for n in range(len(heads))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def plans(results: list[Measured]) -> str:
    """Return the query plans of the last database of each kind."""
    # Where one partner has everything, reading everything is right.
    last = {one.database: one for one in results if one.partners > 1}
    return "\n\n".join(f"{one.database}, {one.touches:,} touches: {one.plan}" for one in last.values())


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(number.replace("_", "")) for number in text.split(","))
    if not all(1000 <= number <= 10_000_000 for number in numbers):
        raise argparse.ArgumentTypeError("1000 to 10000000 touches")
    return numbers


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.funnels", description="Measure a partner's answer.")
    parser.add_argument("--touches", type=_numbers, default=(10_000, 100_000, 1_000_000), metavar="N,...")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--postgresql", action="store_true", help="PostgreSQL alone")
    only.add_argument("--sqlite", action="store_true", help="SQLite alone")
    given = parser.parse_args()
    databases = ["postgresql"] if given.postgresql else ["sqlite"] if given.sqlite else ["sqlite", "postgresql"]
    most = max(given.touches)
    worlds = [(touches, 40) for touches in given.touches] + [(most, 400), (most, 1)]
    results = []
    for database, (touches, partners) in itertools.product(databases, worlds):
        print(f"{database}, {touches:,} touches of {partners} partners ...", file=sys.stderr, flush=True)
        results.append(run(database, touches, partners))
    print(report(results), plans(results), sep="\n\n")
    failures = [
        f"{one.database}, {one.touches:,} of {one.partners}: {line}" for one in results for line in one.failures
    ]
    print(*failures, sep="\n", end="\n" if failures else "")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
