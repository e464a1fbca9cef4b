"""Waiting for something that tells nobody when it happens, with a deadline."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable


async def until(happened: Callable[[], bool | Awaitable[object]], seconds: float = 10) -> None:
    """Ask every few milliseconds; raise TimeoutError when it has not become true in time."""
    async with asyncio.timeout(seconds):
        while True:
            result = happened()
            if await result if inspect.isawaitable(result) else result:
                return
            await asyncio.sleep(0.003)
