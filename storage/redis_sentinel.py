"""A server that sentinels watch over: which one is the master now is asked before each new connection."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.sentinel import Sentinel, SentinelManagedConnection, SentinelManagedSSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

Place = tuple[str, int]


class Master:
    """The master of this name, found by asking the sentinels; who answered last is asked first next time.

    `options` are those of redis-py's client for the connections to the sentinels.
    """

    def __init__(self, name: str, places: Sequence[Place], options: dict[str, Any]) -> None:
        """Ask nobody yet."""
        self.name = name
        self._sentinel: Any = cast(Any, Sentinel)(places, sentinel_kwargs=options)

    async def address(self) -> Place:
        """Return where the master is now. Raises redis' ConnectionError with the reason in one line."""
        asked, silent, known = self._sentinel.sentinels, [], False
        for n, sentinel in enumerate(asked):
            try:
                masters = await sentinel.sentinel_masters()
            except (RedisConnectionError, RedisTimeoutError) as error:
                silent.append(error)
                continue
            state = masters.get(self.name)
            known = known or state is not None
            if state and self._sentinel.check_master_state(state, self.name):
                asked[0], asked[n] = sentinel, asked[0]
                return state["ip"], state["port"]
        if len(silent) == len(asked):
            raise RedisConnectionError(f"no sentinel answers: {' '.join(str(silent[-1]).split())}")
        if not known:
            raise RedisConnectionError(f"the sentinels know no master named {self.name!r}")
        raise RedisConnectionError(f"the sentinels say that the master {self.name!r} is down")

    async def close(self) -> None:
        """Close the connections to the sentinels."""
        await self._sentinel.aclose()


class MasterPool(BlockingConnectionPool):
    """Connections to whichever server is the master when they are opened; a read-only one is taken for lost."""

    # What redis-py's connection asks its pool.
    is_master = True
    check_connection = False

    def __init__(self, master: Master, *, tls: bool, **options: Any) -> None:
        """Take the options of redis-py's pool."""
        kind = SentinelManagedSSLConnection if tls else SentinelManagedConnection
        super().__init__(connection_class=kind, **options)
        self.master = master
        self.tls = tls
        self.connection_kwargs["connection_pool"] = weakref.proxy(self)

    def __repr__(self) -> str:
        # The inherited one shows the options, which hold this very pool.
        return f"<{type(self).__name__} of {self.master.name!r}>"

    async def get_master_address(self) -> Place:
        """See redis-py's SentinelConnectionPool."""
        return await self.master.address()


class MasterClient(Redis):
    """A client of the master; closing it closes the connections to the sentinels too."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """See Redis."""
        await super().aclose(close_connection_pool)
        if isinstance(self.connection_pool, MasterPool):
            await self.connection_pool.master.close()
