"""Valkey servers on TCP, as operators have them: with a password, as replicas, as a cluster."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from bot import valkey
from tests.ports import free_port
from tests.waiting import until

SLOTS = 16384


async def command(client: Any, *words: str | int) -> Any:
    """Run a command that the client has no method for."""
    return await client.execute_command(*words)


class TcpServer:
    """One server process that keeps nothing; `options` are the configuration's, without their dashes."""

    def __init__(self, folder: Path, **options: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._options = options
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where it is, for who needs no password."""
        return f"redis://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start and wait until it accepts connections."""
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self._folder),
            "save": "",
            "appendonly": "no",
        }
        settings |= self._options
        await self._launch(*(word for name, value in settings.items() for word in (f"--{name}", value)))

    async def _launch(self, *arguments: str) -> None:
        # Ends with its parent, as the embedded one.
        launch = (sys.executable, "-I", "-S", "-c", valkey._LAUNCH, str(os.getpid()), str(valkey._binary()))
        self._process = await asyncio.create_subprocess_exec(
            *launch, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
        )
        await until(self._listens)

    async def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, "the server ended"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def tcp_server(folder: Path, **options: str) -> AsyncIterator[TcpServer]:
    """Run a server with these options."""
    server = TcpServer(folder, **options)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


def cluster_url(nodes: Sequence[TcpServer]) -> str:
    """Return the address of the cluster that has these nodes."""
    return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[list[TcpServer]]:
    """Run three nodes that share the slots."""
    async with AsyncExitStack() as stack:
        nodes = []
        for number in range(3):
            home = folder / f"node{number}"
            home.mkdir(parents=True)
            # A busy machine must not have the nodes believe that the others are dead.
            options = {"cluster-enabled": "yes", "cluster-node-timeout": "15000", "cluster-port": str(free_port())}
            nodes.append(await stack.enter_async_context(tcp_server(home, **options)))
        await _join(nodes, stack)
        yield nodes


async def _join(nodes: list[TcpServer], stack: AsyncExitStack) -> None:
    clients = []
    for node in nodes:
        client = Redis(port=node.port, decode_responses=True, retry=Retry(NoBackoff(), 0))
        clients.append(await stack.enter_async_context(client))
    edges = [SLOTS * number // len(nodes) for number in range(len(nodes) + 1)]
    for number, client in enumerate(clients):
        await command(client, "CLUSTER", "ADDSLOTSRANGE", edges[number], edges[number + 1] - 1)
        await command(client, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for node in nodes[1:]:
        bus = node._options["cluster-port"]
        await command(clients[0], "CLUSTER", "MEET", "127.0.0.1", node.port, bus)

    async def agreed() -> bool:
        try:
            infos = [str(await command(client, "CLUSTER", "INFO")) for client in clients]
        except RedisError:
            return False
        return all("cluster_state:ok" in info and "cluster_known_nodes:3" in info for info in infos)

    await until(agreed, 30)
