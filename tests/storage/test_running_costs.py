"""What a day cost, from sums that the database keeps, is what its rows say: whatever was written, and at any moment."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from storage import migrations
from storage.database import Database
from storage.migrations import migrate
from storage.pruning import REMEMBERED, Pruning
from storage.spending import spent_at
from storage.tables import running_costs, sends
from tests.sql import connected
from tests.storage.world import DAY, World

NOW = datetime(2026, 5, 4, 12, 3, 30, 123456, UTC)
SLOT = timedelta(minutes=10)
# Where a sum could begin a row too early or too late.
EDGES = (NOW - DAY, NOW - DAY - SLOT, NOW.replace(minute=0, second=0, microsecond=0) - DAY)


def row(n: int, at: datetime, price: int | None) -> dict[str, Any]:
    return {
        "id": UUID(int=n), "at": at, "changed_at": at, "number_hmac": "n", "prefix_hmac": "r", "person_hmac": "p",
        "country": "RU", "channel": "sms", "repeated": False, "state": "accepted", "price": price,
    }  # fmt: skip


def some_rows(chance: random.Random, number: int) -> list[dict[str, Any]]:
    """Return rows of the last 26 hours, every third at the edge of a ten minutes or of the day, give or take 1 µs."""

    def moment(n: int) -> datetime:
        if n % 3:
            return NOW - chance.random() * timedelta(hours=26)
        return chance.choice(EDGES) + chance.choice((-1, 0, 1)) * timedelta(microseconds=1)

    return [row(n, moment(n), chance.choice((None, 0, 1, 300, 777))) for n in range(number)]


async def rows_say(database: Database, now: datetime) -> int:
    async with connected(database) as conn:
        found = (await conn.execute(sa.select(sends.c.at, sends.c.price))).all()
    return sum(price or 0 for at, price in found if at > now - DAY)


async def agree(database: Database, moments: list[datetime]) -> None:
    for now in moments:
        spent = await database.read(partial(spent_at, now=now))
        assert spent == await rows_say(database, now), now


async def test_the_sums_follow_whatever_is_written(database: Database) -> None:
    chance = random.Random(20261129)
    moments = [NOW, *(NOW + timedelta(minutes=minutes) for minutes in (1, 6, 7, 600)), *(edge + DAY for edge in EDGES)]
    async with connected(database) as conn:
        await conn.execute(sa.insert(sends), some_rows(chance, 300))
    assert await rows_say(database, NOW) > 0
    await agree(database, moments)
    for statement in (
        lambda n: sa.update(sends).where(sends.c.id == UUID(int=n)).values(price=chance.choice((None, 0, 5, 900))),
        lambda n: sa.update(sends).where(sends.c.id == UUID(int=n)).values(state="failed"),
        lambda n: sa.delete(sends).where(sends.c.id == UUID(int=n)),
    ):
        async with connected(database) as conn:
            for n in chance.sample(range(300), 100):
                await conn.execute(statement(n))
        await agree(database, moments)


async def test_what_was_rolled_back_costs_nothing(database: Database) -> None:
    async with connected(database) as conn:
        savepoint = await conn.begin_nested()
        await conn.execute(sa.insert(sends), [row(1, NOW, 300)])
        await savepoint.rollback()
        await conn.execute(sa.insert(sends), [row(2, NOW, 5)])
    assert await database.read(partial(spent_at, now=NOW)) == 5


async def test_codes_written_at_once_are_all_counted(database: Database) -> None:
    """Each in a transaction of its own, on PostgreSQL on a connection of its own: all add to the same ten minutes."""

    async def write(n: int) -> None:
        async with connected(database) as conn:
            await conn.execute(sa.insert(sends), [row(n, NOW, 300)])
            await conn.execute(sa.update(sends).where(sends.c.id == UUID(int=n)).values(price=100 + n))

    await asyncio.gather(*(write(n) for n in range(12)))
    assert await database.read(partial(spent_at, now=NOW)) == sum(100 + n for n in range(12))


async def test_ten_minutes_may_cost_more_than_a_code_can(database: Database) -> None:
    """Prices are in the smallest unit of any currency."""
    async with connected(database) as conn:
        await conn.execute(sa.insert(sends), [row(n, NOW, 2**31 - 1) for n in range(3)])
    spent = await database.read(partial(spent_at, now=NOW))
    assert (type(spent), spent) == (int, 3 * (2**31 - 1))


async def test_what_the_ledger_held_before_is_counted(empty_database_url: str) -> None:
    """An installation of the version before, with a day's codes in it."""
    await migrate(empty_database_url)
    database = Database(empty_database_url)
    await changed(database, lambda config: command.downgrade(config, "0010"))
    async with connected(database) as conn:
        await conn.execute(sa.insert(sends), some_rows(random.Random(7), 100))
    await changed(database, lambda config: command.upgrade(config, "head"))
    await agree(database, [NOW, NOW + timedelta(hours=3)])
    assert await rows_say(database, NOW) > 0
    await database.dispose()


async def changed(database: Database, change: Callable[[Config], None]) -> None:
    def run(connection: sa.Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        change(config)

    async with connected(database) as conn:
        await conn.run_sync(run)


async def test_old_sums_are_forgotten_and_those_of_the_day_are_not(world: World) -> None:
    async with connected(world.database) as conn:
        await conn.execute(
            sa.insert(sends),
            [row(1, world.now - REMEMBERED - SLOT, 300), row(2, world.now - DAY + SLOT, 50), row(3, world.now, 7)],
        )
    pruned = [step async for step in Pruning(world.database, world.limits).run(world.now)]
    assert [step.rows for step in pruned] == [1]
    assert sorted(each.cost for each in await world.rows(running_costs)) == [7, 50]
    assert await world.database.read(partial(spent_at, now=world.now)) == 57
