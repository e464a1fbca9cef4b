"""Each thing that may be wrong outside the bot, made wrong, and what the doctor says of it."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.doctor_outside import Outside
from bot.findings import Level
from bot.receive import ALLOWED_UPDATES
from bot.settings import Settings
from storage.clock import Clock, SystemClock
from tests.bot.doctor_findings import BAD, OK, SECRET, TOKEN, WARNING, nobody, only
from tests.fakes.clock import MovableClock
from tests.fakes.mail import FakeMail


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
