"""`rediss+sentinel://` and `rediss+cluster://`: TLS to whoever is asked where things are, and to where they are."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from storage.conversations import Conversations
from storage.redis import connect_any
from tests.ports import free_port
from tests.redis_sentinels import MASTER, Sentinel
from tests.redis_servers import SLOTS, command, tcp_server
from tests.storage.talking import say
from tests.storage.test_redis_tls import Certificate, own_ca
from tests.waiting import until

__all__ = ["own_ca"]

_TLS_HANDSHAKE = 0x16


@asynccontextmanager
async def either_port(port: int, own: Certificate, at: int = 0) -> AsyncIterator[tuple[int, list[bool]]]:
    """Listen before a server that speaks no TLS, for those who do and those who do not.

    Yields the port, and of each connection whether it spoke TLS.
    """
    spoke: list[bool] = []
    loop, context = asyncio.get_running_loop(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    listening = socket.create_server(("127.0.0.1", at))
    listening.setblocking(False)
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    async def serve(taken: socket.socket) -> None:
        with contextlib.suppress(OSError):
            await until(lambda: _readable(taken), 60)
            seen = taken.recv(1, socket.MSG_PEEK)
            if not seen:
                taken.close()
                return
            spoke.append(seen[0] == _TLS_HANDSHAKE)
            reader = asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(reader)
            wanted = context if spoke[-1] else None
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, taken, ssl=wanted)
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            there = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    async def accept() -> None:
        while True:
            taken, _ = await loop.sock_accept(listening)
            taken.setblocking(False)
            task = asyncio.create_task(serve(taken))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    accepting = asyncio.create_task(accept())
    yield listening.getsockname()[1], spoke
    accepting.cancel()
    for task in tasks:
        task.cancel()
    await asyncio.gather(accepting, *tasks, return_exceptions=True)
    listening.close()


def _readable(taken: socket.socket) -> bool:
    try:
        taken.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    return True


async def test_sentinels_and_the_master_are_asked_over_tls(tmp_path: Path, own_ca: Certificate) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(tcp_server(tmp_path))
        at, to_master = await stack.enter_async_context(either_port(server.port, own_ca))
        (tmp_path / "sentinel").mkdir()
        sentinel = Sentinel(tmp_path / "sentinel", at, "")
        await sentinel.start()
        stack.push_async_callback(sentinel.stop)
        door, to_sentinel = await stack.enter_async_context(either_port(sentinel.port, own_ca))
        address = f"rediss+sentinel://127.0.0.1:{door}/{MASTER}/0"
        client = connect_any(f"{address}?ssl_ca_certs={own_ca.certificate}")
        store = Conversations(client)
        await say(store, 1)
        assert await client.ping()
        await store.close()
        await client.aclose()
        # The sentinel itself asks without.
        assert all(to_sentinel)
        assert to_master.count(True) >= 2
        stranger = connect_any(address)
        with pytest.raises(RedisError, match="certificate verify failed"):
            await stranger.ping()
        await stranger.aclose()


async def test_every_node_of_a_cluster_is_asked_over_tls(tmp_path: Path, own_ca: Certificate) -> None:
    async with AsyncExitStack() as stack:
        announced = free_port()
        options = {"cluster-enabled": "yes", "cluster-port": str(free_port()), "cluster-announce-port": str(announced)}
        node = await stack.enter_async_context(tcp_server(tmp_path, **options))
        _, spoke = await stack.enter_async_context(either_port(node.port, own_ca, announced))
        async with Redis(port=node.port, decode_responses=True) as plain:
            await command(plain, "CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)

            async def is_whole() -> bool:
                return "cluster_state:ok" in str(await command(plain, "CLUSTER", "INFO"))

            await until(is_whole, 30)
        address = f"rediss+cluster://127.0.0.1:{announced}"
        client = connect_any(f"{address}?ssl_ca_certs={own_ca.certificate}")
        store = Conversations(client)
        await say(store, 1)
        await store.close()
        await client.aclose()
        assert all(spoke)
        stranger = connect_any(address)
        with pytest.raises(RedisError, match="the cluster cannot be used"):
            await stranger.ping()
        await stranger.aclose()
