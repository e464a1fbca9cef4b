"""The one connection everybody shares, what is asked over it, and a server that does what no real one can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from storage.redis import address_of, connect
from storage.redis_scripts import Multiplexed, Script

ECHO = Script("return ARGV[1]")


@asynccontextmanager
async def multiplexed(url: str, **options: Any) -> AsyncIterator[Multiplexed]:
    scripts = Multiplexed(address_of(connect(url)), **options)
    try:
        yield scripts
    finally:
        await scripts.close()


async def echo(scripts: Multiplexed, text: str) -> None:
    assert await scripts.run(ECHO, (), (text,)) == text


async def our_connections(redis: Redis, name: str) -> list[dict[str, str]]:
    return [client for client in await redis.client_list() if client["name"] == name]


@asynccontextmanager
async def fake_server(answer: Any) -> AsyncIterator[str]:
    """A server that does what no real one can be made to do."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await answer(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
