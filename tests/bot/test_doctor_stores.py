"""Each thing that may be wrong with what the bot keeps, made wrong, and what the doctor says of it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from redis.asyncio import Redis

from bot.findings import Level
from storage.database import Database
from storage.tables import event_stops, outbox
from tests.bot.doctor_findings import BAD, OK, SECRET, WARNING, nobody, only, opened
from tests.sql import connected


class OffMachine:
    def __init__(self, off: timedelta) -> None:
        self._off = off

    def now(self) -> datetime:
        return datetime.now(UTC) + self._off


@pytest.mark.parametrize(("seconds", "level"), [(0, OK), (10, WARNING), (-45, BAD)])
async def test_the_databases_clock(postgresql_url: str, seconds: float, level: Level) -> None:
    async with opened(OffMachine(timedelta(seconds=seconds)), database_url=postgresql_url) as stores:
        only(await stores.clock(), level)


async def test_database_that_is_well(database_url: str) -> None:
    async with opened(database_url=database_url) as stores:
        only(await stores.database(), OK, "takes writes")


async def test_database_without_tables(postgres: Any, tmp_path: Path) -> None:
    with postgres.fresh("template1") as url:
        async with opened(database_url=url) as stores:
            only(await stores.database(), BAD, "missing", "python -m bot migrate")
    async with opened(data_dir=tmp_path) as stores:
        only(await stores.database(), OK, "first start makes it")
    assert not (tmp_path / "bot.db").exists()


async def test_database_of_another_version(database_url: str) -> None:
    database = Database(database_url)
    async with connected(database) as conn:
        await conn.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    async with opened(database_url=database_url) as stores:
        only(await stores.database(), BAD, "newer")
    async with connected(database) as conn:
        await conn.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    async with opened(database_url=database_url) as stores:
        only(await stores.database(), BAD if database.is_postgresql else OK, "older")
    await database.dispose()


async def test_database_that_takes_no_writes(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    async with connected(database) as conn:
        name = (await conn.exec_driver_sql("SELECT current_database()")).scalar_one()
        await conn.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only TO on")
    await database.dispose()
    async with opened(database_url=postgresql_url) as stores:
        only(await stores.database(), BAD, "ReadOnlySQLTransactionError")


async def test_database_that_is_away() -> None:
    port = nobody().rpartition(":")[2]
    async with opened(database_url=f"postgresql://bot:hunter2hunter2@127.0.0.1:{port}/bot") as stores:
        found = await stores.database()
        only(found, BAD, "DATABASE_URL", "Connection refused")
        only(await stores.clock(), WARNING, "see database")
    assert "hunter2" not in found[0].says


async def test_redis(any_redis_url: str) -> None:
    async with opened(redis_url=any_redis_url) as stores:
        found = await stores.redis()
    assert found[0].level is OK
    kinds = {"redis+cluster": "the cluster ", "redis+sentinel": "the sentinels' master ", "unix": "the server "}
    assert found[0].says.startswith(kinds[any_redis_url.partition(":")[0]])
    assert all("maxmemory" not in finding.says for finding in found)


async def test_redis_that_forgets(redis: Redis, redis_url: str) -> None:
    before = {
        name: str((await redis.config_get(name))[name]) for name in ("maxmemory", "maxmemory-policy", "appendonly")
    }
    try:
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        await redis.config_set("appendonly", "no")
        used = int((await redis.info("memory"))["used_memory"])
        await redis.config_set("maxmemory", used + 200_000)
        async with opened(redis_url=redis_url) as stores:
            found = await stores.redis()
        assert [finding.level for finding in found] == [OK, WARNING, WARNING, WARNING]
        assert [word for word in ("noeviction", "appendonly", "maxmemory") if word in str(found)] != []
        await redis.config_set("maxmemory-policy", "noeviction")
        await redis.config_set("maxmemory", "1")
        async with opened(redis_url=redis_url) as stores:
            only(await stores.redis(), BAD, "REDIS_URL")
    finally:
        for name, value in before.items():
            await redis.config_set(name, value)


async def test_redis_that_is_away(tmp_path: Path) -> None:
    url = nobody().replace("http://", "redis://:hidden-word@")
    async with opened(redis_url=url, data_dir=tmp_path) as stores:
        found = await stores.redis()
    only(found, BAD, "REDIS_URL", "Connection refused")
    assert "hidden-word" not in found[0].says
    async with opened(data_dir=tmp_path) as stores:
        only(await stores.redis(), OK, "starts with the bot")


async def test_events_that_were_given_up(database: Database, database_url: str) -> None:
    told: dict[str, Any] = {
        "crm_webhook_url": "https://crm.example.org/hook",
        "crm_webhook_secret": SECRET,
        "database_url": database_url,
    }
    async with opened(**told) as stores:
        only(await stores.events(), OK)
        now = datetime.now(UTC)
        row = {"id": database.new_id(), "kind": "event", "payload": {"type": "registration.expired", "timestamp": ""},
               "run_at": now, "attempts": 10, "status": "dead", "account_id": database.new_id(), "n": 1}  # fmt: skip
        async with connected(database) as conn:
            await conn.execute(sa.insert(outbox), [row])
            await conn.execute(sa.insert(event_stops), [{"receiver": "crm", "at": now}])
        found = await stores.events()
    assert [finding.level for finding in found] == [WARNING, WARNING]
    assert "resume" in found[0].says
    assert "events list --dead" in found[1].says
    async with opened(database_url=database_url) as stores:
        only(await stores.events(), OK, "told nothing")


async def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    async with opened(data_dir=folder) as stores:
        only(await stores.disk(), OK, "free")
        for free, level in ((500_000_000, WARNING), (50_000_000, BAD)):
            monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
            only(await stores.disk(), level, "make room")
        monkeypatch.undo()
        folder.chmod(0o755)
        only(await stores.disk(), WARNING, "chmod 700")
    assert list(folder.iterdir()) == []
    (tmp_path / "file").write_text("")
    async with opened(data_dir=tmp_path / "file") as stores:
        only(await stores.disk(), BAD, "DATA_DIR")
    async with opened(data_dir=tmp_path / "new" / "data") as stores:
        only(await stores.disk(), OK)
