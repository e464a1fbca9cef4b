"""The door to both databases: once per update, nothing half done, nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage.database import Database, DatabaseClock, normalise
from storage.errors import WrongCode
from storage.models import UpdateRef
from storage.statements import Connection
from storage.tables import applied_updates, lookups, outbox
from tests.sql import connected
from tests.storage.world import MOMENT, MovableClock, World


async def count_row(database: Database, conn: Connection) -> None:
    await conn.execute(
        lookups.insert().values(id=database.new_id(), person_hmac="p", kind="number", value_hmac="v", at=MOMENT)
    )


async def rows(database: Database, table: sa.Table = lookups) -> int:
    async with connected(database) as conn:
        return (await conn.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()


async def test_a_refusal_keeps_what_was_written(database: Database) -> None:
    async def work(conn: Connection) -> None:
        await count_row(database, conn)
        raise WrongCode(3)

    for _ in range(3):
        with pytest.raises(WrongCode) as refusal:
            await database.write(UpdateRef(1, 1), work)
        assert refusal.value.tries_left == 3
    assert await rows(database) == 1
    with pytest.raises(WrongCode):
        await database.write(None, work)
    assert await rows(database) == 2


async def test_anything_else_keeps_nothing_and_may_be_tried_again(database: Database) -> None:
    async def fail(conn: Connection) -> None:
        await count_row(database, conn)
        raise ZeroDivisionError

    async def work(conn: Connection) -> bool:
        await count_row(database, conn)
        return True

    with pytest.raises(ZeroDivisionError):
        await database.write(UpdateRef(1, 1), fail)
    assert (await rows(database), await rows(database, applied_updates)) == (0, 0)
    assert await database.write(UpdateRef(1, 1), work)
    assert await rows(database) == 1


async def test_t13_one_update_many_times_in_parallel_is_applied_once(database: Database) -> None:
    async def work(conn: Connection) -> bool:
        await count_row(database, conn)
        return True

    assert await asyncio.gather(*(database.write(UpdateRef(1, 5), work) for _ in range(10))) == [True] * 10
    assert await rows(database) == 1
    # The same id from another person, and a lower id after a restart of the numbering, are other updates.
    await database.write(UpdateRef(2, 5), work)
    await database.write(UpdateRef(1, 4), work)
    assert await rows(database) == 3


async def test_a_cancelled_transaction_keeps_nothing_or_all_and_holds_nobody_up(database: Database) -> None:
    async def work(conn: Connection) -> None:
        await count_row(database, conn)

    cancelled = [asyncio.create_task(database.write(UpdateRef(1, update), work)) for update in range(20)]
    for place, task in enumerate(cancelled):
        # At different moments of their lives: some are done by then, some have not begun.
        for _ in range(place):
            await asyncio.sleep(0)
        task.cancel()
    await asyncio.gather(*cancelled, return_exceptions=True)
    async with asyncio.timeout(5):
        await database.write(UpdateRef(1, 100), work)
        assert await rows(database) == await rows(database, applied_updates)
        for update in range(20):
            await database.write(UpdateRef(1, update), work)
    assert await rows(database) == 21


async def test_parallel_read_modify_write_loses_nothing(world: World) -> None:
    """Two handles on one database, as two processes have: reads within a write see the last commit."""
    other = Database(world.database.url.render_as_string(hide_password=False), pool_size=3)
    await world.outbox.put("counter", {"n": 0}, world.now)

    async def work(conn: Connection) -> None:
        row = (await conn.execute(sa.select(outbox).with_for_update())).one()
        await conn.execute(sa.update(outbox).values(payload={"n": row.payload["n"] + 1}))

    try:
        await asyncio.gather(*(handle.write(None, work) for handle in (world.database, other) for _ in range(50)))
    finally:
        await other.dispose()
    assert [row.payload for row in await world.rows(outbox)] == [{"n": 100}]


async def test_many_more_callers_than_connections_all_get_their_turn(database_url: str) -> None:
    small = Database(database_url, pool_size=1)
    try:
        await asyncio.gather(*(small.ping() for _ in range(30)))
    finally:
        await small.dispose()


async def test_who_writes_at_the_same_moment_shares_a_commit_and_not_a_failure(database: Database) -> None:
    async def work(conn: Connection, fails: bool) -> bool:
        await count_row(database, conn)
        if fails:
            raise ZeroDivisionError
        return True

    outcomes = await asyncio.gather(
        *(database.write(UpdateRef(1, number), partial(work, fails=number % 3 == 0)) for number in range(60)),
        return_exceptions=True,
    )
    assert [isinstance(outcome, ZeroDivisionError) for outcome in outcomes] == [n % 3 == 0 for n in range(60)]
    assert (await rows(database), await rows(database, applied_updates)) == (40, 40)


async def test_a_transaction_that_waits_for_something_else_is_a_mistake_on_sqlite(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/x.db")

    async def work(conn: Connection) -> None:
        await asyncio.sleep(0)

    try:
        with pytest.raises(RuntimeError, match="nothing but its own connection"):
            await database.write(None, work)
        await database.ping()
    finally:
        await database.dispose()


@pytest.fixture
async def postgresql(postgresql_url: str) -> AsyncIterator[Database]:
    """What SQLite cannot show: it has one writer at a time, and no connection to lose."""
    database = Database(postgresql_url)
    yield database
    await database.dispose()


async def test_a_deadlock_is_tried_again(postgresql: Database) -> None:
    database = postgresql
    async with connected(database) as conn:
        await conn.execute(_thing(database, "a"))
        await conn.execute(_thing(database, "b"))
    both_hold_one = asyncio.Barrier(2)
    runs = 0

    async def cross(first: str, second: str) -> None:
        nonlocal runs
        waited = False

        async def work(conn: Connection) -> None:
            nonlocal runs, waited
            runs += 1
            await conn.execute(_touch(first))
            if not waited:
                waited = True
                await both_hold_one.wait()
            await conn.execute(_touch(second))

        await database.write(None, work)

    await asyncio.gather(cross("a", "b"), cross("b", "a"))
    assert runs > 2
    async with connected(database) as conn:
        assert (await conn.execute(sa.select(outbox.c.attempts))).scalars().all() == [2, 2]


async def test_a_lost_connection_is_tried_again(postgresql: Database) -> None:
    database = postgresql
    runs = 0

    async def work(conn: Connection) -> bool:
        nonlocal runs
        runs += 1
        if runs == 1:
            me = (await conn.execute(sa.select(sa.func.pg_backend_pid()))).scalar_one()
            async with connected(database) as killer:
                await killer.execute(sa.select(sa.func.pg_terminate_backend(me)))
        await count_row(database, conn)
        return True

    assert await database.write(UpdateRef(1, 1), work)
    assert (runs, await rows(database)) == (2, 1)


async def test_the_clock_follows_the_database_on_postgresql(database: Database) -> None:
    machine = MovableClock()
    clock = DatabaseClock(database, machine)
    assert clock.now() == machine.now()
    await clock.refresh()
    if database.is_postgresql:
        assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    else:
        assert clock.now() == machine.now()
    before = clock.now()
    machine.move(minutes=1)
    assert clock.now() - before == timedelta(minutes=1)


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("sqlite:////tmp/x.db", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:///x.db", "sqlite+aiosqlite"),
        ("postgres://u:p@h/n", "postgresql+asyncpg"),
        ("postgresql://u:p@h/n", "postgresql+asyncpg"),
        ("postgresql+asyncpg://u:p@h/n", "postgresql+asyncpg"),
    ],
)
def test_addresses_are_normalised(given: str, driver: str) -> None:
    assert normalise(given).drivername == driver


def test_another_kind_of_database_is_refused_and_sslmode_is_translated() -> None:
    with pytest.raises(ValueError, match="sqlite:///path or postgresql"):
        normalise("mysql://u:p@h/n")
    assert normalise("postgresql://u:p@h/n?sslmode=require").query == {"ssl": "require"}


def _thing(database: Database, name: str) -> sa.Insert:
    values = {"id": database.new_id(), "kind": name, "payload": {}, "run_at": MOMENT, "attempts": 0, "status": "new"}
    return outbox.insert().values(values)


def _touch(name: str) -> sa.Update:
    return sa.update(outbox).where(outbox.c.kind == name).values(attempts=outbox.c.attempts + 1)
