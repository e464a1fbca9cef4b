"""`/metrics` over real HTTP, on both databases and a real Valkey; and of the whole bot."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiogram.types import Update
from aiohttp import ClientSession, web
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from bot import metrics as metrics_module
from bot.metrics import Counters, Metrics
from storage.conversion import Conversion, Figures
from storage.database import Database
from storage.errors import Limit, LimitReached, WrongCode
from storage.models import Channel, CodeSent
from storage.sending import FixedRoutes, Offer, Sending
from tests.journeys.stage import on_stage
from tests.numbers import mobile
from tests.storage.world import World

ROOT = Path(__file__).parents[2]
Values = Mapping[tuple[str, ...], float]


class Seconds:
    """Monotonic seconds that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Counting(Conversion):
    """Counts its reads; may be slow for ever."""

    reads = 0
    hangs = False

    async def of(self, since: datetime, until: datetime) -> Figures:
        self.reads += 1
        if self.hangs:
            await asyncio.Event().wait()
        return await super().of(since, until)


class Site:
    def __init__(self, url: str, session: ClientSession) -> None:
        self.url = url
        self.session = session

    async def text(self) -> str:
        async with self.session.get(f"{self.url}/metrics") as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/plain; version=1.0.0; charset=utf-8"
            return await response.text()

    async def values(self, name: str) -> Values:
        """The samples of one metric by their labels' values, in the labels' alphabetical order."""
        families = text_string_to_metric_families(await self.text())
        samples = [sample for family in families for sample in family.samples if sample.name == f"registration_{name}"]
        return {tuple(value for _, value in sorted(sample.labels.items())): sample.value for sample in samples}


@asynccontextmanager
async def served(metrics: Metrics) -> AsyncIterator[Site]:
    app = web.Application()
    metrics.add_to(app)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    async with ClientSession() as session:
        yield Site(f"http://{host}:{port}", session)
    await runner.cleanup()


@pytest.fixture
def world(database: Database) -> World:
    return World(database, sending=Sending(FixedRoutes((Offer("smsc", Channel.SMS, 300),)), daily_budget=300))


async def asks(world: World, n: int) -> None:
    await world.person(n).accepts()
    assert isinstance(await world.person(n).asks(mobile(n)), CodeSent)


async def test_what_an_operator_wants_to_know(world: World, redis: Redis) -> None:
    counters = Counters()
    await asks(world, 1)
    (code,) = await world.deliver()
    await world.person(1).tries(code)
    await asks(world, 2)
    await world.deliver()
    await asks(world, 3)
    await world.person(4).accepts()
    with pytest.raises(LimitReached):
        await world.person(4).asks(mobile(4))
    world.clock.move(seconds=90)
    metrics = Metrics(Conversion(world.database), counters, redis.ping, world.clock, budget=300)
    async with served(metrics) as site:
        assert await site.values("up") == {("database",): 1, ("redis",): 1}
        # Labels by name: channel, country, gateway, state.
        assert await site.values("sends_last_day") == {
            ("sms", "RU", "console", "accepted"): 2,
            ("sms", "RU", "smsc", "queued"): 1,
        }
        assert await site.values("entered_last_day") == {("sms", "RU", "console"): 1, ("sms", "RU", "smsc"): 0}
        assert await site.values("conversion_last_day") == {("sms", "RU", "console"): 0.5}
        assert await site.values("cost_last_day") == {("sms", "RU", "console"): 0, ("sms", "RU", "smsc"): 300}
        assert await site.values("budget") == {(): 300}
        assert await site.values("spent_last_day") == {(): 300}
        assert await site.values("refusals_last_day") == {("daily_budget",): 1}
        assert (await site.values("outbox_due_rows"))[()] >= 1
        assert (await site.values("outbox_oldest_due_seconds"))[()] == 90


async def test_without_a_budget_none_is_shown(world: World, redis: Redis) -> None:
    async with served(Metrics(Conversion(world.database), Counters(), redis.ping, world.clock, budget=None)) as site:
        assert await site.values("budget") == {}
        assert await site.values("spent_last_day") == {(): 0}
        assert await site.values("outbox_oldest_due_seconds") == {(): 0}


async def test_a_scrape_cannot_burden_the_database(world: World, redis: Redis) -> None:
    conversion, seconds = Counting(world.database), Seconds()
    metrics = Metrics(conversion, Counters(), redis.ping, world.clock, budget=None, monotonic=seconds)
    async with served(metrics) as site:
        await asyncio.gather(*(site.text() for _ in range(20)))
        assert conversion.reads == 1
        seconds.now += 9.9
        await site.text()
        assert conversion.reads == 1
        await asks(world, 1)
        seconds.now += 0.1
        assert await site.values("sends_last_day") == {("sms", "RU", "smsc", "queued"): 1}
        assert conversion.reads == 2


async def test_f25_a_database_that_is_away_is_a_gauge_and_the_rest_is_answered(
    world: World, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    away, counters = Database("postgresql://u:p@127.0.0.1:1/x"), Counters()
    await handled(counters, None)
    async with served(Metrics(Conversion(away), counters, redis.ping, world.clock, budget=1000)) as site:
        assert await site.values("up") == {("database",): 0, ("redis",): 1}
        assert await site.values("sends_last_day") == {}
        assert await site.values("spent_last_day") == {}
        assert await site.values("budget") == {(): 1000}
        assert await site.values("updates_total") == {("handled",): 1}
    assert [record.exc_info for record in caplog.records if record.name == "bot.metrics"] == [None, None]
    await away.dispose()


async def test_f25_a_database_that_is_silent_delays_no_scrape_for_long(
    world: World, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_module, "_WITHIN", 0.05)
    conversion, seconds = Counting(world.database), Seconds()
    conversion.hangs = True
    metrics = Metrics(conversion, Counters(), redis.ping, world.clock, budget=None, monotonic=seconds)
    async with served(metrics) as site:
        async with asyncio.timeout(10):
            assert (await site.values("up"))["database",] == 0
        # And it is not asked again by the next one.
        await site.text()
        assert conversion.reads == 1
        conversion.hangs = False
        seconds.now += 10
        assert (await site.values("up"))["database",] == 1


async def test_f27_redis_that_is_away_is_a_gauge(world: World) -> None:
    async def away() -> None:
        raise ConnectionRefusedError

    async with served(Metrics(Conversion(world.database), Counters(), away, world.clock, budget=None)) as site:
        assert await site.values("up") == {("database",): 1, ("redis",): 0}


async def handled(counters: Counters, error: Exception | None) -> object:
    async def handler(event: object, data: dict[str, Any]) -> str:
        if error is not None:
            raise error
        return "the reply"

    return await counters(handler, Update(update_id=1), {})


async def test_updates_are_counted_by_how_they_ended(world: World, redis: Redis) -> None:
    counters = Counters()
    assert await handled(counters, None) == "the reply"
    refusals = [LimitReached(Limit.WRONG_CODES, world.now)] * 2 + [WrongCode(3)]
    for error in (*refusals, ConnectionRefusedError()):
        with pytest.raises(type(error)):
            await handled(counters, error)
    async with served(Metrics(Conversion(world.database), counters, redis.ping, world.clock, budget=None)) as site:
        assert await site.values("updates_total") == {("handled",): 1, ("refused",): 3, ("failed",): 1}
        # Labels by name: limit, refusal.
        assert await site.values("refusals_told_total") == {("wrong_codes", "LimitReached"): 2, ("", "WrongCode"): 1}


async def test_the_process_itself_is_shown(world: World, redis: Redis) -> None:
    async with served(Metrics(Conversion(world.database), Counters(), redis.ping, world.clock, budget=None)) as site:
        assert "process_resident_memory_bytes" in await site.text()


def test_the_library_is_loaded_by_the_first_scrape() -> None:
    code = "import sys, bot.metrics; sys.exit('prometheus_client' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


async def test_t25_the_whole_bots_metrics_hold_nobody(database_url: str, redis_url: str, tmp_path: Path) -> None:
    """A person gives a wrong code, then the right one: counted, and nothing of it can be read there."""
    async with on_stage(database_url, redis_url, tmp_path) as stage, ClientSession() as session:
        site = Site(f"http://127.0.0.1:{stage.app.port}", session)
        person = stage.someone()
        await person.reaches_code()
        code = await person.code()
        await person.says("000000" if code != "000000" else "000001")
        await person.finishes()
        text = await site.text()
        secrets = [code, person.phone, person.phone[2:], person.email, str(person.id), *stage.settings.secrets()]
        assert [secret for secret in secrets if secret in text] == []
        assert not re.search(r"[+@]", re.sub(r"e[+]\d\d", "", text))
        assert await site.values("up") == {("database",): 1, ("redis",): 1}
        assert await site.values("entered_last_day") == {("sms", "RU", "smsc"): 1}
        assert (await site.values("spent_last_day"))[()] > 0
        assert (await site.values("updates_total"))["refused",] == 1
        assert await site.values("refusals_told_total") == {("", "WrongCode"): 1}
