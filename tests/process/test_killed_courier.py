"""F20-F22: the process that sends is killed again and again while it sends, and every code is sent.

The process is the whole bot; the codes were queued by the engine beside it, so that nothing but its courier works.
A thousand of them, and what became of each: `CODES=1000 python -m pytest -s tests/process/test_killed_courier.py`
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiohttp import web

from bot.gateways.smsc import vendor_id
from bot.practice import LocalBotAPI
from storage.database import Database
from storage.models import AccountStatus, Channel
from storage.sending import FixedRoutes, Offer
from tests.fakes.smsc import FakeSmsc
from tests.fakes.vendor import Sms
from tests.journeys.stage import Outside
from tests.process.bot_process import BotProcess
from tests.process.conftest import bot_process
from tests.storage.world import SECRET, VERSION, Actor, World
from tests.waiting import until

CODES = int(os.environ.get("CODES", "250"))
KILLS = CODES // 50 + 3
# How many of them ask at once: each waits for the database no longer than it may be silent.
ASKING = 50
SEED = 3
# Seconds. Far apart, so that a slow machine does not take one for another: what the carrier takes to answer, what a
# call may take, and how long a dead process keeps what it held.
CARRIER_TAKES, CARRIER_ANSWERS = 0.1, 0.25
GATEWAY_TIMEOUT, LEASE = 4, 8
# Minor units; the carrier says the same.
PRICE = 410

pytestmark = pytest.mark.timeout(180 + CODES)


class SlowSmsc(FakeSmsc):
    """A carrier that takes its time before it takes a message and before it answers, and forgets what it has sent."""

    def __init__(self, chance: random.Random) -> None:
        # Its minute-long memory would hide the repetitions.
        super().__init__(clock=itertools.count(0, 1000).__next__)
        self.taken_at: dict[str, list[float]] = defaultdict(list)
        self._chance = chance

    async def serve(self, request: web.Request) -> web.Response:
        await asyncio.sleep(self._chance.uniform(0, CARRIER_TAKES))
        answer = await super().serve(request)
        await asyncio.sleep(self._chance.uniform(0, CARRIER_ANSWERS))
        return answer

    async def deliver(self, message: Sms) -> None:
        self.taken_at[message.number].append(time.monotonic())
        await super().deliver(message)


class Looking:
    """The database as it is, whoever uses it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.name = url.partition(":")[0]

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        if self.name == "sqlite":
            with contextlib.closing(sqlite3.connect(self._url.removeprefix("sqlite:///"))) as connection:
                return connection.execute(query).fetchall()
        postgres = await asyncpg.connect(self._url)
        try:
            return [tuple(row) for row in await postgres.fetch(query)]
        finally:
            await postgres.close()

    async def nobody_else_is_in(self) -> bool:
        """Whether the server has noticed that a client was killed: its last transaction is over then."""
        if self.name == "sqlite":
            return True
        others = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        return not await self.rows(others)

    async def sends(self, where: str = "true") -> list[Row]:
        found = await self.rows(
            "SELECT sends.id, challenges.number, sends.state, sends.repeated, sends.price, accounts.telegram_id"
            " FROM sends JOIN challenges ON challenges.id = sends.challenge_id"
            f" JOIN accounts ON accounts.id = challenges.account_id WHERE {where}"
        )
        return [Row(UUID(str(row[0])), row[1], row[2], bool(row[3]), row[4], row[5]) for row in found]

    async def all_are_sent(self) -> bool:
        return not await self.rows("SELECT id FROM outbox WHERE kind = 'code' AND status = 'new'")


@dataclass(frozen=True)
class Row:
    """One code in the ledger."""

    id: UUID
    number: str
    state: str
    repeated: bool
    price: int
    telegram_id: int


@dataclass
class Killer:
    """Kills the process at random moments and starts it again; remembers what each death left half done."""

    bot: BotProcess
    smsc: SlowSmsc
    looking: Looking
    chance: random.Random
    # By number and whether it was the repetition: when a death left its code in `sending`.
    left: dict[tuple[str, bool], float] = field(default_factory=dict)

    async def kills(self) -> None:
        for moment in sorted(self.chance.sample(range(CODES - 50), KILLS)):
            await until(lambda moment=moment: self.smsc.requests >= moment, 120)  # type: ignore[misc]
            await asyncio.sleep(self.chance.uniform(0, 0.1))
            await self.bot.kill()
            died_at = time.monotonic()
            await until(self.looking.nobody_else_is_in)
            for row in await self.looking.sends("sends.state = 'sending'"):
                # What an earlier death left may still wait for its lease to end.
                self.left.setdefault((row.number, row.repeated), died_at)
            await self.bot.start()

    def deaths_of(self, number: str) -> list[float]:
        """The deaths that came while the code for this number was sent, at most two."""
        return [self.left[key] for key in ((number, False), (number, True)) if key in self.left]


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    """Telegram, to which nobody of these people has ever written, and the slow carrier."""
    api, smsc = LocalBotAPI(), SlowSmsc(random.Random(SEED))
    await api.start()
    await smsc.start()
    yield Outside(api, smsc)
    await api.stop()
    await smsc.stop()


@contextlib.asynccontextmanager
async def engine(url: str) -> AsyncIterator[World]:
    """The engine in this process, now."""
    database = Database(url, pool_size=12)
    world = World(database).with_sending(routes=FixedRoutes((Offer("smsc", Channel.SMS, PRICE),)))
    world.clock.moment = datetime.now(UTC)
    yield world
    await database.dispose()


def somebody(world: World, n: int) -> tuple[Actor, str]:
    """A person and their number, each in a range of its own."""
    return world.person(10_000 + n), f"+7916{n:03}0000"


async def queues_its_code(world: World, n: int) -> None:
    person, number = somebody(world, n)
    await person.accepts()
    await person.asks(number)


async def enters_what_came(world: World, smsc: FakeSmsc, n: int) -> None:
    person, number = somebody(world, n)
    progress = await person.tries(smsc.code_for(number))
    assert progress.account.status is AccountStatus.CONFIRMED


async def by_turns(work: Iterable[Awaitable[None]]) -> None:
    """Do all of it, so much at once."""
    places = asyncio.Semaphore(ASKING)

    async def one(each: Awaitable[None]) -> None:
        async with places:
            await each

    await asyncio.gather(*map(one, work))


async def test_f20_f21_f22_every_code_is_sent_although_the_sender_is_killed(
    outside: Outside, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    assert isinstance(outside.smsc, SlowSmsc)
    smsc, looking, began = outside.smsc, Looking(database_url), time.monotonic()
    async with engine(database_url) as world:
        await by_turns(queues_its_code(world, n) for n in range(CODES))
    queued = time.monotonic()
    bot = bot_process(
        outside, "polling", tmp_path, DATABASE_URL=database_url, REDIS_URL=redis_url, SECRET_KEY=SECRET,
        TERMS_VERSION=VERSION, GATEWAY_TIMEOUT=f"{GATEWAY_TIMEOUT}s", OUTBOX_LEASE=f"{LEASE}s",
    )  # fmt: skip
    killer = Killer(bot, smsc, looking, random.Random(SEED))
    async with bot:
        await killer.kills()
        await until(looking.all_are_sent, 120)
        # Settled in one transaction with their rows: nothing is left to be seen later.
        ledger = await looking.sends()
        assert await bot.stop() < 5
    sent = time.monotonic()
    left_unsaid = the_books_are_right(killer, ledger)
    told = {row[0] for row in await looking.rows("SELECT dedupe FROM outbox WHERE kind = 'notice'")}
    twice_dead = {row.id for row in ledger if row.state == "unknown"}
    assert told == {f"notice-code-unknown:{send_id}" for send_id in twice_dead}
    async with engine(database_url) as world:
        came = [n for n in range(CODES) if somebody(world, n)[1] not in left_unsaid]
        await by_turns(enters_what_came(world, smsc, n) for n in came)
    print(
        f"{looking.name}: queued in {queued - began:.0f} s, sent in {sent - queued:.0f} s, entered in"
        f" {time.monotonic() - sent:.0f} s; {said(killer, ledger)}"
    )


def the_books_are_right(killer: Killer, ledger: list[Row]) -> set[str]:
    """Check every message against what was half done at a death; return the numbers that got none."""
    smsc = killer.smsc
    assert len(ledger) == CODES
    messages: dict[str, list[Sms]] = defaultdict(list)
    for sms in smsc.messages:
        messages[sms.number].append(sms)
    assert messages.keys() <= {row.number for row in ledger}
    without: set[str] = set()
    for row in ledger:
        deaths, came = killer.deaths_of(row.number), messages[row.number]
        # Whatever is left half done is repeated once, and nothing else is.
        assert (row.state, row.repeated) == (("accepted", "unknown")[len(deaths) > 1], bool(deaths)), (row, deaths)
        # Twice handed over is twice paid for, as far as anybody here knows.
        assert row.price == PRICE * (1 + bool(deaths))
        assert len(came) <= 1 + bool(deaths), (row, deaths)
        # One code, one text, one id: a carrier that remembers its customers' ids knows the second for the first.
        assert {sms.id for sms in came} <= {vendor_id(row.id)}
        assert len({sms.text for sms in came}) <= 1
        if len(came) == 2:
            first, second = smsc.taken_at[row.number]
            # What a death left in the carrier's hands may be taken a moment after it.
            assert any(first - CARRIER_TAKES - 1 < death < second for death in deaths), (row, deaths, first, second)
        if not came:
            # Twice dead between the ledger's word and the carrier's: told, and never called sent.
            assert len(deaths) == 2, (row, deaths)
            without.add(row.number)
    return without


def said(killer: Killer, ledger: list[Row]) -> str:
    """Tell what the deaths came to."""
    deaths = Counter(len(killer.deaths_of(row.number)) for row in ledger)
    came = Counter(len(killer.smsc.taken_at[row.number]) for row in ledger)
    gaps = [at[1] - at[0] for at in killer.smsc.taken_at.values() if len(at) == 2]
    assert came[2] > 0, "no death hit anything"
    return (
        f"{CODES} codes, {KILLS} kills, {deaths[1]} codes half sent at one of them and {deaths[2]} at two (called"
        f" unknown); {came[1]} reached their number once, {came[2]} twice ({sum(gap < 60 for gap in gaps)} within the"
        f" minute in which SMSC itself takes a repeated text for one), {came[0]} never"
    )
