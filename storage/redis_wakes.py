"""Waiting for a push to a list, on connections of its own: a blocked connection serves nobody else meanwhile."""

from __future__ import annotations

import asyncio

from storage.redis import Client, waiting_twin

# Who finds all of them taken waits without being woken, for as long as it would have waited anyway.
_MOST_WAITING = 16


class Wakes:
    """Blocks until a key's list has something, or for a while."""

    def __init__(self, client: Client) -> None:
        """Connect to the same server as `client`, at the first wait."""
        # One more per node than ever wait: a cluster's client also asks who is where.
        self._client = waiting_twin(client, connections=_MOST_WAITING + 1)
        self._room = asyncio.Semaphore(_MOST_WAITING)

    async def wait(self, key: str, seconds: float) -> None:
        """Take one element out of the list, or return after so many seconds. Raises redis' errors."""
        seconds = max(seconds, 0.01)
        try:
            # The outer limit also covers the wait for one of the few connections.
            async with asyncio.timeout(seconds + 1), self._room:
                await self._client.blpop([key], timeout=seconds)
        except TimeoutError:
            return

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
