"""The 24-hour rule with very many accounts: bounded, by index, in nobody's way, whatever the clocks do."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import asyncpg as on_asyncpg

from storage import personal, pruning
from storage.database import Database, DatabaseClock
from storage.events import EventType
from storage.expiry import CLAIM_EXPIRED, CLAIM_TO_REMIND, Expiry
from storage.models import AccountStatus, CodeSent
from storage.statements import Statement
from storage.tables import accounts, applied_updates, early_reports, identities, outbox
from tests.bench.loading import fill_postgresql, fill_sqlite
from tests.sql import connected
from tests.storage.world import DAY, LIMITS, NUMBER, World

# More than a list of IN is written out for at a time.
MANY = 250
LOADED = 20_000


async def many(world: World, count: int = MANY) -> None:
    """Have so many people accept the terms now: written as rows, nobody waits for them one by one."""
    rows = [
        {
            "id": world.database.new_id(), "telegram_id": n, "status": AccountStatus.PENDING.value, "language": "ru",
            "email": f"p{n}@example.org", "email_verified": False, "created_at": world.now,
            "expires_at": world.now + DAY,
        }
        for n in range(1, count + 1)
    ]  # fmt: skip
    async with connected(world.database) as conn:
        await conn.execute(sa.insert(accounts), rows)


@asynccontextmanager
async def held(database: Database, telegram_id: int) -> AsyncIterator[None]:
    """Somebody else's transaction has this person's row in hand (PostgreSQL)."""
    raw = await asyncpg.connect(database.url.set(drivername="postgresql").render_as_string(hide_password=False))
    try:
        async with raw.transaction():
            await raw.fetch("SELECT id FROM accounts WHERE telegram_id = $1 FOR UPDATE", telegram_id)
            yield
    finally:
        await raw.close()


async def plan(database: Database, statement: Statement, **values: object) -> str:
    """How the database would run it."""
    if not database.is_postgresql:
        prepared = statement.prepared(sqlite.dialect())
        raw = sqlite3.connect(str(database.url.database))
        try:
            found = raw.execute(f"EXPLAIN QUERY PLAN {prepared.sql}", prepared.parameters(values)).fetchall()
        finally:
            raw.close()
        return "\n".join(str(row[-1]) for row in found)
    dialect: Any = on_asyncpg.dialect()  # type: ignore[no-untyped-call]
    prepared = statement.prepared(dialect)
    connection = await asyncpg.connect(database.url.set(drivername="postgresql").render_as_string(hide_password=False))
    try:
        return "\n".join(
            row[0] for row in await connection.fetch(f"EXPLAIN {prepared.sql}", *prepared.parameters(values))
        )
    finally:
        await connection.close()


async def load(database: Database) -> None:
    """Put a bot's rows of some size into the tables, a fifth of the accounts expired."""
    if database.is_postgresql:
        await fill_postgresql(database.url.set(drivername="postgresql").render_as_string(hide_password=False), LOADED)
    else:
        await asyncio.to_thread(fill_sqlite, str(database.url.database), LOADED)


async def test_every_step_of_a_cleanup_finds_its_rows_by_an_index(world: World) -> None:
    await load(world.database)
    now = datetime.now(UTC)
    among = {f"among_{n}": world.database.new_id() for n in range(100)}
    people = {f"among_{n}": n for n in range(100)}
    day = {"moment": now, "since": now - DAY, "batch": 500}
    plans = {
        "ix_accounts_status_expires_at": await plan(world.database, CLAIM_EXPIRED, **day),
        "ix_accounts_status_expires_at_to_remind": await plan(world.database, CLAIM_TO_REMIND, **day, until=now),
        "ix_sends_challenge_id": await plan(
            world.database, personal._DROP_UNSENT._statements[100], **among, changed_at=now
        ),
        "ix_challenges_account_id": await plan(world.database, personal._EMPTY_CHALLENGES._statements[100], **among),
        "ix_outbox_telegram_id": await plan(world.database, personal._DELETE_QUEUED._statements[100], **people),
        "ix_applied_updates_at": await plan(world.database, pruning.FORGET_UPDATES, before=now - DAY),
        "ix_outbox_status_run_at": await plan(world.database, pruning.FORGET_ROWS, before=now - DAY),
    }  # fmt: skip
    assert {name: found for name, found in plans.items() if name not in found} == {}
    assert not any("SCAN accounts" in found or "Seq Scan on accounts" in found for found in plans.values())


async def test_a_pass_takes_everybody_once(world: World) -> None:
    """A pass goes on where it was, in batches larger than a list is written out for."""
    await many(world)
    world.clock.move(days=1)
    sweep = world.expiry.sweep(world.now)
    batches = [await sweep.expire(100) for _ in range(4)]
    assert [len(batch) for batch in batches] == [100, 100, 50, 0]
    assert sorted(person for batch in batches for person in batch) == list(range(1, MANY + 1))


async def test_a_person_who_is_busy_is_left_to_the_next_pass_and_holds_nobody_up(world: World) -> None:
    if not world.database.is_postgresql:
        # One writer at a time: nobody can be busy meanwhile.
        return
    await many(world, 30)
    world.clock.move(days=1)
    async with held(world.database, 7), asyncio.timeout(5):
        sweep = world.expiry.sweep(world.now)
        gone = [person for _ in range(4) for person in await sweep.expire(10)]
    assert sorted(gone) == [n for n in range(1, 31) if n != 7]
    assert await world.expiry.expire_due(world.now) == [7]


async def test_who_writes_meanwhile_waits_for_no_cleanup(world: World) -> None:
    """Beside a transaction that is deleting others, a person registers (PostgreSQL; SQLite bounds it by the batch)."""
    if not world.database.is_postgresql:
        return
    await many(world, 50)
    world.clock.move(days=1)
    raw = await asyncpg.connect(world.database.url.set(drivername="postgresql").render_as_string(hide_password=False))
    try:
        async with raw.transaction():
            # What the claim of a batch holds until its commit.
            await raw.fetch("SELECT id FROM accounts WHERE status = 'pending' FOR UPDATE")
            async with asyncio.timeout(5):
                assert (await world.person(1000).registers()).confirmed_now
    finally:
        await raw.close()


async def test_a_code_does_not_wait_behind_those_who_are_told_that_they_are_gone(world: World) -> None:
    await many(world)
    world.clock.move(days=1)
    sweep = world.expiry.sweep(world.now)
    while await sweep.expire(100):
        pass
    ira = world.person(1000)
    await ira.accepts()
    assert isinstance(await ira.asks(), CodeSent)
    kinds = [item.kind for item in await world.outbox.take("courier", world.now, batch=20)]
    assert kinds.count("code") == 1
    told = sorted(row.run_at for row in await world.rows(outbox) if row.kind == "notice")
    share = LIMITS.telegram_send_rate.count // 2
    assert len(told) == MANY
    assert [at - world.now for at in told] == [timedelta(seconds=n // share) for n in range(MANY)]


async def test_the_next_cleanup_queues_behind_the_notices_of_the_last(world: World) -> None:
    await many(world, 30)
    world.clock.move(days=1)
    assert len(await world.expiry.expire_due(world.now)) == 30
    world.clock.move(seconds=1)
    await many(world, 10)
    world.clock.move(days=1)
    # A day later all of that has been said.
    assert len(await world.expiry.expire_due(world.now)) == 10
    now = [row for row in await world.rows(outbox) if row.kind == "notice" and row.run_at == world.now]
    assert len(now) == 10


async def test_reminders_of_many_are_written_once_each(world: World) -> None:
    await many(world)
    world.clock.move(hours=20)
    sweep = world.expiry.sweep(world.now)
    assert [await sweep.remind(100) for _ in range(4)] == [100, 100, 50, 0]
    assert await world.expiry.remind_due(world.now) == 0
    notices = [row.payload for row in await world.rows(outbox)]
    assert sorted(payload["telegram_id"] for payload in notices) == list(range(1, MANY + 1))
    assert {payload["values"]["until"] for payload in notices} == {(world.now + LIMITS.reminder_before).isoformat()}


async def test_the_crm_is_told_of_each_of_many(database: Database) -> None:
    world = World(database, told=True)
    await many(world)
    ids = {str(row.id) for row in await world.rows(accounts)}
    world.clock.move(days=1)
    assert len(await world.expiry.expire_due(world.now)) == MANY
    events = [row for row in await world.rows(outbox) if row.kind == "event"]
    assert {row.payload["data"]["account_id"] for row in events} == ids
    assert {row.payload["type"] for row in events} == {EventType.EXPIRED}
    assert {(row.n, row.telegram_id) for row in events} == {(1, None)}
    assert len({row.id for row in events}) == len(events) == MANY


async def test_t29_erasing_many_leaves_hmacs_alone(world: World) -> None:
    """Of 120 people with numbers, codes, wrong codes and queued messages, no table keeps an address or a number."""
    people = [world.person(n) for n in range(1, 121)]
    numbers = [f"+7916{n * 7919 % 10_000:04}{n:03}" for n in range(1, 121)]
    for person, number in zip(people, numbers, strict=True):
        await person.accepts()
        await person.asks(number)
    stays = world.person(500)
    await stays.registers(NUMBER)
    world.clock.move(days=1)
    assert len(await world.expiry.expire_due(world.now)) == 120
    left = await world.everything()
    assert [number for number in numbers if number in left or number.lstrip("+") in left] == []
    assert [person.email for person in people if person.email in left] == []
    assert NUMBER in left
    assert stays.email in left


async def test_old_answers_are_forgotten_in_bounded_transactions(world: World) -> None:
    old, young = world.now - timedelta(hours=49), world.now - timedelta(hours=47)
    count = 2 * pruning._BATCH + 1
    async with connected(world.database) as conn:
        for at, begin in ((old, 0), (young, count)):
            rows = [{"telegram_id": 1, "update_id": begin + n, "at": at} for n in range(count)]
            await conn.execute(sa.insert(applied_updates), rows)
            reports = [
                {"gateway": "a", "provider_id": str(begin + n), "state": "delivered", "at": at} for n in range(3)
            ]
            await conn.execute(sa.insert(early_reports), reports)
    steps = [pruned async for pruned in world.expiry.pruning.run(world.now)]
    assert [step.updates for step in steps] == [pruning._BATCH, pruning._BATCH, 1]
    assert sum(step.rows for step in steps) == count + 3
    assert {row.at for row in await world.rows(applied_updates)} == {young}
    assert len(await world.rows(early_reports)) == 3
    assert await world.expiry.prune_applied(world.now) == 0


async def test_links_of_nobody_are_forgotten_and_those_of_people_are_looked_at_once(world: World) -> None:
    await many(world, 3)

    async def links(numbers: range, at: datetime) -> None:
        rows = [
            {
                "id": world.database.new_id(), "provider": "google", "issuer": "i", "subject": str(n), "telegram_id": n,
                "email_verified": False, "linked_at": at,
            }
            for n in numbers
        ]  # fmt: skip
        async with connected(world.database) as conn:
            await conn.execute(sa.insert(identities), rows)

    await links(range(1, 701), world.now - DAY - timedelta(seconds=1))
    await links(range(701, 703), world.now)
    await world.expiry.prune_applied(world.now)
    assert {row.telegram_id for row in await world.rows(identities)} == {1, 2, 3, 701, 702}
    seen = world.expiry.pruning._links_seen
    assert seen != UUID(int=0)
    world.clock.move(days=1, seconds=1)
    await world.expiry.prune_applied(world.now)
    assert {row.telegram_id for row in await world.rows(identities)} == {1, 2, 3}


@pytest.fixture(params=["Europe/Berlin", "America/St_Johns", "Pacific/Apia"])
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ZoneInfo]:
    """A machine that is set to a time zone with summer time, or once without a day."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield ZoneInfo(request.param)
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "begins", ["2026-03-28T12:00:00+00:00", "2026-10-24T12:00:00+00:00", "2011-12-29T12:00:00+00:00"]
)
async def test_a_day_has_24_hours_when_clocks_are_put_forward_or_back(
    world: World, elsewhere: ZoneInfo, begins: str
) -> None:
    if world.database.is_postgresql:
        async with connected(world.database) as conn:
            name = (await conn.exec_driver_sql("SELECT current_database()")).scalar_one()
            await conn.exec_driver_sql(f"ALTER DATABASE {name} SET timezone TO '{elsewhere.key}'")
    world.clock.moment = datetime.fromisoformat(begins)
    expiry = Expiry(world.database, LIMITS)
    await world.person(1).accepts()
    begun = world.now
    assert begun.astimezone().utcoffset() != timedelta(0)
    for hours, minutes, reminded, deleted in ((19, 59, 0, []), (20, 0, 1, []), (23, 59, 0, []), (24, 0, 0, [1])):
        now = begun + timedelta(hours=hours, minutes=minutes)
        assert await expiry.remind_due(now) == reminded
        assert await expiry.expire_due(now) == deleted


class SteppingMachine:
    """A machine whose clock somebody sets."""

    def __init__(self) -> None:
        self.off = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.off


@pytest.mark.parametrize("off", [timedelta(hours=25), timedelta(hours=-25), timedelta(minutes=10)])
async def test_f18_a_clock_that_is_set_deletes_nobody_early_and_keeps_nobody(
    postgresql_url: str, off: timedelta
) -> None:
    database = Database(postgresql_url)
    try:
        machine = SteppingMachine()
        clock, world = DatabaseClock(database, machine), World(database)
        await clock.refresh()
        world.clock.moment = clock.now()
        await world.person(1).accepts()
        world.clock.moment = clock.now() - DAY
        await world.person(2).accepts()
        machine.off = off
        # As every cleanup begins.
        await clock.refresh()
        assert await world.expiry.expire_due(clock.now()) == [2]
        assert await world.expiry.expire_due(clock.now()) == []
    finally:
        await database.dispose()
