"""The courier: takes what the outbox holds, right after commit or when its time comes, and has it delivered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from bot.outages import storage_is_away
from storage.clock import Clock
from storage.outbox import OutboxItem

log = logging.getLogger(__name__)

_POLL = 1.0
_GRACE = 4.0
_PARALLEL = 20
# What fails for a reason nobody foresaw is tried again this often, this far apart, and then given up.
_FAULT_TRIES = 5
_FAULT_DELAY = timedelta(seconds=10)


class Delivery(Protocol):
    """Delivers one kind of row; it settles the row itself (done, retry or dead)."""

    async def deliver(self, item: OutboxItem) -> None:
        """Deliver one row leased to us. What it raises puts the row off."""
        ...


class Queue(Protocol):
    """Rows under leases, as `storage.outbox.Outbox` has them."""

    async def take(self, owner: str, now: datetime, batch: int) -> Sequence[OutboxItem]:
        """Lease up to `batch` due rows."""
        ...

    async def retry(self, item_id: UUID, owner: str, run_at: datetime, error: str) -> None:
        """Give a row back, due again at `run_at`."""
        ...

    async def dead(self, item_id: UUID, owner: str, error: str) -> None:
        """Give a row up for good."""
        ...


class Courier:
    """One per queue and process. `wake()` after each commit that filled it; other rows are found by a look each second.

    `deliveries` says by a row's kind who delivers it; `owner` is this process's name on its leases; `hands` bounds how
    many rows it delivers at a time; `grace`: seconds that `stop` gives to what is being sent.
    """

    def __init__(
        self,
        outbox: Queue,
        deliveries: dict[str, Delivery],
        clock: Clock,
        owner: str,
        *,
        hands: int = _PARALLEL,
        grace: float | None = None,
    ) -> None:
        self._hands = hands
        self._grace = grace
        self._outbox = outbox
        self._deliveries = deliveries
        self._clock = clock
        self._owner = owner
        self._woken = asyncio.Event()
        self._stopping = False
        self._full = False
        self._running: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Look into the outbox now."""
        self._woken.set()

    def start(self) -> None:
        """Begin; call it once, inside the running loop."""
        self._loop = asyncio.create_task(self._run(), name="courier")

    async def stop(self) -> None:
        """Take nothing more and give what is being sent its grace, four seconds unless told otherwise.

        A call still open then is cut and its row stays as it is: whoever takes it over when the lease ends knows
        from the ledger that it may have been sent.
        """
        self._stopping = True
        self.wake()
        if self._loop is not None:
            await self._loop
        if self._running:
            await asyncio.wait(self._running, timeout=_GRACE if self._grace is None else self._grace)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _run(self) -> None:
        while not self._stopping:
            # Cleared before the look: what is committed during it wakes us again.
            self._woken.clear()
            await self._look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL):
                    await self._woken.wait()

    async def _look(self) -> None:
        """Start what is due, as much as there are free hands for."""
        free = self._hands - len(self._running)
        if self._stopping or free == 0:
            return
        try:
            items = await self._outbox.take(self._owner, now=self._clock.now(), batch=free)
        except Exception as error:
            if not storage_is_away(error):
                log.exception("the outbox cannot be read")
            return
        for item in items:
            task = asyncio.create_task(self._deliver(item), name=f"{item.kind} {item.id}")
            self._running.add(task)
            task.add_done_callback(self._finished)
        self._full = len(items) == free

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._full:
            self.wake()

    async def _deliver(self, item: OutboxItem) -> None:
        try:
            await self._deliveries[item.kind].deliver(item)
        except Exception as error:
            if storage_is_away(error):
                # The row cannot be put off either: the lease does it.
                log.warning("storage is away, a %s row waits for its lease to end", item.kind)
                return
            log.exception("a %s row could not be delivered", item.kind)
            await self._put_off(item)

    async def _put_off(self, item: OutboxItem) -> None:
        try:
            if item.attempts >= _FAULT_TRIES:
                await self._outbox.dead(item.id, self._owner, error="fault")
            else:
                run_at = self._clock.now() + _FAULT_DELAY
                await self._outbox.retry(item.id, self._owner, run_at=run_at, error="fault")
        except Exception:
            log.exception("a %s row could not be put off and waits for its lease to end", item.kind)
