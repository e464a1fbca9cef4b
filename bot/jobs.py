"""What happens by the clock: reminders, deleting unconfirmed accounts, pruning, the database's time, the routes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Protocol

from bot.cleanup import Cleanup
from bot.outages import storage_is_away
from storage.clock import Clock
from storage.conversations import Conversations
from storage.expiry import Expiry
from storage.leases import Leases

log = logging.getLogger(__name__)

_MINUTE = timedelta(minutes=1)


class RefreshingClock(Clock, Protocol):
    """A clock that follows another one, such as the database's."""

    async def refresh(self) -> None:
        """Read the other clock again."""
        ...


class Jobs:
    """Runs on every replica; `leases` lets one of them do the cleanup in each period.

    `wake` is the courier's: reminders and notices are in the outbox once a batch is committed. `learn` is called each
    minute on every replica: each learns for itself in which order gateways are asked.
    """

    def __init__(
        self,
        expiry: Expiry,
        leases: Leases,
        conversations: Conversations,
        clock: Clock | RefreshingClock,
        *,
        bot_id: int,
        wake: Callable[[], None],
        every: timedelta,
        batch: int,
        learn: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._expiry = expiry
        self._leases = leases
        self._conversations = conversations
        self._clock = clock
        self._bot_id = bot_id
        self._wake = wake
        self._every = every
        self._batch = batch
        self._learn = learn
        self._refresh: Callable[[], Awaitable[object]] | None = getattr(clock, "refresh", None)
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    def start(self) -> None:
        """Begin; call it once, inside the running loop."""
        # Looked at more often than the period: whoever comes first after its end does the work, also after a restart.
        look = min(self._every / 10, _MINUTE)
        self._tasks.append(asyncio.create_task(self._repeat(self.cleanup_once, look), name="cleanup"))
        if self._refresh is not None:
            self._tasks.append(asyncio.create_task(self._repeat(self._refresh, _MINUTE), name="database clock"))
        if self._learn is not None:
            self._tasks.append(asyncio.create_task(self._repeat(self._learn, _MINUTE), name="routes"))

    async def stop(self) -> None:
        """Cut what runs; a batch not yet committed is rolled back and done by the next period."""
        # A cancellation can be lost inside a client's own time limit, when that ends at the same moment.
        self._stopping.set()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def cleanup_once(self) -> bool:
        """Do the period's work unless another process has; tell whether this one did."""
        if not await self._leases.once("cleanup", self._every):
            return False
        await self.cleanup()
        return True

    async def cleanup(self) -> None:
        """Remind, delete, prune: batch after batch until nothing is due."""
        if self._refresh is not None:
            # Whoever set the machine's clock a minute ago must not have deleted anybody by that.
            await self._refresh()
        forget = partial(self._conversations.forget, self._bot_id)
        cleanup = Cleanup(self._expiry, forget, wake=self._wake, batch=self._batch)
        progress = await cleanup.run(self._clock.now())
        if progress.batches:
            log.info("the cleanup is done: %s", progress)

    async def _repeat(self, work: Callable[[], Awaitable[object]], pause: timedelta) -> None:
        while not self._stopping.is_set():
            try:
                await work()
            except Exception as error:
                if storage_is_away(error):
                    log.warning("storage is away, %s is tried again later", work.__name__)
                else:
                    log.exception("%s failed", work.__name__)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause.total_seconds()):
                    await self._stopping.wait()
