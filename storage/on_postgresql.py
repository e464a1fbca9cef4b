"""Transactions on PostgreSQL: a pool of asyncpg's connections that makes callers wait instead of failing at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import asyncpg as dialects
from sqlalchemy.engine import URL

from storage.errors import StorageAway, StorageError
from storage.statements import Connection, Rows, Statement, prepared_once

Work = Callable[[Connection], Awaitable[Any]]

# Typed loosely: of the dialect, SQLAlchemy describes only what every dialect has.
_DIALECT: Any = dialects.dialect()  # type: ignore[no-untyped-call]
_CONNECT_WITHIN = 5.0
_PASSING = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    # The tables changed under a prepared statement: a migration while this version serves.
    asyncpg.InvalidCachedStatementError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    # What asyncpg says of a connection that was cut meanwhile.
    asyncpg.InterfaceError,
    ConnectionError,
)
# SQLSTATE classes and codes (PostgreSQL, appendix A): connection lost, resources, shutting down or starting up,
# serialization failure and deadlock, read-only standby, I/O. The last three are met while connecting only: the password
# is being changed, the database restored or renamed, or closed to connections; an operator does all that to live bots.
_AWAY = ("08", "53", "57P", "40001", "40P01", "25006", "58", "28", "3D", "55000")


class PostgresqlConnection:
    """The open transaction, as `Connection` has it."""

    is_postgresql = True
    insert = staticmethod(postgresql.insert)

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    async def execute(self, statement: Statement | sa.Executable, **values: Any) -> Rows:
        """Run one statement."""
        if isinstance(statement, Statement):
            prepared = statement.prepared(_DIALECT)
        else:
            prepared = prepared_once(statement, _DIALECT)
        parameters = prepared.parameters(values)
        try:
            if prepared.returns_rows:
                rows = prepared.rows(await self._raw.fetch(prepared.sql, *parameters))
                return Rows(rows, len(rows))
            # "DELETE 3", "INSERT 0 1": the last word is the number of rows.
            return Rows([], int((await self._raw.execute(prepared.sql, *parameters)).rsplit(" ", 1)[-1]))
        except asyncpg.PostgresError as error:
            # "Key (email)=(...) already exists": nobody's address belongs into an error's text.
            error.detail = None
            raise

    async def execute_many(self, statement: Statement, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run one statement for each of these sets of parameters, in one round trip."""
        prepared = statement.prepared(_DIALECT)
        try:
            await self._raw.executemany(prepared.sql, [prepared.parameters(row) for row in rows])
        except asyncpg.PostgresError as error:
            error.detail = None
            raise


class PostgresqlPool:
    """At most `size` connections; who finds all of them busy waits up to `wait` seconds for one.

    A server that is silent for `answer_within` seconds is away; None waits for ever.
    """

    def __init__(self, url: URL, *, size: int, wait: float, answer_within: float | None) -> None:
        self._url = url
        self._size = size
        self._wait = wait
        self._answer_within = answer_within
        self._pool: Any = None
        self._opening = asyncio.Lock()

    async def run(self, work: Work, *, read_only: bool) -> Any:
        """Run `work` in a transaction and return what it returned, after the commit.

        Raises StorageError; it is passing only when there was a connection, so that who is refused one waits no longer.
        """
        try:
            return await self._run(work, read_only)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            raise _translated(error) from error

    async def _run(self, work: Work, read_only: bool) -> Any:
        async with self._connection() as raw:
            try:
                async with raw.transaction(readonly=read_only):
                    return await work(PostgresqlConnection(raw))
            except (TimeoutError, asyncpg.InternalClientError) as error:
                # Nobody knows what the server is at: its answer must not meet the next caller. The second is met where
                # a server that is shut down has said so and not hung up yet.
                with contextlib.suppress(asyncpg.InterfaceError):
                    raw.terminate()
                raise _translated(error, passing=not isinstance(error, TimeoutError)) from error
            except _PASSING as error:
                # One about a statement's argument is a ValueError too, and our mistake.
                raise _translated(error, passing=not isinstance(error, ValueError)) from error

    async def stop(self) -> None:
        """Close every connection, at once."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        pool = self._pool or await self._open()
        raw = await pool.acquire(timeout=self._wait)
        try:
            yield raw
        finally:
            await pool.release(raw, timeout=_CONNECT_WITHIN)

    async def _open(self) -> Any:
        async with self._opening:
            if self._pool is None:
                _, options = _DIALECT.create_connect_args(self._url)
                self._pool = await asyncpg.create_pool(
                    **options, min_size=0, max_size=self._size, timeout=_CONNECT_WITHIN,
                    command_timeout=self._answer_within, reset=_nothing_to_reset, init=_decode_json,
                )  # fmt: skip
            return self._pool


def _translated(error: Exception, *, passing: bool = False) -> StorageError:
    if isinstance(error, asyncpg.PostgresError):
        away = str(error.sqlstate or "").startswith(_AWAY)
    else:
        # TimeoutError is an OSError; asyncpg's "connection is closed" is away too, and about an argument a ValueError.
        away = not isinstance(error, ValueError)
    return (StorageAway if away else StorageError)(error, passing=passing)


async def _nothing_to_reset(_: object) -> None:
    """Save a round trip per transaction: settings and locks are only ever taken for the transaction."""


async def _decode_json(raw: Any) -> None:
    # SQLAlchemy's dialect writes the text and leaves the reading to the connection.
    await raw.set_type_codec("json", schema="pg_catalog", encoder=str, decoder=json.loads)
