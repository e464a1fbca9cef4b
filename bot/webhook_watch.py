"""Keeps the webhook set. Telegram has either a webhook or getUpdates, and a process that polls removes the webhook."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiogram import Bot
from aiogram.exceptions import AiogramError

from bot.failures import StartFailed

log = logging.getLogger(__name__)

# Seconds for which a poller of the earlier deployment, the last to be stopped, can leave this one deaf.
_LOOK_EVERY = 30.0


@asynccontextmanager
async def kept(
    bot: Bot, set_webhook: Callable[[], Awaitable[object]], every: float = _LOOK_EVERY
) -> AsyncIterator[None]:
    """Set the webhook, and set it again where there is none while the block runs; looks `every` so many seconds.

    Another address is left alone: it is a newer deployment's. Raises what the first `set_webhook` raises.
    """
    await set_webhook()
    task = asyncio.create_task(_watch(bot, set_webhook, every), name="webhook watch")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _watch(bot: Bot, set_webhook: Callable[[], Awaitable[object]], every: float) -> None:
    while True:
        await asyncio.sleep(every)
        try:
            if not (await bot.get_webhook_info()).url:
                log.warning("the webhook is gone, as a process that polls removes it: it is set again")
                await set_webhook()
        except (AiogramError, StartFailed, OSError) as error:
            log.warning("the webhook could not be looked after: %s", error)
