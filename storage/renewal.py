"""Doing something again and again while work lasts, for work that is nearly always over before the first time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Renewal:
    """A task that is made only when it is needed: few handlers are so slow that their lock must be renewed."""

    def __init__(self, after: float, renew: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `renew` in so many seconds, unless `cancel` comes first."""
        self._renew = renew
        self._task: asyncio.Task[None] | None = None
        self._alarm = asyncio.get_running_loop().call_later(after, self._start)

    def cancel(self) -> None:
        """Do not start, or stop."""
        self._alarm.cancel()
        if self._task is not None:
            self._task.cancel()

    def _start(self) -> None:
        self._task = asyncio.create_task(self._renew())
