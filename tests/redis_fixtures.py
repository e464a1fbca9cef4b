"""A real Valkey for the tests, started as the bot starts it; imported by `conftest.py`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from redis.asyncio import Redis

from bot.valkey import Valkey
from storage.redis import connect

__all__ = ["redis", "valkey", "valkey_socket"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey() -> AsyncIterator[Valkey]:
    """One server for the session."""
    directory = Path(tempfile.mkdtemp(prefix="test-valkey-"))
    server = Valkey(directory)
    await server.start()
    yield server
    await server.stop()
    shutil.rmtree(directory)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey_socket(valkey: Valkey) -> str:
    """The path of the session server's socket."""
    return valkey.url.removeprefix("unix://")


@pytest_asyncio.fixture(loop_scope="session")
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    """A client of the session's server, which is empty."""
    client = connect(valkey.url)
    await client.flushall()
    yield client
    await client.aclose()
