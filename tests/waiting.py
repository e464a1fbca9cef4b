"""Waiting for something that tells nobody when it happens, with a deadline."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable


async def until(happened: Callable[[], bool | Awaitable[object]], seconds: float = 10) -> None:
    """Ask every few milliseconds; raise TimeoutError when it has not become true in time.

    Who asks a server is asked less often: that costs more than to look into memory, and others wait for it.
    """
    async with asyncio.timeout(seconds):
        while True:
            answer = happened()
            asks = inspect.isawaitable(answer)
            if await answer if inspect.isawaitable(answer) else answer:
                return
            await asyncio.sleep(0.02 if asks else 0.003)
