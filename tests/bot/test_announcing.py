"""The list of commands is published beside the work: it delays nobody, and what goes wrong with it is told."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot import telegram
from bot.app import running
from bot.settings import Settings
from locales import Texts
from tests.bot.fake_telegram import TOKEN, Answer, FakeTelegram, message, refusal

SECRET = "s" * 32


class SlowTelegram(FakeTelegram):
    """Answers setMyCommands when it is let to, and knows its bot."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def _do(self, method: str, parameters: dict[str, Any]) -> Answer:
        if method == "getMe":
            return 200, {"ok": True, "result": {"id": 42, "is_bot": True, "first_name": "B", "username": "the_bot"}}
        if method == "setMyCommands":
            self.asked.set()
            await self.goes_on.wait()
        return await super()._do(method, parameters)

    @property
    def published(self) -> list[str | None]:
        """The languages whose commands were taken."""
        return [parameters.get("language_code") for method, parameters in self.calls if method == "setMyCommands"]


async def test_updates_are_answered_before_the_commands_are_published(
    sqlite_url: str, redis_url: str, tmp_path: Path
) -> None:
    outside = SlowTelegram()
    async with outside.served():
        settings = Settings.model_validate(
            {
                "data_dir": tmp_path, "database_url": sqlite_url, "redis_url": redis_url, "secret_key": "k" * 32,
                "bot_token": TOKEN, "telegram_api_base": outside.base_url, "http_port": 0,
                "webhook_url": "http://127.0.0.1:1", "webhook_secret": SECRET,
            }
        )  # fmt: skip
        headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
        async with running(settings) as app, aiohttp.ClientSession(f"http://127.0.0.1:{app.port}") as http:
            async with asyncio.timeout(15):
                await outside.asked.wait()
                async with http.post("/telegram", json=message(1, "/start"), headers=headers) as response:
                    answer = await response.json()
            assert answer["method"] == "sendMessage"
            assert outside.published == []
            outside.goes_on.set()
            await outside.until(lambda: len(outside.published) == 2)
    assert sorted(outside.published, key=str) == [None, "en"]


async def test_the_end_does_not_wait_for_it(sqlite_url: str, redis_url: str, tmp_path: Path) -> None:
    outside = SlowTelegram()
    async with outside.served():
        settings = Settings.model_validate(
            {
                "data_dir": tmp_path, "database_url": sqlite_url, "redis_url": redis_url, "secret_key": "k" * 32,
                "bot_token": TOKEN, "telegram_api_base": outside.base_url, "http_port": 0,
            }
        )  # fmt: skip
        async with asyncio.timeout(15):
            async with running(settings):
                await outside.asked.wait()
    assert outside.published == []


async def test_every_language_gets_its_words() -> None:
    async with FakeTelegram().served() as outside, outside.bot() as bot:
        await telegram.announce(bot, Settings(default_language="en"))
    commands = {parameters.get("language_code"): json.loads(parameters["commands"]) for _, parameters in outside.calls}
    assert set(commands) == {None, "ru"}
    for of_language in commands.values():
        assert [one["command"] for one in of_language] == list(telegram.COMMANDS)
    assert commands[None] != commands["ru"]


@pytest.mark.parametrize("language", ["ru", "en"])
def test_help_names_every_command_of_the_list(language: str) -> None:
    told = set(re.findall(r"^/(\w+)", Texts().template(language, "menu-help"), re.MULTILINE))
    assert told == set(telegram.COMMANDS)


async def test_a_refusal_is_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeTelegram().served() as outside, outside.bot() as bot:
        outside.fail = lambda method, parameters: refusal(400, "Bad Request: BOT_COMMAND_INVALID")
        await telegram.announce(bot, Settings())
    (record,) = [record for record in caplog.records if record.name == "bot.telegram"]
    assert record.levelno == logging.WARNING
    assert "BOT_COMMAND_INVALID" in record.getMessage()


async def test_a_bug_in_it_is_told_and_stops_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telegram, "COMMANDS", ("unheard_of",))
    async with FakeTelegram().served() as outside, outside.bot() as bot:
        await telegram.announce(bot, Settings())
    (record,) = [record for record in caplog.records if record.name == "bot.telegram"]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
