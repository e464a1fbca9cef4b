"""F25, F26, F27, F29 as a person meets them, whatever the database: they wait, and finish with one account, one SMS."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
import sqlalchemy as sa
from aiogram.fsm.storage.base import StorageKey

from bot.valkey import Valkey
from storage.accounts import Accounts
from storage.migrations import migrate
from storage.person_keys import keys_of
from storage.tables import accounts
from tests.journeys.stage import Registrant, Stage, on_stage
from tests.process.bot_process import forgive_harmless
from tests.sql import connected
from tests.waiting import until

# Seconds until a poller tries again what had to wait.
AGAIN_WITHIN = 30


@asynccontextmanager
async def away(url: str) -> AsyncIterator[None]:
    """Let nobody write to this database: another writer holds the file, or the server takes no connection."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as raw:
            raw.execute("BEGIN IMMEDIATE")
            yield
        return
    parts = urlsplit(url)
    name = parts.path.lstrip("/")
    admin = await asyncpg.connect(host=parse_qs(parts.query)["host"][0], user="postgres", database="postgres")
    try:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await admin.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        yield
    finally:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await admin.close()


async def one_account_each(stage: Stage, *people: Registrant) -> None:
    async with connected(stage.app.stores.database) as connection:
        found = (await connection.execute(sa.select(accounts.c.telegram_id, accounts.c.status))).all()
    assert sorted(tuple(row) for row in found) == sorted((ira.id, "confirmed") for ira in people)
    assert [len(stage.smsc.inbox(ira.phone)) for ira in people] == [1] * len(people)


async def test_f25_with_sql_away_people_wait_and_nothing_is_lost(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Who finds the file in use loses patience sooner than in ten seconds.
    monkeypatch.setattr("storage.on_sqlite._BUSY_MS", 500)
    async with on_stage(database_url, redis_url, tmp_path) as stage:
        ira = stage.someone()
        await ira.reaches_terms()
        await ira.presses(ira.label("terms-consent"))
        said = ira.heard()
        async with away(database_url):
            await ira.person.press(ira.label("button-register"))
            await until(lambda: "updates wait, storage is away" in caplog.text, AGAIN_WITHIN)
            assert ira.heard() == said
        await ira.person.settled(AGAIN_WITHIN)
        ira.expects("registration-phone-prompt")
        await ira.says(ira.phone)
        await ira.finishes()
        await one_account_each(stage, ira)


async def test_f26_the_tables_are_brought_up_to_date_while_people_register(stage: Stage, database_url: str) -> None:
    """Again and again, by several at once, and to a version newer than the one that serves."""
    people = [stage.someone() for _ in range(6)]
    for ira in people:
        await ira.reaches_terms()

    async def newer() -> None:
        await asyncio.gather(*(migrate(database_url) for _ in range(3)))
        async with connected(stage.app.stores.database) as connection:
            await connection.execute(sa.text("ALTER TABLE accounts ADD COLUMN newer TEXT"))
            await connection.execute(sa.text("ALTER TABLE challenges ADD COLUMN newer INTEGER DEFAULT 0 NOT NULL"))

    async def goes_on(ira: Registrant) -> None:
        await ira.person.press(ira.label("terms-consent"))
        await ira.person.press(ira.label("button-register"))
        await ira.person.send(ira.phone)
        await ira.person.settled(AGAIN_WITHIN)

    await asyncio.gather(newer(), *(goes_on(ira) for ira in people))
    for ira in people:
        ira.expects("registration-code-prompt")
        await ira.finishes()
    await one_account_each(stage, *people)


async def test_f27_with_redis_away_people_wait_and_nothing_is_lost(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Valkey(tmp_path / "valkey")
    await server.start()
    try:
        async with on_stage(database_url, server.url, tmp_path) as stage:
            ira = stage.someone()
            await ira.reaches_phone()
            said = ira.heard()
            await server.stop()
            await ira.person.send(ira.phone)
            await until(lambda: "Redis is away" in caplog.text, AGAIN_WITHIN)
            assert (ira.heard(), stage.smsc.messages) == (said, [])
            await server.start()
            await ira.person.settled(AGAIN_WITHIN)
            ira.expects("registration-code-prompt")
            await ira.finishes()
            await one_account_each(stage, ira)
    finally:
        await server.stop()


async def test_f29_a_lock_lost_after_the_commit_is_handled_again_with_one_effect(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ira, accept = stage.someone(), Accounts.accept_terms
    lost: list[bool] = []

    async def slow(self: Accounts, *args: Any, **kwargs: Any) -> Any:
        result = await accept(self, *args, **kwargs)
        if not lost:
            lost.append(True)
            lock = keys_of(StorageKey(stage.app.bot.id, ira.id, ira.id)).lock
            await stage.app.stores.redis.set(lock, "another", px=50)
        return result

    monkeypatch.setattr(Accounts, "accept_terms", slow)
    await ira.reaches_terms()
    await ira.presses(ira.label("terms-consent"))
    await ira.person.press(ira.label("button-register"))
    await ira.person.settled(AGAIN_WITHIN)
    assert lost
    ira.expects("registration-phone-prompt")
    await ira.says(ira.phone)
    await ira.finishes()
    await one_account_each(stage, ira)
    # The press was answered in the first round already.
    assert forgive_harmless(stage.api)
