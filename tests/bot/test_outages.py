"""Which errors mean "not now", made by real stores and met where the bot meets them: at the database's door."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from redis.asyncio import Redis
from redis.exceptions import DataError, RedisError

from bot.outages import reason, storage_is_away
from storage import on_sqlite
from storage.database import Database
from storage.errors import StorageAway, StorageError
from storage.statements import Connection
from tests.sql import connected
from tests.waiting import until

ADDRESS = "ivan@example.com"
_NOWHERE = sa.select(sa.column("x", sa.Text)).select_from(sa.table("nowhere"))


def running(statement: sa.Executable) -> Callable[[Connection], Awaitable[None]]:
    async def work(conn: Connection) -> None:
        await conn.execute(statement)

    return work


async def error_of(database: Database, statement: sa.Executable) -> StorageError:
    with pytest.raises(StorageError) as caught:
        await database.read(running(statement))
    assert isinstance(caught.value, StorageAway) == storage_is_away(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


def calling(function: str, *arguments: object) -> sa.Executable:
    return sa.select(getattr(sa.func, function)(*arguments, type_=sa.Text).label("x"))


@pytest.fixture
async def postgresql(postgresql_url: str) -> AsyncIterator[Database]:
    database = Database(postgresql_url)
    yield database
    await database.dispose()


async def test_postgresql_that_always_ends_the_connection_is_away(postgresql: Database) -> None:
    ending: sa.Executable = sa.select(
        sa.func.pg_terminate_backend(sa.func.pg_backend_pid(), type_=sa.Boolean).label("x"),
        sa.literal(ADDRESS).label("y"),
    )
    error = await error_of(postgresql, ending)
    assert storage_is_away(error)
    assert error.passing
    assert "\n" not in reason(error)
    assert "ivan" not in reason(error) + str(error)


async def test_postgresql_that_turns_read_only_is_away(postgresql: Database) -> None:
    # Reading is a transaction that may not write, as every one is on a standby.
    error = await error_of(postgresql, sa.select(sa.func.lo_create(0, type_=sa.Integer).label("x")))
    assert storage_is_away(error)
    assert reason(error).startswith(
        "ReadOnlySQLTransactionError: cannot execute lo_create() in a read-only transaction"
    )


@pytest.mark.parametrize(
    "statement",
    [
        _NOWHERE,
        sa.select(sa.func.mod(1, 0, type_=sa.Integer).label("x")),
        calling("no_such_function"),
        sa.select(sa.cast(sa.literal("abc", sa.Text), sa.Integer).label("x")),
    ],
    ids=["table", "division", "function", "cast"],
)
async def test_a_wrong_statement_is_a_bug_on_postgresql(statement: sa.Executable, postgresql: Database) -> None:
    assert not storage_is_away(await error_of(postgresql, statement))


async def test_a_parameter_of_a_wrong_type_is_a_bug_on_postgresql(postgresql: Database) -> None:
    """asyncpg says so by an InterfaceError, as it does of a connection that is closed."""
    wrong: Any = object()
    error = await error_of(postgresql, sa.select(sa.literal(wrong, sa.Text).label("x")))
    assert not storage_is_away(error)
    assert not error.passing


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql://u:p@127.0.0.1:1/x", "ConnectionRefusedError"),
        ("postgresql:///no_such_name?{query}", "InvalidCatalogNameError"),
        ("postgresql:///migrated?{query}&user=nobody-of-that-name", "InvalidAuthorizationSpecificationError"),
    ],
    ids=["nobody-listens", "no-such-database", "no-such-user"],
)
async def test_f25_postgresql_that_lets_nobody_in_is_away(url: str, named: str, postgresql_url: str) -> None:
    query = "&".join(f"{key}={value}" for key, value in sa.make_url(postgresql_url).query.items())
    if "&user=" in url:
        query = "&".join(part for part in query.split("&") if not part.startswith("user="))
    database = Database(url.format(query=query))
    try:
        with pytest.raises(StorageAway) as caught:
            await database.ping()
    finally:
        await database.dispose()
    assert storage_is_away(caught.value)
    assert reason(caught.value).startswith(f"{named}: ")


class SlowToHangUp:
    """A way to a PostgreSQL server on which its words arrive, and the end of the connection does not."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.said = b""

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass words on in both directions until the client hangs up."""
        from_server, to_server = await asyncio.open_unix_connection(self._server)

        async def answers() -> None:
            while words := await from_server.read(10_000):
                self.said += words
                writer.write(words)

        async with asyncio.TaskGroup() as group:
            group.create_task(answers())
            while words := await reader.read(10_000):
                if not to_server.is_closing():
                    to_server.write(words)
            to_server.close()
            writer.close()


async def test_f25_postgresql_that_has_said_goodbye_and_not_hung_up_is_left(
    postgresql_url: str, tmp_path: Path
) -> None:
    """asyncpg takes the connection for one in use then, and says so by an error that is none of its usual two."""
    url = sa.make_url(postgresql_url)
    way = SlowToHangUp(f"{url.query['host']}/.s.PGSQL.5432")
    server = await asyncio.start_unix_server(way.meet, f"{tmp_path}/.s.PGSQL.5432")
    database, admin = (
        Database(url.update_query_dict({"host": str(tmp_path)}).render_as_string()),
        Database(postgresql_url),
    )
    try:
        await database.ping()
        end = sa.func.pg_terminate_backend(sa.column("pid"), type_=sa.Boolean).label("x")
        others = sa.column("datname") == url.database, sa.column("pid") != sa.func.pg_backend_pid()
        await admin.read(running(sa.select(end).select_from(sa.table("pg_stat_activity")).where(*others)))
        await until(lambda: b"57P01" in way.said)
        # By another connection, at once.
        await database.ping()
    finally:
        await database.dispose()
        await admin.dispose()
        server.close()


async def test_postgresql_that_is_silent_or_busy_for_too_long_is_away(postgresql_url: str) -> None:
    sleep = sa.select(sa.cast(sa.func.pg_sleep(30), sa.Text).label("x"))
    database = Database(postgresql_url, pool_size=1, pool_timeout=0.2, answer_within=0.5)
    try:
        silent, no_connection = await asyncio.gather(error_of(database, sleep), error_of(database, sleep))
        assert storage_is_away(silent)
        assert storage_is_away(no_connection)
        assert reason(silent) == reason(no_connection) == "TimeoutError: "
        await database.ping()
    finally:
        await database.dispose()


async def test_a_locked_sqlite_file_is_away_and_a_wrong_statement_is_a_bug(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_sqlite, "_BUSY_MS", 0)
    database = Database(sqlite_url)
    try:
        assert not storage_is_away(await error_of(database, _NOWHERE))
        async with connected(database):
            with pytest.raises(StorageAway) as caught:
                await database.write(None, running(calling("lower", ADDRESS)))
        assert reason(caught.value) == "OperationalError: database is locked"
        assert isinstance(caught.value.orig, sqlite3.OperationalError)
        await database.ping()
    finally:
        await database.dispose()


async def test_a_sqlite_file_that_is_gone_is_away(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/missing/x.db")
    try:
        assert storage_is_away(await error_of(database, calling("lower", "X")))
    finally:
        await database.dispose()


async def test_a_sqlite_file_that_is_something_else_is_no_outage(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("a text, and long enough to be taken for a header of a database file by nobody" * 20)
    database = Database(f"sqlite:///{tmp_path}/x.db")
    try:
        assert not storage_is_away(await error_of(database, calling("lower", "X")))
    finally:
        await database.dispose()


async def test_who_wraps_the_error_keeps_what_it_means(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/missing/x.db")

    async def handler() -> None:
        try:
            await database.ping()
        except StorageError as error:
            raise RuntimeError("of a handler") from error

    try:
        with pytest.raises(RuntimeError) as caught:
            await handler()
    finally:
        await database.dispose()
    assert storage_is_away(caught.value)
    assert reason(caught.value) == "OperationalError: unable to open database file"


async def test_a_full_redis_is_away_and_a_value_of_a_wrong_type_is_a_bug(redis: Redis) -> None:
    await redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(RedisError) as caught:
            await redis.set("x", "1")
    finally:
        await redis.config_set("maxmemory", "0")
    assert storage_is_away(caught.value)
    wrong: Any = object()
    with pytest.raises(DataError) as mistaken:
        await redis.set("x", wrong)
    assert not storage_is_away(mistaken.value)
