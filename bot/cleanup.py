"""The work of a cleanup: batch after batch until nothing is due, and never in anybody's way.

Every batch is a transaction of its own, as many accounts as fit into a few milliseconds, followed by a pause twice as
long: whoever writes meanwhile waits for one batch at most, and mostly for none.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from storage.expiry import Expiry

log = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds that a transaction should take at most. Longer ones halve the batch, much shorter ones double it. On SQLite
# everybody who writes waits for it, on PostgreSQL only who writes to the very same accounts.
_AT_MOST_ON_SQLITE, _AT_MOST_ON_POSTGRESQL = 0.006, 0.02
# Of what it took, the pause behind it.
_PAUSE = 2
_FIRST, _SMALLEST = 50, 10
# Seconds between two lines about work that takes long.
_TELL_EVERY = 10.0
# Conversations that are dropped at the same time.
_FORGET_AT_ONCE = 20


@dataclass
class Progress:
    """What was done so far: people, rows; seconds, of the longest transaction with its wait for the database."""

    reminded: int = 0
    deleted: int = 0
    pruned: int = 0
    batches: int = 0
    longest: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        # The log takes six bare digits for a code.
        what = f"{self.reminded:,} reminded, {self.deleted:,} unconfirmed accounts deleted"
        how = f"{self.seconds:.1f} s: {self.batches:,} batches, the longest {self.longest * 1000:.0f} ms"
        return f"{what}, {self.pruned:,} old rows forgotten in {how}"


class Cleanup:
    """One cleanup. Several processes may be at it at once: nobody is reminded or deleted twice.

    `forget` drops the conversation of a person (Telegram id) whose account is gone. `wake` is called when there are
    messages to send. `batch`: accounts per transaction, at most. `told` is shown the progress after each batch.
    `monotonic` returns seconds.
    """

    def __init__(
        self,
        expiry: Expiry,
        forget: Callable[[int], Awaitable[object]],
        *,
        wake: Callable[[], None],
        batch: int,
        told: Callable[[Progress], None] = lambda progress: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._expiry = expiry
        self._forget = forget
        self._wake = wake
        self._most = batch
        self._batch = min(_FIRST, batch)
        self._told = told
        self._monotonic = monotonic
        self._at_most = _AT_MOST_ON_POSTGRESQL if expiry.database.is_postgresql else _AT_MOST_ON_SQLITE
        self._began = self._last_told = monotonic()
        self._took = 0.0
        self._progress = Progress()

    async def run(self, now: datetime) -> Progress:
        """Remind, delete, prune what is due at `now`, which stays the same however long it takes."""
        progress, sweep = self._progress, self._expiry.sweep(now)
        while reminded := await self._timed(lambda: sweep.remind(self._batch)):
            progress.reminded += reminded
            self._wake()
            await self._pause()
        while deleted := await self._timed(lambda: sweep.expire(self._batch)):
            progress.deleted += len(deleted)
            self._wake()
            await self._forget_all(deleted)
            await self._pause()
        pruning = self._expiry.pruning.run(now)
        while pruned := await self._timed(lambda: anext(pruning, None)):
            progress.pruned += pruned.rows
            await self._pause()
        return progress

    async def _timed(self, work: Callable[[], Awaitable[T]]) -> T:
        began = self._monotonic()
        done = await work()
        ended = self._monotonic()
        self._took = ended - began
        self._progress.longest = max(self._progress.longest, self._took)
        self._progress.seconds = ended - self._began
        self._progress.batches += bool(done)
        return done

    async def _pause(self) -> None:
        """Tell, let others have their turn, and choose the next batch."""
        self._told(self._progress)
        if self._monotonic() - self._last_told >= _TELL_EVERY:
            self._last_told = self._monotonic()
            log.info("the cleanup goes on: %s", self._progress)
        if self._took > self._at_most:
            self._batch = max(min(_SMALLEST, self._most), self._batch // 2)
        elif self._took < self._at_most / 2:
            self._batch = min(self._most, self._batch * 2)
        await asyncio.sleep(self._took * _PAUSE)

    async def _forget_all(self, deleted: Sequence[int]) -> None:
        for begin in range(0, len(deleted), _FORGET_AT_ONCE):
            await asyncio.gather(*(self._forget(person) for person in deleted[begin : begin + _FORGET_AT_ONCE]))
