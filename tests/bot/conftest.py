"""What the tests of receiving share: Telegram, and the smallest bot beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from redis.asyncio import Redis

from tests.bot.fake_telegram import FakeTelegram
from tests.bot.small_bot import SmallBot, small_bot


@pytest_asyncio.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram().served() as server:
        yield server


@pytest_asyncio.fixture
async def small(telegram: FakeTelegram, redis: Redis, valkey_socket: str) -> AsyncIterator[SmallBot]:
    async with small_bot(telegram, f"unix://{valkey_socket}") as bot:
        yield bot
