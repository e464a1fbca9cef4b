from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiohttp import web

from bot.practice import LocalBotAPI, Pace
from tests.practice.page_client import Running, practice, settings_for

Json = dict[str, Any]


class MovableClock:
    """The real time plus what the test has moved it by."""

    def __init__(self) -> None:
        self.offset = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset


class RawClient:
    """Calls methods as JSON over plain HTTP and returns the whole answer."""

    def __init__(self, server: LocalBotAPI, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.http = http

    def url(self, method: str) -> str:
        return f"{self.server.base_url}/bot{self.server.token}/{method}"

    async def __call__(self, method: str, /, **parameters: Any) -> Json:
        async with self.http.post(self.url(method), json=parameters) as response:
            answer: Json = await response.json()
            assert response.status == answer.get("error_code", 200)
            return answer


class Hook:
    """A bot's webhook endpoint: records what arrives and answers as the test says."""

    def __init__(self) -> None:
        self.arrived: list[Json] = []
        self.headers: list[dict[str, str]] = []
        self.under_way = 0
        self.most_under_way = 0
        self.answer: Callable[[Json], Awaitable[web.Response]] = self.accept
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def accept(self, update: Json) -> web.Response:
        return web.Response()

    async def start(self) -> None:
        application = web.Application()
        application.router.add_post("/telegram", self._receive)
        self._runner = web.AppRunner(application, handler_cancellation=True, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/telegram"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        update = json.loads(await request.read())
        self.arrived.append(update)
        self.headers.append(dict(request.headers))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        self._changed.set()
        self._changed = asyncio.Event()
        try:
            return await self.answer(update)
        finally:
            self.under_way -= 1

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await self._changed.wait()


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def server(clock: MovableClock) -> AsyncIterator[LocalBotAPI]:
    server = LocalBotAPI(clock=clock, pace=Pace(pause=0.02, longest_pause=0.1, timeout=3))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def call(server: LocalBotAPI) -> AsyncIterator[RawClient]:
    async with aiohttp.ClientSession() as http:
        yield RawClient(server, http)


@pytest.fixture
async def client(server: LocalBotAPI) -> AsyncIterator[Bot]:
    """The real aiogram client."""
    bot = Bot(server.token, session=AiohttpSession(api=TelegramAPIServer.from_base(server.base_url)))
    yield bot
    await bot.session.close()


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    hook = Hook()
    await hook.start()
    yield hook
    await hook.stop()


@pytest.fixture
async def running(sqlite_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Running]:
    """The whole bot without a token, with its practice page."""
    async with practice(settings_for(sqlite_url, redis_url, tmp_path)) as running:
        yield running
