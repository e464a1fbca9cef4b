"""Time that is simulated: an event loop whose clock jumps to the next timer when nothing else is to be done."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

# A database that says nothing for so long (seconds) is not at work: it pauses by a timer of its own.
_PATIENCE = 30.0
BEGINNING = datetime(2026, 5, 4, tzinfo=UTC)


class _Selector(selectors.BaseSelector):
    """Waits for sockets and threads, but never for time."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now = 0.0
        self.held = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return self._real.select(timeout)
        # While the database works on something, the moment lasts.
        events = self._real.select(_PATIENCE if self.held else 0)
        if not events:
            self.now += timeout
        return events

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def close(self) -> None:
        self._real.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()


class SimulatedLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop: its heap of timers is the simulation's heap of events."""

    def __init__(self) -> None:
        self._simulated = _Selector()
        super().__init__(self._simulated)

    def time(self) -> float:
        """Return the seconds simulated so far."""
        return self._simulated.now

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no time pass meanwhile: for work that is done outside the loop."""
        self._simulated.held += 1
        try:
            yield
        finally:
            self._simulated.held -= 1


class SimulatedClock:
    """Tells the loop's moment; `storage.clock.Clock`."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return BEGINNING + timedelta(seconds=self._loop.time())
