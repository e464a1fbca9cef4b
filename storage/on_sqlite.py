"""Transactions on a SQLite file: each runs whole in a thread of its own connection, several share one commit.

SQLite lets one writer in at a time and a commit waits for the disk. So what people do at the same moment is written
together: each transaction in a savepoint of its own, answered only after the COMMIT they share.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from storage.checkpoints import Checkpoints
from storage.errors import StorageAway, StorageError
from storage.statements import Connection, Rows, Statement, prepared_once

Work = Callable[[Connection], Awaitable[Any]]

_BUSY_MS = 10_000
_DIALECT = sqlite.dialect()
# So many share one commit at most: those behind them wait for it.
_LARGEST_GROUP = 100
# By these letters begin the names of what passes. Not every OperationalError: "no such table" would stay for ever.
_AWAY = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_FULL", "SQLITE_READONLY")


class SqliteConnection:
    """The open transaction, as `Connection` has it. Its `execute` never waits, so a transaction runs in one go."""

    is_postgresql = False
    insert = staticmethod(sqlite.insert)

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    async def execute(self, statement: Statement | sa.Executable, **values: Any) -> Rows:
        """Run one statement."""
        if isinstance(statement, Statement):
            prepared = statement.prepared(_DIALECT)
        else:
            prepared = prepared_once(statement, _DIALECT)
        cursor = self._raw.execute(prepared.sql, prepared.parameters(values))
        if not prepared.returns_rows:
            return Rows([], cursor.rowcount)
        rows = prepared.rows(cursor.fetchall())
        return Rows(rows, len(rows))

    async def execute_many(self, statement: Statement, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run one statement for each of these sets of parameters."""
        prepared = statement.prepared(_DIALECT)
        self._raw.executemany(prepared.sql, [prepared.parameters(row) for row in rows])


@dataclass
class _Job:
    """One transaction that somebody waits for, and what it came to."""

    work: Work
    future: asyncio.Future[Any]
    outcome: Any = None
    error: BaseException | None = None

    def answer(self) -> None:
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.outcome)
        else:
            self.future.set_exception(self.error)


class SqliteThread:
    """One connection and the thread that runs what it is given, in order, in groups.

    `begin` is DEFERRED for reading (a group sees one state of the file), IMMEDIATE for writing.
    """

    def __init__(self, path: str, begin: str) -> None:
        self._path = path
        self._begin = f"BEGIN {begin}"
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._raw: sqlite3.Connection | None = None
        self._checkpoints = Checkpoints(partial(_connect, path)) if begin == "IMMEDIATE" else None

    async def run(self, work: Work) -> Any:
        """Run `work` in a transaction and return what it returned, after the commit. Raises StorageError.

        `work` may await nothing but its connection: it runs in the thread, outside the loop.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=self._begin, daemon=True)
            self._thread.start()
        job = _Job(work, asyncio.get_running_loop().create_future())
        self._jobs.put(job)
        try:
            return await job.future
        except sqlite3.Error as error:
            raise _translated(error) from error

    async def stop(self) -> None:
        """Finish what was given and close the connection."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(thread.join)
        if self._checkpoints is not None:
            await asyncio.to_thread(self._checkpoints.stop)

    def _serve(self) -> None:
        while (first := self._jobs.get()) is not None:
            group = self._commit(first)
            # A loop that is closed has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                first.future.get_loop().call_soon_threadsafe(_answer, group)
            if self._checkpoints is not None and self._raw is not None:
                self._checkpoints.written(self._raw)
        self._close()

    def _group(self, first: _Job) -> Iterator[_Job]:
        """Yield jobs for as long as any wait: those that come while one runs are in the same group."""
        yield first
        for _ in range(_LARGEST_GROUP - 1):
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return
            if job is None:
                self._jobs.put(None)
                return
            yield job

    def _commit(self, first: _Job) -> list[_Job]:
        """Run a group and return it with its outcomes, committed; when that fails, with the error for everyone."""
        group: list[_Job] = []
        waiting = self._group(first)
        try:
            if self._raw is None:
                self._raw = _connect(self._path)
            self._raw.execute(self._begin)
            for job in waiting:
                group.append(job)
                if not job.future.cancelled():
                    _run(self._raw, job)
            self._raw.execute("COMMIT")
        except BaseException as error:
            # A fresh connection for the next group, whatever state this one is in.
            self._close()
            group.extend(waiting)
            for job in group:
                job.error = error
        return group

    def _close(self) -> None:
        if self._raw is not None:
            self._raw.close()
            self._raw = None


def _translated(error: sqlite3.Error) -> StorageError:
    away = str(getattr(error, "sqlite_errorname", "")).startswith(_AWAY)
    return (StorageAway if away else StorageError)(error)


def _connect(path: str) -> sqlite3.Connection:
    # No implicit BEGIN: the driver's own is deferred and loses updates. Used by one thread at a time.
    raw = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
    # The patience comes first: switching to WAL already needs the file for a moment.
    for pragma in (f"busy_timeout={_BUSY_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        raw.execute(f"PRAGMA {pragma}")
    # KiB, a quarter of the default: costs no time that could be measured, since the system caches the file too.
    raw.execute("PRAGMA cache_size=-512")
    # Pages (64 MB): far beyond what `Checkpoints` leaves there, unless it cannot keep up.
    raw.execute("PRAGMA wal_autocheckpoint=16000")
    return raw


def _run(raw: sqlite3.Connection, job: _Job) -> None:
    raw.execute("SAVEPOINT one")
    try:
        job.outcome = _drive(job.work(SqliteConnection(raw)))
    except BaseException as error:
        if not raw.in_transaction:
            # SQLite has rolled everything back by itself: a full disk, an I/O error.
            raise
        raw.execute("ROLLBACK TO one")
        job.error = error
    raw.execute("RELEASE one")


def _drive(work: Awaitable[Any]) -> Any:
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as end:
        return end.value
    raise RuntimeError("a transaction on SQLite may await nothing but its own connection")


def _answer(group: list[_Job]) -> None:
    for job in group:
        job.answer()
