"""One database behind one door: reads, and writes that happen once per Telegram update."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from storage import applied
from storage.clock import Clock, SystemClock
from storage.errors import Refusal
from storage.models import UpdateRef

T = TypeVar("T")

_DRIVERS = {
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
}
_SERIALIZATION_FAILURE, _DEADLOCK = "40001", "40P01"
_TRIES = 5
_PAUSE = 0.05
_BUSY_MS = 10_000


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
    """SQLite (one serving process) or PostgreSQL (any number), with a pool that waits instead of failing at once.

    `answer_within` (seconds, PostgreSQL): a server silent for longer is away; None waits for ever. `clock` dates
    `applied_updates` only; `random` makes row ids: both are arguments so that tests decide them.
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
        # Parameters hold numbers and addresses: they never belong into an error's text.
        self.engine = create_async_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=pool_timeout,
            hide_parameters=True,
            connect_args={"timeout": 5, "command_timeout": answer_within} if self.is_postgresql else {},
        )
        self._clock = clock or SystemClock()
        self._random = random
        # SQLite's own waiting is a poll without order; in one process writers queue up here, first come, first served.
        self._writers: AbstractAsyncContextManager[None] = nullcontext() if self.is_postgresql else asyncio.Lock()
        if not self.is_postgresql:
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self.engine.sync_engine, "begin", _begin_sqlite)

    def new_id(self) -> UUID:
        """Return a fresh random row id (UUID version 4)."""
        return UUID(bytes=self._random(16), version=4)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open one reading transaction; nothing done in it is kept."""
        async with self.engine.connect() as conn:
            yield await conn.execution_options(sqlite_begin="DEFERRED")

    async def write(self, update: UpdateRef | None, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run `work` in one transaction, once per update, and return its outcome.

        A Refusal that `work` raises is an outcome too: what was written stays, and it is raised after the commit. Any
        other exception rolls everything back. When this update was applied before, `work` does not run: the outcome
        kept then is returned or raised again, with the account as it stands now. Deadlocks, serialization failures
        and a lost connection are tried again; a commit whose answer was lost is recognised by its update.
        """
        for tries in range(1, _TRIES):
            try:
                return await self._write_once(update, work)
            except DBAPIError as error:
                if not _may_succeed_again(error):
                    raise
            # Apart from each other, else the same two meet in the same circle again.
            await asyncio.sleep(tries * _PAUSE * self._random(1)[0] / 255)
        return await self._write_once(update, work)

    async def _write_once(self, update: UpdateRef | None, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        outcome: T | Refusal
        async with self._writers, self.engine.begin() as conn:
            if update is None or await applied.is_first(conn, update, self._clock.now()):
                try:
                    outcome = await work(conn)
                except Refusal as refusal:
                    outcome = refusal
                if update is not None:
                    await applied.keep(conn, update, outcome)
            else:
                outcome = cast("T | Refusal", await applied.recall(conn, update))
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    async def ping(self) -> None:
        """Ask the database for a sign of life; raises what the driver raises when there is none."""
        async with self.read() as conn:
            await conn.execute(sa.select(1))

    async def dispose(self) -> None:
        """Close every pooled connection."""
        await self.engine.dispose()


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
        async with self._database.read() as conn:
            await conn.execute(sa.select(1))
            asked = self._machine.now()
            there: datetime = (await conn.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
            answered = self._machine.now()
        self._offset = there.astimezone(UTC) - (asked + (answered - asked) / 2)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN is deferred and loses updates: ours is sent instead
    cursor = connection.cursor()
    # The patience comes first: switching to WAL already needs the file for a moment.
    for pragma in (f"busy_timeout={_BUSY_MS}", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN " + connection.get_execution_options().get("sqlite_begin", "IMMEDIATE"))


def _may_succeed_again(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or state in (_SERIALIZATION_FAILURE, _DEADLOCK)
