from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from aiogram.fsm.storage.base import StorageKey
from redis.asyncio import Redis

from bot.jobs import Jobs
from bot.settings import Settings
from storage.accounts import Accounts
from storage.clock import SystemClock
from storage.conversations import Conversations
from storage.database import Database, DatabaseClock
from storage.expiry import Expiry, Sweep
from storage.keys import Keys
from storage.leases import Leases
from storage.models import AccountStatus, TermsAcceptance, UpdateRef
from storage.outbox import Outbox
from tests.fakes.clock import MovableClock
from tests.waiting import until

BOT = 42
DAY = 24 * 3600
TERMS = TermsAcceptance(version="1", language="ru", sentence_hash="0" * 64)


class House:
    """What the jobs work on: real SQL and real Redis, time in the test's hands."""

    def __init__(self, database: Database, redis: Redis) -> None:
        self.clock = MovableClock()
        limits = Settings().limits()
        self.accounts = Accounts(database, Keys("k" * 32), limits, "1")
        self.outbox = Outbox(database, limits)
        self.expiry = Expiry(database, limits)
        self.leases = Leases(redis)
        self.conversations = Conversations(redis)
        self.woken = 0
        self._updates = 0

    def jobs(self, every: timedelta = timedelta(minutes=10), batch: int = 500, expiry: Expiry | None = None) -> Jobs:
        return Jobs(
            expiry or self.expiry,
            self.leases,
            self.conversations,
            self.clock,
            bot_id=BOT,
            wake=self._wake,
            every=every,
            batch=batch,
        )

    def _wake(self) -> None:
        self.woken += 1

    async def begins(self, telegram_id: int) -> None:
        self._updates += 1
        update = UpdateRef(telegram_id, self._updates)
        await self.accounts.accept_terms(update, "ru", f"p{telegram_id}@ya.ru", TERMS, self.clock.now())

    async def exists(self, telegram_id: int) -> bool:
        return await self.accounts.of(telegram_id) is not None

    async def is_gone(self, telegram_id: int) -> bool:
        return not await self.exists(telegram_id)

    async def notices(self) -> list[str]:
        return [item.payload["text"] for item in await self.outbox.take("test", self.clock.now(), batch=1000)]

    async def remembers(self, telegram_id: int, step: str | None) -> None:
        self._updates += 1
        async with self.conversations.open(_key(telegram_id), self._updates) as conversation:
            await self.conversations.set_state(_key(telegram_id), step)
            await conversation.save(None)

    async def step(self, telegram_id: int) -> str | None:
        self._updates += 1
        async with self.conversations.open(_key(telegram_id), self._updates) as conversation:
            step = await self.conversations.get_state(_key(telegram_id))
            await conversation.save(None)
            return step


def _key(telegram_id: int) -> StorageKey:
    return StorageKey(bot_id=BOT, chat_id=telegram_id, user_id=telegram_id)


@pytest.fixture
async def house(database: Database, redis: Redis) -> AsyncIterator[House]:
    made = House(database, redis)
    yield made
    await made.conversations.close()


async def test_reminded_once_and_deleted_after_a_day_with_the_conversation(house: House) -> None:
    jobs = house.jobs()
    await house.begins(1)
    await house.remembers(1, "Registration:phone")
    house.clock.move(DAY - 5 * 3600)
    await house.begins(2)
    await house.remembers(2, "Registration:phone")
    await jobs.cleanup()
    assert await house.notices() == []

    house.clock.move(3600)
    await jobs.cleanup()
    await jobs.cleanup()
    assert await house.notices() == ["notice-reminder"]
    assert await house.exists(1)

    house.clock.move(4 * 3600)
    await jobs.cleanup()
    assert "notice-expired" in await house.notices()
    assert (await house.exists(1), await house.exists(2)) == (False, True)
    assert (await house.step(1), await house.step(2)) == (None, "Registration:phone")
    assert house.woken >= 2


async def test_many_are_done_in_small_batches(house: House) -> None:
    for person in range(1, 12):
        await house.begins(person)
    house.clock.move(DAY)
    await house.begins(100)
    await house.jobs(batch=3).cleanup()
    assert [person for person in (*range(1, 12), 100) if await house.exists(person)] == [100]
    stays = await house.accounts.of(100)
    assert stays is not None
    assert stays.status is AccountStatus.PENDING


async def test_exactly_one_of_many_replicas_cleans_up_in_a_period(house: House, redis: Redis) -> None:
    replicas = [house.jobs(every=timedelta(minutes=10)) for _ in range(5)]
    assert sorted(await asyncio.gather(*(jobs.cleanup_once() for jobs in replicas))) == [False] * 4 + [True]
    assert not any([await jobs.cleanup_once() for jobs in replicas])
    assert 590_000 < await redis.pttl("once:cleanup") <= 600_000
    await redis.pexpire("once:cleanup", 1)
    await until(replicas[0].cleanup_once)


async def test_it_runs_by_itself_and_stops(house: House) -> None:
    await house.begins(1)
    house.clock.move(DAY)
    jobs = house.jobs(every=timedelta(milliseconds=200))
    jobs.start()
    await until(lambda: house.is_gone(1))
    await jobs.stop()


async def test_a_database_that_is_away_is_one_line_and_the_job_goes_on(
    house: House, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    class Away(Expiry):
        failures = 2

        def sweep(self, now: datetime) -> Sweep:
            if self.failures:
                self.failures -= 1
                raise ConnectionRefusedError("the database is away")
            return super().sweep(now)

    await house.begins(1)
    house.clock.move(DAY)
    jobs = house.jobs(every=timedelta(milliseconds=100), expiry=Away(database, Settings().limits()))
    with caplog.at_level(logging.WARNING):
        jobs.start()
        await until(lambda: house.is_gone(1))
    await jobs.stop()
    lines = [record for record in caplog.records if record.name == "bot.jobs"]
    assert len(lines) == 2
    assert all(record.exc_info is None for record in lines)


async def test_the_databases_clock_is_followed(house: House, database: Database, redis: Redis) -> None:
    class Counting(DatabaseClock):
        refreshed = 0

        async def refresh(self) -> None:
            self.refreshed += 1
            await super().refresh()

    clock = Counting(database, SystemClock())
    jobs = Jobs(
        house.expiry,
        house.leases,
        house.conversations,
        clock,
        bot_id=BOT,
        wake=lambda: None,
        every=timedelta(minutes=10),
        batch=10,
    )
    jobs.start()
    await until(lambda: bool(clock.refreshed))
    await jobs.stop()
    assert abs(clock.now() - SystemClock().now()) < timedelta(seconds=5)


async def test_f25_the_routes_are_learnt_by_every_replica_whatever_the_database_does(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    learnt: list[int] = []

    def replica(n: int) -> Jobs:
        async def learn_routes() -> None:
            learnt.append(n)
            if n == 2:
                raise ConnectionRefusedError("the database is away")

        return Jobs(
            house.expiry, house.leases, house.conversations, house.clock,
            bot_id=BOT, wake=lambda: None, every=timedelta(minutes=10), batch=10, learn=learn_routes,
        )  # fmt: skip

    replicas = [replica(n) for n in (1, 2, 3)]
    with caplog.at_level(logging.WARNING):
        for jobs in replicas:
            jobs.start()
        await until(lambda: len(learnt) >= 3)
    for jobs in replicas:
        await jobs.stop()
    assert sorted(learnt) == [1, 2, 3]
    (line,) = [record for record in caplog.records if record.name == "bot.jobs"]
    assert line.getMessage() == "storage is away, learn_routes is tried again later"


async def test_it_stops_though_a_cancellation_is_lost(house: House) -> None:
    working = asyncio.Event()

    async def learn_routes() -> None:
        working.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    jobs = Jobs(
        house.expiry, house.leases, house.conversations, house.clock,
        bot_id=BOT, wake=lambda: None, every=timedelta(minutes=10), batch=10, learn=learn_routes,
    )  # fmt: skip
    jobs.start()
    async with asyncio.timeout(10):
        await working.wait()
        await jobs.stop()
