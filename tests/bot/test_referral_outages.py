"""`/r/<code>` while a store is away: the click is lost, the person is led on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from aiohttp import web
from redis.asyncio import Redis

from bot import referral_pages
from bot.partner_stores import open_partner_stores
from bot.pictures import DrawnPictures
from bot.referral_pages import ReferralPages
from bot.site import Site
from locales import Texts
from storage.database import Database
from storage.keys import Keys
from storage.limits import Window
from storage.web_limit import WebLimit
from tests.ports import free_port
from tests.storage.world import LIMITS, SECRET, MovableClock


@asynccontextmanager
async def served(database: Database, redis: Redis) -> AsyncIterator[str]:
    """Serve the pages on these stores; yields the base address."""
    limit = WebLimit(redis, Window(1000, timedelta(minutes=5)))
    site = Site("https://bot.example", "smarty_bot", "CRM", Texts(), MovableClock(), 0, limit, Keys(SECRET))
    partners = open_partner_stores(database, Keys(SECRET), LIMITS, ZoneInfo("UTC"))
    app = web.Application()
    ReferralPages(site, partners, DrawnPictures("CRM")).add_to(app)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield "http://{}:{}".format(*runner.addresses[0][:2])
    await runner.cleanup()


async def opened(base: str, path: str) -> tuple[int, str]:
    headers = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(base + path) as response:
        return response.status, await response.text()


@pytest.fixture
async def away() -> AsyncIterator[str]:
    """An address where connections are taken and nothing is ever said."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"{host}:{port}"
    server.close()


@pytest.mark.parametrize("store", ["redis", "sql", "both", "redis hangs"])
async def test_whatever_is_away_the_page_leads_on(
    store: str, redis: Redis, sqlite_url: str, away: str, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(referral_pages, "_PATIENCE", 0.5)
    database, gone = Database(sqlite_url), Database(f"postgresql://nobody:x@127.0.0.1:{free_port()}/no")
    nowhere = Redis.from_url(f"redis://{away}" if "hangs" in store else f"redis://127.0.0.1:{free_port()}")
    sql = gone if store in {"sql", "both"} else database
    client = redis if store == "sql" else nowhere
    async with served(sql, client) as base:
        with caplog.at_level(logging.WARNING):
            status, text = await opened(base, "/r/0123abcd")
        assert (status, "https://t.me/smarty_bot?start=r_0123abcd" in text, "http-equiv" in text) == (200, True, True)
        assert [record.message for record in caplog.records if "a click is not counted" in record.message]
        # A drawing is work, and whether there is such a campaign is not known: the next who asks gets it.
        status, text = await opened(base, "/r/0123abcd/qr.svg") if "hangs" not in store else (503, "")
        assert status == 503
        assert (await opened(base, "/r/0123"))[0] == 404
    await database.dispose()
    await gone.dispose()
    await nowhere.aclose()
