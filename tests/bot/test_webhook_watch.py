"""F37: whoever polls removes the webhook; who serves by webhook sets it again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from bot.polling import Polling
from bot.telegram import set_webhook
from bot.webhook_watch import kept
from storage.leases import Leases
from tests.bot.fake_telegram import FakeTelegram, message, refusal
from tests.bot.small_bot import small_bot

BASE = "https://example.com"


@asynccontextmanager
async def watched(telegram: FakeTelegram) -> AsyncIterator[None]:
    async with telegram.bot() as bot, kept(bot, lambda: set_webhook(bot, BASE, "s" * 32), every=0.05):
        yield


async def test_f37_a_webhook_that_a_poller_removed_is_set_again(telegram: FakeTelegram) -> None:
    async with watched(telegram):
        assert telegram.webhook == f"{BASE}/telegram"
        telegram.webhook = ""
        await telegram.until(lambda: telegram.webhook == f"{BASE}/telegram")
    (first, second) = (p for m, p in telegram.calls if m == "setWebhook")
    assert first == second
    assert first["secret_token"] == "s" * 32
    assert "drop_pending_updates" not in first


async def test_f37_the_old_deployment_polls_until_it_is_stopped_and_the_new_one_has_the_webhook(
    telegram: FakeTelegram, redis: Redis, valkey_socket: str
) -> None:
    async with small_bot(telegram, f"unix://{valkey_socket}") as small:
        polling = Polling(small.bot, small.receiver, Leases(redis), "a", wait=1)
        old = asyncio.create_task(polling.run())
        async with watched(telegram):
            await telegram.put(message(1))
            await telegram.until(lambda: not telegram.queue)
            polling.stop()
            await old
            # Whatever the two did to it meanwhile, it is there in the end.
            await telegram.until(lambda: telegram.webhook)
    assert telegram.texts == ["1: привет"]


async def test_f37_another_address_is_left_alone(telegram: FakeTelegram) -> None:
    looks = 0

    def count(method: str, parameters: dict[str, Any]) -> None:
        nonlocal looks
        looks += method == "getWebhookInfo"

    telegram.fail = count
    async with watched(telegram):
        telegram.webhook = "https://newer.example.com/telegram"
        await telegram.until(lambda: looks > 2)
    assert telegram.webhook == "https://newer.example.com/telegram"


async def test_f37_telegram_that_fails_is_asked_again(telegram: FakeTelegram, caplog: pytest.LogCaptureFixture) -> None:
    async with watched(telegram):
        telegram.webhook = ""
        telegram.fail = lambda method, parameters: refusal(502, "Bad Gateway")
        await telegram.until(lambda: "could not be looked after" in caplog.text)
        telegram.fail = lambda method, parameters: None
        await telegram.until(lambda: telegram.webhook)
