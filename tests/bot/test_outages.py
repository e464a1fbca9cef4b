"""Which errors mean "not now", made by real stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import DataError, RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from bot.outages import reason, storage_is_away


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(url, **options)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


async def error_of(connection: AsyncConnection, statement: str, **values: Any) -> Exception:
    with pytest.raises(SQLAlchemyError) as caught:
        await connection.execute(text(statement), values)
    return caught.value


@pytest.fixture
def postgres_url(postgres: Any) -> str:
    return str(postgres.url("migrated")).replace("postgresql:", "postgresql+asyncpg:")


async def test_postgresql_that_shuts_down_is_away(postgres_url: str) -> None:
    async with connected(postgres_url) as connection:
        error = await error_of(connection, "SELECT pg_terminate_backend(pg_backend_pid()), :x", x="ivan@example.com")
        assert storage_is_away(error)
        assert "\n" not in reason(error)
        assert "ivan" not in reason(error)


async def test_postgresql_that_turns_read_only_is_away(postgres_url: str) -> None:
    async with connected(postgres_url) as connection:
        await connection.execute(text("SET TRANSACTION READ ONLY"))
        assert storage_is_away(await error_of(connection, "CREATE TABLE x (y int)"))


@pytest.mark.parametrize("statement", ["SELECT * FROM nowhere", "SELECT 1/0", "SELEC", "SELECT CAST(:x AS int)"])
async def test_a_wrong_statement_is_a_bug_on_postgresql(statement: str, postgres_url: str) -> None:
    async with connected(postgres_url) as connection:
        values = {"x": "abc"} if ":x" in statement else {}
        assert not storage_is_away(await error_of(connection, statement, **values))


async def test_a_locked_sqlite_file_is_away_and_a_wrong_statement_is_a_bug(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/x.db"
    async with connected(url, connect_args={"timeout": 0}) as one, connected(url, connect_args={"timeout": 0}) as two:
        await one.exec_driver_sql("BEGIN EXCLUSIVE")
        error = await error_of(two, "CREATE TABLE x (y int)")
        assert storage_is_away(error)
        assert reason(error) == "OperationalError: database is locked"
        assert not storage_is_away(await error_of(one, "SELECT * FROM nowhere"))


async def test_a_sqlite_file_that_is_gone_is_away(tmp_path: Path) -> None:
    with pytest.raises(SQLAlchemyError) as caught:
        async with connected(f"sqlite+aiosqlite:///{tmp_path}/missing/x.db") as connection:
            await connection.execute(text("SELECT 1"))
    assert storage_is_away(caught.value)


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
