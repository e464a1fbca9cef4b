"""A master, its replica and three sentinels: real servers on TCP that fail over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tests.redis_servers import TcpServer, command, tcp_server
from tests.waiting import until

MASTER = "the-master"


@dataclass
class Watched:
    """Two servers, one of which is the master, and the sentinels that watch over them."""

    servers: list[TcpServer]
    sentinels: list[TcpServer]
    password: str = ""

    def url(self, query: str = "") -> str:
        """Return the address of the master, whichever it is."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        login = f":{self.password}@" if self.password else ""
        return f"redis+sentinel://{login}{hosts}/{MASTER}/0{query}"

    def client(self, server: TcpServer) -> Redis:
        """Return a client of one of them, which raises at once."""
        retry = Retry(NoBackoff(), 0)
        return Redis(port=server.port, password=self.password or None, decode_responses=True, retry=retry)

    async def role(self, server: TcpServer) -> str:
        """Return what a server says it is: `master` or `slave`."""
        async with self.client(server) as client:
            return str((await command(client, "ROLE"))[0])

    async def master(self) -> TcpServer:
        """Return the server that the sentinels call the master."""
        async with Redis(port=self.sentinels[0].port, decode_responses=True) as client:
            _, port = await command(client, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
        return next(server for server in self.servers if server.port == int(port))

    async def other(self) -> TcpServer:
        """Return the server that the sentinels do not call the master."""
        master = await self.master()
        return next(server for server in self.servers if server is not master)

    async def ready(self) -> None:
        """Wait until there is a master with a replica, and each sentinel knows both and the other sentinels."""

        async def agreed() -> bool:
            try:
                states = [await self._state(sentinel) for sentinel in self.sentinels]
                replica = self.client(await self.other())
                async with replica:
                    _, _, _, link, _ = await command(replica, "ROLE")
            except (RedisError, ValueError):
                return False
            seen = {(state["num-slaves"], state["num-other-sentinels"], state["flags"]) for state in states}
            return link == "connected" and seen == {("1", str(len(self.sentinels) - 1), "master")}

        await until(agreed, 30)

    async def _state(self, sentinel: TcpServer) -> dict[str, str]:
        async with Redis(port=sentinel.port, decode_responses=True, protocol=2) as client:
            words = await command(client, "SENTINEL", "MASTER", MASTER)
            return dict(zip(words[::2], words[1::2], strict=True))


@asynccontextmanager
async def watched(folder: Path, password: str = "") -> AsyncIterator[Watched]:
    """Run a master, its replica and three sentinels that give a silent master up after a second."""
    login = {"requirepass": password, "masterauth": password} if password else {}
    async with AsyncExitStack() as stack:
        servers: list[TcpServer] = []
        for number in range(2):
            home = folder / f"server{number}"
            home.mkdir(parents=True)
            follows = {"replicaof": f"127.0.0.1 {servers[0].port}"} if servers else {}
            options = {**login, **follows, "repl-diskless-sync-delay": "0"}
            servers.append(await stack.enter_async_context(tcp_server(home, **options)))
        sentinels: list[TcpServer] = []
        for number in range(3):
            home = folder / f"sentinel{number}"
            home.mkdir()
            sentinels.append(await stack.enter_async_context(_sentinel(home, servers[0].port, password)))
        both = Watched(servers, sentinels, password)
        await both.ready()
        yield both


class Sentinel(TcpServer):
    """A sentinel that watches the master at this port."""

    def __init__(self, folder: Path, master: int, password: str) -> None:
        super().__init__(folder)
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {folder}",
            f"sentinel monitor {MASTER} 127.0.0.1 {master} 2",
            f"sentinel down-after-milliseconds {MASTER} 1000",
            f"sentinel failover-timeout {MASTER} 5000",
            *([f"sentinel auth-pass {MASTER} {password}"] if password else []),
        ]
        # Sentinels write down what they learn in their own configuration.
        self._file = folder / "sentinel.conf"
        self._file.write_text("\n".join(lines) + "\n")

    async def start(self) -> None:
        """Start and wait until it accepts connections."""
        await self._launch(str(self._file), "--sentinel")


@asynccontextmanager
async def _sentinel(folder: Path, master: int, password: str) -> AsyncIterator[TcpServer]:
    sentinel = Sentinel(folder, master, password)
    try:
        await sentinel.start()
        yield sentinel
    finally:
        await sentinel.stop()
