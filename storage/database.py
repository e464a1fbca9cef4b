"""One database behind one door: reads, and writes that happen once per Telegram update."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from storage import applied
from storage.clock import Clock, SystemClock
from storage.errors import Refusal, StorageError
from storage.models import UpdateRef
from storage.on_sqlite import SqliteThread
from storage.statements import Connection, Statement

if TYPE_CHECKING:
    from storage.on_postgresql import PostgresqlPool

T = TypeVar("T")
Work = Callable[[Connection], Awaitable[T]]

_DRIVERS = {
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
}
DATABASE_ERRORS = (StorageError, SQLAlchemyError, OSError)
"""What a database that cannot be used raises; the last two come from migrations alone."""

_TRIES = 5
_PAUSE = 0.05
# Of an id of version 7: 12 bits before the variant's two, 62 after them.
_RANDOM_BITS = 0xFFF << 64 | (1 << 62) - 1
_ONE = Statement(sa.select(sa.literal_column("1", sa.Integer)))
_TIME = Statement(sa.select(sa.func.clock_timestamp(type_=sa.DateTime(timezone=True))))


def normalise(url: str) -> URL:
    """Return the URL with the driver this project uses; raises ValueError for another kind of database.

    libpq's `sslmode` is passed on under the name asyncpg knows.
    """
    parsed = make_url(url)
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        raise ValueError("the database is sqlite:///path or postgresql://user:password@host/name")
    parsed = parsed.set(drivername=driver)
    if "sslmode" in parsed.query:
        mode = parsed.query["sslmode"]
        parsed = parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    return parsed


class Database:
    """SQLite (one serving process) or PostgreSQL (any number).

    On SQLite `work` runs whole in a thread of its own connection and may await nothing but it; on PostgreSQL at most
    `pool_size` run at once, the others wait up to `pool_timeout` s. `answer_within` (seconds, PostgreSQL): a server
    silent for longer is away; None waits for ever. `clock` dates `applied_updates` and row ids only; `random` makes row
    ids: both are arguments so that tests decide them.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        pool_timeout: float = 20,
        answer_within: float | None = 15,
        clock: Clock | None = None,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.url = normalise(url)
        self.is_postgresql = self.url.get_backend_name() == "postgresql"
        self._clock = clock or SystemClock()
        self._random = random
        self._pool: PostgresqlPool | None = None
        if self.is_postgresql:
            self._pool = _postgresql(self.url, pool_size, pool_timeout, answer_within)
        else:
            path = str(self.url.database)
            self._reader, self._writer = SqliteThread(path, "DEFERRED"), SqliteThread(path, "IMMEDIATE")

    def new_id(self) -> UUID:
        """Return a fresh row id: a UUID of version 7 (RFC 9562, section 5.7).

        Its first 48 bits are the moment in milliseconds, so new rows lie beside each other in the index and a commit
        writes few pages; the rest is random.
        """
        milliseconds = int(self._clock.now().timestamp() * 1000)
        return UUID(int=milliseconds << 80 | 0x7 << 76 | int.from_bytes(self._random(10)) & _RANDOM_BITS | 0b10 << 62)

    async def read(self, work: Work[T]) -> T:
        """Run `work` in one transaction that changes nothing, and return its outcome. Raises StorageError."""
        return cast("T", await self._again(work, writes=False))

    async def write(self, update: UpdateRef | None, work: Work[T]) -> T:
        """Run `work` in one transaction, once per update, and return its outcome.

        A Refusal that `work` raises is an outcome too: what was written stays, and it is raised after the commit. Any
        other exception rolls everything back. When this update was applied before, nothing of `work` stays: the outcome
        kept then is returned or raised again, with the account as it stands now. Deadlocks, serialization failures
        and a lost connection are tried again; a commit whose answer was lost is recognised by its update.
        Raises StorageError, StorageAway when the database could not be reached.
        """

        async def once(conn: Connection) -> T | Refusal:
            outcome: T | Refusal
            try:
                outcome = await work(conn)
            except Refusal as refusal:
                outcome = refusal
            if update is not None:
                # Last, since almost every update is new: one that is not undoes what was just done.
                await applied.keep(conn, update, outcome, self._clock.now())
            return outcome

        try:
            outcome = await self._again(once, writes=True)
        except applied.AppliedBefore as before:
            outcome = await self._again(partial(applied.recall, update=before.update), writes=False)
        if isinstance(outcome, Refusal):
            raise outcome
        return cast("T", outcome)

    async def ping(self) -> None:
        """Ask the database for a sign of life; raises StorageError when there is none."""

        async def work(conn: Connection) -> None:
            await conn.execute(_ONE)

        await self.read(work)

    async def dispose(self) -> None:
        """Close every connection."""
        if self._pool is not None:
            await self._pool.stop()
        else:
            await asyncio.gather(self._reader.stop(), self._writer.stop())

    async def _again(self, work: Work[Any], *, writes: bool) -> Any:
        for tries in range(1, _TRIES + 1):
            try:
                if self._pool is not None:
                    return await self._pool.run(work, read_only=not writes)
                return await (self._writer if writes else self._reader).run(work)
            except StorageError as error:
                if not error.passing or tries == _TRIES:
                    raise
            # Apart from each other, else the same two meet in the same circle again.
            await asyncio.sleep(tries * _PAUSE * self._random(1)[0] / 255)
        raise AssertionError("unreachable: the last try returns or raises")


def _postgresql(url: URL, size: int, wait: float, answer_within: float | None) -> PostgresqlPool:
    # Not at the top: the driver and its dialect are 5 MB and 0.1 s, and on SQLite nobody needs them.
    from storage.on_postgresql import PostgresqlPool

    return PostgresqlPool(url, size=size, wait=wait, answer_within=answer_within)


class DatabaseClock:
    """Tells the database's time on PostgreSQL, so that replicas with wrong clocks agree; the machine's on SQLite.

    `refresh()` measures the difference; `now()` costs nothing. The application refreshes at start and once a minute.
    """

    def __init__(self, database: Database, machine: Clock | None = None) -> None:
        self._database = database
        self._machine = machine or SystemClock()
        self._offset = timedelta(0)

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        return self._machine.now() + self._offset

    async def refresh(self) -> None:
        """Measure the database's clock against the machine's, taking half the round trip off."""
        if not self._database.is_postgresql:
            return

        async def work(conn: Connection) -> timedelta:
            # The first statement opens the connection, which takes longer than a round trip.
            await conn.execute(_ONE)
            asked = self._machine.now()
            there: datetime = (await conn.execute(_TIME)).scalar_one()
            answered = self._machine.now()
            return there.astimezone(UTC) - (asked + (answered - asked) / 2)

        self._offset = await self._database.read(work)
