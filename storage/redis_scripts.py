"""Running Lua scripts: over one shared connection where there is one server, through redis-py where there are many."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from redis.exceptions import AuthenticationError, NoScriptError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError

from storage.redis import ANSWER_WITHIN, CONNECT_WITHIN, Client, address_of, master_of
from storage.redis_cluster import Cluster
from storage.redis_connection import Address, Connection, connect, pack
from storage.redis_sentinel import Master

# Commands under way at once; who comes later waits. Bounds what is buffered while a server is slow.
_MOST_AT_ONCE = 2000
# Seconds before the next try after a connection was lost: just enough to replace one that a restarted server has cut.
_PAUSES = (0.02, 0.04)
# Connections to one cluster that scripts may take; redis-py would raise where waiting is meant.
_MOST_IN_CLUSTER = 64


class Script:
    """A Lua script and the name (SHA-1) a server keeps it under."""

    def __init__(self, text: str) -> None:
        """Take the script's text."""
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Scripts(Protocol):
    """Something that runs scripts. Raises redis' errors; a script may run twice, so it must be safe to repeat."""

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Return the script's answer: text, int, None, or a list of those."""

    async def close(self) -> None:
        """Close what is this object's own; whoever waits for an answer gets redis' ConnectionError."""


def scripts_for(client: Client) -> Scripts:
    """Return what runs scripts where `client` is connected to; `client` stays the caller's."""
    if isinstance(client, Cluster):
        return ThroughCluster(client)
    return Multiplexed(address_of(client), master=master_of(client))


class Multiplexed:
    """Scripts of a single server over one connection, opened at the first use and again whenever it has ended.

    With a `master` its place is asked for at each opening. A server that has become read-only counts as lost: another
    one took over, maybe under the same name. An answer that is missing for 3 s is redis' TimeoutError. A lost
    connection is replaced and the script sent again, twice at most and at once: longer outages are Telegram's job.
    """

    def __init__(
        self,
        address: Address,
        *,
        master: Master | None = None,
        answer_within: float = ANSWER_WITHIN,
        most_at_once: int = _MOST_AT_ONCE,
    ) -> None:
        """Open nothing yet. `answer_within` is in seconds."""
        self._address = address
        self._master = master
        self._answer_within = answer_within
        self._room = asyncio.Semaphore(most_at_once)
        self._connection: Connection | None = None
        self._opening: asyncio.Task[Connection] | None = None
        self._closed = False

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """See Scripts."""
        operands = (len(keys), *keys, *args)
        async with self._room:
            try:
                return await self._ask(pack(("EVALSHA", script.sha, *operands)))
            except NoScriptError:
                return await self._ask(pack(("EVAL", script.text, *operands)))

    async def close(self) -> None:
        """See Scripts."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._connection is not None:
            self._connection.end(RedisConnectionError("closed"))
            await self._connection.gone()

    async def _ask(self, command: bytes) -> Any:
        for pause in (*_PAUSES, None):
            try:
                connection = self._connection
                if connection is None or connection.ended:
                    connection = await self._connected()
                return await connection.send(command)
            except AuthenticationError:
                raise
            except (RedisConnectionError, ReadOnlyError):
                if pause is None or self._closed:
                    raise
                await asyncio.sleep(pause)

    async def _connected(self) -> Connection:
        if self._closed:
            raise RedisConnectionError("closed")
        if self._opening is None:
            # One for everybody; whoever is cancelled leaves it to the others.
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> Connection:
        try:
            address = self._address
            if self._master is not None:
                host, port = await self._master.address()
                address = replace(address, host=host, port=port)
            self._connection = await connect(address, within=CONNECT_WITHIN, answer_within=self._answer_within)
            return self._connection
        except asyncio.CancelledError:
            # Only `close` cancels this task; its callers are not cancelled, so they must not believe it.
            raise RedisConnectionError("closed") from None
        finally:
            self._opening = None


class ThroughCluster:
    """Scripts of a cluster through redis-py, which knows where each key is."""

    def __init__(self, client: Cluster) -> None:
        """Use this client; it stays the caller's to close."""
        self._client = client
        self._room = asyncio.Semaphore(_MOST_IN_CLUSTER)

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """See Scripts; all keys must have one hash tag."""
        operands = (len(keys), *keys, *args)
        async with self._room:
            try:
                return await self._client.execute_command("EVALSHA", script.sha, *operands)
            except NoScriptError:
                return await self._client.execute_command("EVAL", script.text, *operands)

    async def close(self) -> None:
        """Nothing here is of its own."""
