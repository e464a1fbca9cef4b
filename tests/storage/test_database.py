"""The door to both databases: once per update, nothing half done, nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import errors
from storage.applied import encode
from storage.database import Database, DatabaseClock, normalise
from storage.errors import Limit, LimitReached, NoAccount, WrongCode
from storage.models import CodeSent, Progress, UpdateRef
from storage.tables import applied_updates, lookups, outbox
from tests.storage.world import MovableClock, World

MOMENT = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC)


async def count_row(database: Database, conn: AsyncConnection) -> None:
    await conn.execute(
        lookups.insert().values(id=database.new_id(), person_hmac="p", kind="number", value_hmac="v", at=MOMENT)
    )


async def rows(database: Database, table: sa.Table = lookups) -> int:
    async with database.read() as conn:
        return (await conn.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()


async def test_a_refusal_keeps_what_was_written(database: Database) -> None:
    async def work(conn: AsyncConnection) -> None:
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
    async def fail(conn: AsyncConnection) -> None:
        await count_row(database, conn)
        raise ZeroDivisionError

    async def work(conn: AsyncConnection) -> bool:
        await count_row(database, conn)
        return True

    with pytest.raises(ZeroDivisionError):
        await database.write(UpdateRef(1, 1), fail)
    assert (await rows(database), await rows(database, applied_updates)) == (0, 0)
    assert await database.write(UpdateRef(1, 1), work)
    assert await rows(database) == 1


async def test_t13_one_update_many_times_in_parallel_is_applied_once(database: Database) -> None:
    async def work(conn: AsyncConnection) -> bool:
        await count_row(database, conn)
        return True

    assert await asyncio.gather(*(database.write(UpdateRef(1, 5), work) for _ in range(10))) == [True] * 10
    assert await rows(database) == 1
    # The same id from another person, and a lower id after a restart of the numbering, are other updates.
    await database.write(UpdateRef(2, 5), work)
    await database.write(UpdateRef(1, 4), work)
    assert await rows(database) == 3


async def test_a_cancelled_transaction_frees_the_lock_at_once(database: Database) -> None:
    begun = asyncio.Event()

    async def hang(conn: AsyncConnection) -> None:
        await count_row(database, conn)
        begun.set()
        await asyncio.Event().wait()

    async def work(conn: AsyncConnection) -> None:
        await count_row(database, conn)

    hanging = asyncio.create_task(database.write(UpdateRef(1, 1), hang))
    await begun.wait()
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
    async with asyncio.timeout(2):
        await database.write(UpdateRef(1, 1), work)
    assert await rows(database) == 1


async def test_parallel_read_modify_write_loses_nothing(world: World) -> None:
    """Two handles on one database, as two processes have: reads within a write see the last commit."""
    other = Database(world.database.url.render_as_string(hide_password=False), pool_size=3)
    await world.outbox.put("counter", {"n": 0}, world.now)

    async def work(conn: AsyncConnection) -> None:
        row = (await conn.execute(sa.select(outbox).with_for_update())).one()
        await conn.execute(sa.update(outbox).values(payload={"n": row.payload["n"] + 1}))

    try:
        await asyncio.gather(*(handle.write(None, work) for handle in (world.database, other) for _ in range(50)))
    finally:
        await other.dispose()
    assert [row.payload for row in await world.rows(outbox)] == [{"n": 100}]


async def test_a_pool_makes_callers_wait_and_then_gives_up(database_url: str) -> None:
    small = Database(database_url, pool_size=1, pool_timeout=0.2)
    try:
        await asyncio.gather(*(small.ping() for _ in range(30)))
        async with small.read():
            with pytest.raises(PoolTimeout):
                await small.ping()
        await small.ping()
    finally:
        await small.dispose()


async def test_moments_come_back_aware_in_utc_and_naive_ones_are_refused(database: Database) -> None:
    local = MOMENT.astimezone(datetime.fromisoformat("2026-01-01T00:00:00+05:30").tzinfo)
    async with database.engine.begin() as conn:
        await conn.execute(applied_updates.insert().values(telegram_id=1, update_id=1, at=local))
    async with database.read() as conn:
        at = (await conn.execute(sa.select(applied_updates.c.at))).scalar_one()
        later = await conn.execute(sa.select(applied_updates.c.at).where(applied_updates.c.at > local))
        assert later.all() == []
    assert at == MOMENT
    assert at.utcoffset() == timedelta(0)
    with pytest.raises(StatementError, match="time zone"):
        async with database.engine.begin() as conn:
            await conn.execute(applied_updates.insert().values(telegram_id=1, update_id=2, at=datetime(2026, 1, 1)))


async def test_errors_name_no_values(database: Database) -> None:
    async def work(conn: AsyncConnection) -> None:
        for _ in range(2):
            await conn.execute(
                outbox.insert().values(
                    id=database.new_id(), kind="k", dedupe="+79161234567", payload={"secret": "ira@example.org"},
                    run_at=MOMENT, attempts=0, status="new",
                )
            )  # fmt: skip

    with pytest.raises(IntegrityError) as error:
        await database.write(None, work)
    assert "ira@example.org" not in str(error.value)
    assert "+79161234567" not in str(error.value)


@pytest.fixture
async def postgresql(postgresql_url: str) -> AsyncIterator[Database]:
    """What SQLite cannot show: it has one writer at a time, and no connection to lose."""
    database = Database(postgresql_url)
    yield database
    await database.dispose()


async def test_a_deadlock_is_tried_again(postgresql: Database) -> None:
    database = postgresql
    async with database.engine.begin() as conn:
        await conn.execute(_thing(database, "a"))
        await conn.execute(_thing(database, "b"))
    both_hold_one = asyncio.Barrier(2)
    runs = 0

    async def cross(first: str, second: str) -> None:
        nonlocal runs
        waited = False

        async def work(conn: AsyncConnection) -> None:
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
    async with database.read() as conn:
        assert (await conn.execute(sa.select(outbox.c.attempts))).scalars().all() == [2, 2]


async def test_a_lost_connection_is_tried_again(postgresql: Database) -> None:
    database = postgresql
    runs = 0

    async def work(conn: AsyncConnection) -> bool:
        nonlocal runs
        runs += 1
        if runs == 1:
            me = (await conn.execute(sa.select(sa.func.pg_backend_pid()))).scalar_one()
            async with database.read() as killer:
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


async def test_outcomes_hold_nothing_personal_and_are_read_afresh(world: World) -> None:
    ira = world.person(1)
    update, asking = ira.update(), ira.update()
    first = await ira.accepts(update=update)
    sent = await ira.asks(update=asking)
    kept = repr([row.outcome for row in await world.rows(applied_updates)])
    assert ira.email not in kept
    assert "+7916" not in kept
    again = await ira.accepts(update=update)
    assert again.account.asked_number == "+79161234567"
    assert again.account.id == first.account.id
    assert await ira.asks(update=asking) == sent
    await world.accounts.erase(ira.update(), world.now)
    with pytest.raises(NoAccount):
        await ira.asks(update=asking)
    with pytest.raises(NoAccount):
        await ira.accepts(update=update)


async def test_a_replayed_confirmation_still_names_whom_to_forget(world: World) -> None:
    await world.person(2, "shared@example.org").accepts()
    ira = world.person(1, "shared@example.org")
    await ira.accepts()
    update = ira.update()
    first = await ira.asks(contact=True, needs_code=False, update=update)
    assert isinstance(first, Progress)
    assert (first.confirmed_now, first.displaced) == (True, (2,))
    assert await ira.asks(contact=True, needs_code=False, update=update) == first


async def test_a_code_that_was_asked_for_and_is_proven_meanwhile_replays(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    update = ira.update()
    await ira.asks(update=update)
    await ira.tries((await ira.codes())[0])
    replayed = await ira.asks(update=update)
    assert isinstance(replayed, CodeSent)
    assert replayed.account.phone == replayed.number


def test_every_refusal_can_be_kept() -> None:
    examples = {
        "NoAccount": errors.NoAccount(),
        "AddressTaken": errors.AddressTaken(),
        "NumberTaken": errors.NumberTaken(),
        "LimitReached": LimitReached(Limit.WRONG_CODES, MOMENT),
        "ResendTooEarly": errors.ResendTooEarly(MOMENT),
        "NothingToResend": errors.NothingToResend(),
        "WrongCode": WrongCode(2),
        "CodeExpired": errors.CodeExpired(),
        "TooManyTries": errors.TooManyTries(),
    }
    named = {kind.__name__ for kind in vars(errors).values() if isinstance(kind, type)}
    assert set(examples) == named & {
        kind.__name__ for kind in errors.Refusal.__subclasses__() if kind.__module__ == errors.__name__
    }
    for name, refusal in examples.items():
        assert encode(refusal)["name"] == name
    with pytest.raises(TypeError):
        encode(object())


async def test_every_refusal_comes_back_as_it_was(database: Database) -> None:
    for number, refusal in enumerate((LimitReached(Limit.WRONG_CODES, MOMENT), errors.ResendTooEarly(MOMENT))):

        async def work(conn: AsyncConnection, raised: errors.Refusal = refusal) -> None:
            raise raised

        for _ in range(2):
            with pytest.raises(type(refusal)) as again:
                await database.write(UpdateRef(1, number), work)
            assert again.value == refusal


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
