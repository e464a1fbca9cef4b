"""getUpdates, as Telegram answers it."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from bot.practice import LocalBotAPI
from tests.practice.conftest import Hook, MovableClock, RawClient

KINDS = ["message", "edited_message", "callback_query", "my_chat_member"]


async def poll(call: RawClient, **parameters: Any) -> list[dict[str, Any]]:
    answer = await call("getUpdates", **parameters)
    assert answer["ok"], answer
    return list(answer["result"])


async def ids(call: RawClient, **parameters: Any) -> list[int]:
    return [update["update_id"] for update in await poll(call, **parameters)]


async def test_updates_stay_until_a_larger_offset_confirms_them(server: LocalBotAPI, call: RawClient) -> None:
    ira = server.person(7)
    for text in "abc":
        await ira.send(text)
    first, second, third = await ids(call)
    assert (second, third) == (first + 1, first + 2)
    assert await ids(call, limit=2) == [first, second]
    with pytest.raises(TimeoutError, match="without the bot to take every update"):
        await ira.settled(timeout=0.05)
    assert await ids(call, offset=second) == [second, third]
    assert await ids(call) == [second, third]
    assert await ids(call, offset=-1) == [third]
    assert await ids(call) == [third]
    assert await ids(call, offset=third + 1) == []
    await ira.settled()


async def test_a_long_poll_ends_with_the_first_update(server: LocalBotAPI, call: RawClient) -> None:
    started = time.monotonic()
    waiting = asyncio.create_task(poll(call, timeout=30))
    await server.until(lambda: server.polling)
    await server.person(7).send("x")
    assert [update["message"]["text"] for update in await waiting] == ["x"]
    assert time.monotonic() - started < 5


async def test_a_second_poll_ends_the_first(server: LocalBotAPI, call: RawClient) -> None:
    first = asyncio.create_task(call("getUpdates", timeout=30))
    await server.until(lambda: server.polling)
    second = asyncio.create_task(call("getUpdates", timeout=30))
    assert await first == {
        "ok": False,
        "error_code": 409,
        "description": "Conflict: terminated by other getUpdates request; "
        "make sure that only one bot instance is running",
    }
    await server.person(7).send("x")
    assert len((await second)["result"]) == 1
    assert [refusal.code for refusal in server.refusals] == [409]


async def test_a_poll_whose_client_is_gone_is_no_rival(server: LocalBotAPI, call: RawClient) -> None:
    async with aiohttp.ClientSession() as other:
        with pytest.raises(TimeoutError):
            await other.post(call.url("getUpdates"), json={"timeout": 30}, timeout=aiohttp.ClientTimeout(total=0.1))
    await server.until(lambda: not server.polling)
    assert await poll(call, timeout=0) == []
    assert server.refusals == []


async def test_polling_and_a_webhook_exclude_each_other(server: LocalBotAPI, call: RawClient, hook: Hook) -> None:
    waiting = asyncio.create_task(call("getUpdates", timeout=30))
    await server.until(lambda: server.polling)
    assert (await call("setWebhook", url=hook.url))["ok"]
    assert (await waiting)["description"] == "Conflict: terminated by setWebhook request"
    assert (await call("getUpdates"))["description"] == (
        "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
    )
    assert (await call("deleteWebhook"))["ok"]
    assert await poll(call) == []


async def test_only_wanted_kinds_arrive_and_the_wish_is_remembered(server: LocalBotAPI, call: RawClient) -> None:
    ira = server.person(7)
    await poll(call, allowed_updates=["message"])
    message = await ira.send("x")
    await ira.edit(message, "y")
    await ira.block()
    assert [list(update)[1] for update in await poll(call)] == ["message"]
    await poll(call, offset=-1, allowed_updates=KINDS)
    await server.channel(-1002, "News").post("x")
    await ira.unblock()
    assert [list(update)[1] for update in await poll(call)] == ["message", "my_chat_member"]
    assert (await call("getUpdates", allowed_updates="x"))["ok"] is False


async def test_a_press_waits_150_seconds_and_a_message_a_day(
    server: LocalBotAPI, call: RawClient, clock: MovableClock
) -> None:
    ira = server.person(7)
    message = await ira.send("x")
    await ira.press_data("x", message)
    clock.offset += timedelta(seconds=149)
    assert len(await poll(call)) == 2
    clock.offset += timedelta(seconds=2)
    assert [list(update)[1] for update in await poll(call)] == ["message"]
    clock.offset += timedelta(hours=24)
    assert await poll(call) == []


async def test_f38_ids_that_restart_lower(server: LocalBotAPI, call: RawClient) -> None:
    ira = server.person(7)
    await ira.send("x")
    (high,) = await ids(call)
    await poll(call, offset=high + 1)
    server.restart_update_ids(5)
    await ira.send("y")
    # The bot still asks with the old, higher offset: it confirms nothing and hides nothing.
    assert await ids(call, offset=high + 1) == [5]
    assert await ids(call, offset=6) == []
    await ira.settled()


async def test_a_confirmed_update_can_be_handed_out_again(server: LocalBotAPI, call: RawClient) -> None:
    await server.person(7).send("x")
    (update,) = await ids(call)
    await poll(call, offset=update + 1)
    assert await server.redeliver(update, times=2) == []
    assert await ids(call, offset=update + 1) == [update, update]
    assert await ids(call, offset=update + 1) == []


async def test_pending_updates_can_be_dropped(server: LocalBotAPI, call: RawClient) -> None:
    await server.person(7).send("x")
    await call("deleteWebhook", drop_pending_updates=True)
    assert await poll(call) == []
