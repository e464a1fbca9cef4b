"""What the tests of polling share: a process that polls.

A file that uses the fixture `replica` imports it and names it in `__all__`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import pytest_asyncio
from redis.asyncio import Redis

from bot.polling import Polling
from storage.leases import Leases
from tests.bot.fake_telegram import FakeTelegram
from tests.bot.small_bot import SmallBot, small_bot

LEASE = timedelta(milliseconds=300)


class Replica:
    """One process that polls: it can be stopped, or killed (cancelled, without its last words)."""

    def __init__(self, small: SmallBot, redis: Redis, owner: str) -> None:
        self.small = small
        self.polling = Polling(
            small.bot, small.receiver, Leases(redis), owner, wait=1, lease=LEASE, finish_within=timedelta(seconds=2)
        )
        self.task = asyncio.create_task(self.polling.run())

    async def stop(self) -> None:
        self.polling.stop()
        await self.task

    async def kill(self) -> None:
        # Neither confirms nor gives back the lease: what a killed process leaves undone.
        self.polling._hand._known.clear()
        self.polling._hand._confirm = None
        self.polling._name = "polling:nobody"
        self.task.cancel()
        for worker in list(self.polling._hand._workers):
            worker.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


@pytest_asyncio.fixture
async def replica(telegram: FakeTelegram, redis: Redis, valkey_socket: str) -> AsyncIterator[Replica]:
    async with small_bot(telegram, f"unix://{valkey_socket}") as small:
        replica = Replica(small, redis, "a")
        yield replica
        if not replica.task.done():
            await replica.stop()
