"""The line in front of each conversation within one process: first come, first served; empty lines are forgotten."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable


class Turns:
    """One turn at a time for each key."""

    def __init__(self) -> None:
        """Start with nobody."""
        # A key is here while somebody has its turn; in the line are those who come next.
        self._lines: dict[Hashable, deque[asyncio.Future[None]]] = {}

    def __bool__(self) -> bool:
        """Tell whether anybody has a turn or waits for one."""
        return bool(self._lines)

    async def take(self, key: Hashable) -> None:
        """Wait for the turn; it must be given on by `give`. A cancelled wait leaves the line."""
        line = self._lines.get(key)
        if line is None:
            self._lines[key] = deque()
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                line.remove(place)
            else:
                # The turn came in the same moment.
                self.give(key)
            raise

    def give(self, key: Hashable) -> None:
        """Hand the turn to whoever has waited for longest."""
        line = self._lines[key]
        while line:
            place = line.popleft()
            if not place.done():
                place.set_result(None)
                return
        del self._lines[key]
