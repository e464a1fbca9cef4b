"""Each thing that may be wrong, made wrong, and what the doctor says of it."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
from aiohttp import web
from redis.asyncio import Redis

from bot import doctor
from bot.doctor_outside import Outside
from bot.doctor_stores import Stores
from bot.findings import Finding, Level, ok
from bot.receive import ALLOWED_UPDATES
from bot.settings import Settings
from storage.clock import Clock, SystemClock
from storage.database import Database
from storage.tables import event_stops, outbox
from tests.fakes.clock import MovableClock
from tests.fakes.mail import FakeMail
from tests.ports import free_port
from tests.sql import connected

TOKEN = "123456789:a-token-that-nobody-may-see-0000000"
SECRET = "whsec_" + "dGhlIGZpcnN0IHNlY3JldCBvZiB0aGUgdGVzdHM="
OK, WARNING, BAD = Level.OK, Level.WARNING, Level.BAD


class Elsewhere:
    """Telegram, a proxy or a CRM: answers what it is told to, and counts."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, tuple[int, Any]] = {}
        self.date: datetime | None = None
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        name = request.path.rsplit("/", 1)[-1]
        self.asked.append(f"{request.method} {request.path}")
        status, body = self.answers.get(name, (404, {}))
        headers = {"Date": format_datetime(self.date, usegmt=True)} if self.date else {}
        if isinstance(body, str):
            return web.Response(status=status, text=body, headers=headers)
        return web.json_response(body, status=status, headers=headers)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Elsewhere]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield self
        await runner.cleanup()


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    async with Elsewhere().served() as served:
        yield served


@pytest.fixture
async def outside(elsewhere: Elsewhere) -> AsyncIterator[Any]:
    """Return the outside looks under these settings."""
    async with aiohttp.ClientSession() as session:

        def made(clock: Clock | None = None, **settings: Any) -> Outside:
            given: dict[str, Any] = {"bot_token": TOKEN, "telegram_api_base": elsewhere.url} | settings
            return Outside(Settings(**given), session, clock or SystemClock())

        yield made


@asynccontextmanager
async def opened(machine: Clock | None = None, **settings: Any) -> AsyncIterator[Stores]:
    stores = Stores(Settings(**settings), machine or SystemClock())
    try:
        yield stores
    finally:
        await stores.close()


def only(found: list[Finding], level: Level, *words: str) -> None:
    assert [finding.level for finding in found] == [level], found
    assert all(word in found[0].says for word in words), found


def nobody() -> str:
    return f"http://127.0.0.1:{free_port()}"


async def test_token(outside: Any, elsewhere: Elsewhere) -> None:
    elsewhere.answers["getMe"] = (200, {"ok": True, "result": {"username": "crm_bot"}})
    only(await outside().token(), OK, "@crm_bot")
    elsewhere.answers["getMe"] = (401, {"ok": False})
    only(await outside().token(), BAD, "BOT_TOKEN", "@BotFather")
    elsewhere.answers["getMe"] = (502, "<html>bad gateway</html>")
    only(await outside().token(), BAD, "no JSON")
    elsewhere.answers["getMe"] = (500, {})
    only(await outside().token(), BAD, "500")
    away = await outside(telegram_api_base=nobody()).token()
    only(away, BAD, "TELEGRAM_API_BASE", "Connection refused")
    assert TOKEN not in away[0].says


async def test_without_a_token_there_is_no_telegram() -> None:
    async with aiohttp.ClientSession() as session:
        practice = Outside(Settings(), session, SystemClock())
        for look in (practice.token, practice.webhook, practice.clock):
            only(await look(), OK, "practises")
        only(await practice.gateways(), OK, "practice page")


def hooked(elsewhere: Elsewhere, **info: Any) -> None:
    result = {"url": "https://bot.example.org/telegram", "allowed_updates": list(ALLOWED_UPDATES)} | info
    elsewhere.answers["getWebhookInfo"] = (200, {"ok": True, "result": {"pending_update_count": 0} | result})


@pytest.mark.parametrize(
    ("info", "level", "words"),
    [
        ({}, OK, "by webhook"),
        ({"url": ""}, WARNING, "none yet"),
        ({"url": "https://old.example.org/telegram"}, BAD, "not to WEBHOOK_URL"),
        ({"allowed_updates": ["message"]}, WARNING, "callback_query, edited_message, my_chat_member"),
        ({"pending_update_count": 101}, WARNING, "101 updates wait"),
    ],
)
async def test_webhook(outside: Any, elsewhere: Elsewhere, info: dict[str, Any], level: Level, words: str) -> None:
    hooked(elsewhere, **info)
    only(await outside(webhook_url="https://bot.example.org").webhook(), level, words)


@pytest.mark.parametrize(
    ("minutes", "level", "words"),
    [(5, BAD, "5 min ago: SSL error"), (150, WARNING, "2 h ago"), (1500, OK, "by webhook")],
)
async def test_webhook_that_could_not_be_delivered_to(
    outside: Any, elsewhere: Elsewhere, minutes: int, level: Level, words: str
) -> None:
    clock = MovableClock()
    at = clock.now() - timedelta(minutes=minutes)
    hooked(elsewhere, last_error_date=int(at.timestamp()), last_error_message="SSL error")
    only(await outside(clock, webhook_url="https://bot.example.org").webhook(), level, words)


async def test_webhook_left_over_while_polling(outside: Any, elsewhere: Elsewhere) -> None:
    hooked(elsewhere)
    only(await outside().webhook(), WARNING, "still has a webhook")
    hooked(elsewhere, url="")
    only(await outside().webhook(), OK, "by polling")
    elsewhere.answers["getWebhookInfo"] = (401, {"ok": False})
    only(await outside().webhook(), BAD, "401")


async def test_address(outside: Any, elsewhere: Elsewhere) -> None:
    settings = {"webhook_url": elsewhere.url, "public_url": elsewhere.url}
    elsewhere.answers |= {"telegram": (401, "unauthorized"), "jwks.json": (200, {"keys": []})}
    assert [finding.level for finding in await outside(**settings).address()] == [OK, OK]
    assert "POST /telegram" in elsewhere.asked
    elsewhere.answers["metrics"] = (200, "registration_up 1")
    assert (await outside(**settings).address())[-1].level is WARNING
    elsewhere.answers = {"telegram": (404, "not found")}
    only(await outside(webhook_url=elsewhere.url).address(), BAD, "404", "somewhere else")
    elsewhere.answers = {"telegram": (502, "bad gateway")}
    only(await outside(webhook_url=elsewhere.url).address(), BAD, "502", "not running")
    only(await outside(webhook_url=nobody()).address(), WARNING, "WEBHOOK_URL", "Connection refused")
    only(await outside().address(), OK, "nobody calls")


async def test_gateways(outside: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    account = {"sms_gateways": "smsc", "smsc_login": "shop", "smsc_password": "hidden-word", "daily_budget": 1000}
    only(await outside(**account).gateways(), OK, "smsc", "a number of your own")
    only(await outside().gateways(), WARNING, "SMS_GATEWAYS")
    prices = tmp_path / "prices.csv"
    prices.write_text("gateway,channel,country,price\n")
    found = await outside(**account, prices_file=prices).gateways()
    assert [finding.level for finding in found] == [OK, BAD]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    own = {"smpp_host": "h", "smpp_system_id": "i", "smpp_password": "p", "smpp_sender": "s"}
    only(await outside(sms_gateways="smpp", daily_budget=1, **own).gateways(), BAD, "pip install smpp34")


async def test_mail(outside: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(await outside().mail(), Level.OK, "SMTP_HOST is not set")
    server = FakeMail(tmp_path)
    await server.start()
    monkeypatch.setenv("SSL_CERT_FILE", str(server.bundle))
    only(await outside(**server.settings()).mail(), Level.OK, "takes letters")
    only(await outside(**server.settings(smtp_password="another")).mail(), Level.BAD, "SMTP_USERNAME", "refuses")
    only(await outside(**server.settings(mail_from="x@y.example")).mail(), Level.BAD, "MAIL_FROM", "553")
    await server.stop()
    only(await outside(**server.settings()).mail(), Level.BAD, "SMTP_HOST", "tried again")
    assert (server.letters, server.mistakes) == ([], [])


@pytest.mark.parametrize(
    ("status", "level", "words"),
    [(405, OK, "405"), (204, OK, "204"), (302, BAD, "never followed"), (503, WARNING, "503")],
)
async def test_crm(outside: Any, elsewhere: Elsewhere, status: int, level: Level, words: str) -> None:
    elsewhere.answers["hook"] = (status, {})
    found = await outside(crm_webhook_url=f"{elsewhere.url}/hook", crm_webhook_secret=SECRET).crm()
    only(found, level, words)
    assert elsewhere.asked == ["OPTIONS /hook"]


async def test_crm_look_ups(outside: Any, elsewhere: Elsewhere) -> None:
    elsewhere.answers["ask"] = (405, {})
    given = {"crm_lookup_url": f"{elsewhere.url}/ask", "crm_webhook_secret": SECRET}
    _, asked = await outside(**given).crm()
    only([asked], OK, "CRM_LOOKUP_URL", "405")
    assert elsewhere.asked == ["OPTIONS /ask"]
    elsewhere.answers["ask"] = (302, {})
    _, asked = await outside(**given).crm()
    only([asked], BAD, "CRM_LOOKUP_URL", "never followed")
    _, asked = await outside(**given | {"crm_lookup_url": f"{nobody()}/ask"}).crm()
    only([asked], BAD, "CRM_LOOKUP_URL", "counts as new")
    _, _, unused = await outside(**given, existing_account_notice="after_proof").crm()
    only([unused], WARNING, "CRM_LOOKUP_URL", "after_proof")


async def test_crm_that_is_not_there(outside: Any) -> None:
    only(await outside(crm_webhook_url=f"{nobody()}/hook", crm_webhook_secret=SECRET).crm(), BAD, "Connection refused")
    only(await outside().crm(), OK, "told nothing")


@pytest.mark.parametrize(
    ("seconds", "level"), [(0, OK), (1.5, OK), (10, WARNING), (-10, WARNING), (60, BAD), (-60, BAD)]
)
async def test_clock(outside: Any, elsewhere: Elsewhere, seconds: float, level: Level) -> None:
    clock = MovableClock()
    elsewhere.date = clock.now() + timedelta(seconds=seconds)
    only(await outside(clock).clock(), level, "behind" if seconds > 5 else "ahead" if seconds < 0 else "agree")


async def test_clock_without_an_answer(outside: Any) -> None:
    only(await outside(telegram_api_base=nobody()).clock(), WARNING, "Connection refused")


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


async def test_a_look_that_hangs_is_bounded(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody holds the file for long, as no bot does; the others are told all the same."""
    monkeypatch.setattr(doctor, "WITHIN", 0.3)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with opened(database_url=sqlite_url) as stores:
        began = asyncio.get_running_loop().time()
        only(await doctor._bounded(stores.database), BAD, "does not answer")
        assert asyncio.get_running_loop().time() - began < 2
        other.execute("ROLLBACK")
        other.close()


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


async def test_what_a_look_trips_over_is_a_line_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async def trips() -> list[Finding]:
        raise RuntimeError(f"something about {TOKEN}")

    only(await doctor._bounded(trips), BAD, "RuntimeError")


@pytest.fixture
def logging_again() -> Iterator[None]:
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("logging_again")
def test_no_secret_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    url = "postgresql://bot:p%40ss-of-the-bot@127.0.0.1:1/bot"
    settings = Settings(
        bot_token=TOKEN, database_url=url, crm_webhook_secret=SECRET, support_url="https://x.example.org"
    )

    async def tells() -> list[Finding]:
        return [ok(f"{TOKEN} {url} p@ss-of-the-bot {SECRET} ira@example.org +79161234567")]

    monkeypatch.setattr(doctor, "looks_of", lambda *parts: {"one": tells})
    assert doctor.run(settings)
    printed = capsys.readouterr().out
    assert printed.startswith("ok       one        ")
    for secret in (TOKEN, "ss-of-the-bot", SECRET, "ira@", "1234567"):
        assert secret not in printed
