"""Delivery to a webhook: order, retries, duplicates, and the method call in the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from aiohttp import MultipartWriter, web

from bot.practice import LocalBotAPI
from tests.practice.conftest import Hook, Json, MovableClock, RawClient


def text_of(update: Json) -> str:
    return str(update["message"]["text"])


async def set_webhook(call: RawClient, hook: Hook, **more: Any) -> None:
    answer = await call("setWebhook", url=hook.url, **more)
    assert answer == {"ok": True, "result": True}


async def test_an_update_arrives_as_json_with_the_secret(server: LocalBotAPI, call: RawClient, hook: Hook) -> None:
    await set_webhook(call, hook, secret_token="s" * 32, max_connections=3)
    ira = server.person(7)
    await ira.send("x")
    await ira.settled()
    assert [text_of(update) for update in hook.arrived] == ["x"]
    assert hook.headers[0]["X-Telegram-Bot-Api-Secret-Token"] == "s" * 32
    assert hook.headers[0]["Content-Type"] == "application/json"
    info = (await call("getWebhookInfo"))["result"]
    assert (info["url"], info["pending_update_count"], info["max_connections"]) == (hook.url, 0, 3)


async def test_what_waited_for_polling_is_delivered_and_the_other_way_round(
    server: LocalBotAPI, call: RawClient, hook: Hook
) -> None:
    ira = server.person(7)
    await ira.send("a")
    await set_webhook(call, hook)
    await ira.settled()
    await call("deleteWebhook")
    await ira.send("b")
    assert [text_of(update) for update in (await call("getUpdates"))["result"]] == ["b"]
    assert [text_of(update) for update in hook.arrived] == ["a"]


async def test_a_refused_update_comes_again_and_the_next_of_its_chat_waits(
    server: LocalBotAPI, call: RawClient, hook: Hook
) -> None:
    refused = {"a": 3}

    async def answer(update: Json) -> web.Response:
        text = text_of(update)
        if refused.get(text, 0):
            refused[text] -= 1
            return web.Response(status=500)
        return web.Response()

    hook.answer = answer
    await set_webhook(call, hook)
    ira, oleg = server.person(7), server.person(8)
    for text in "abc":
        await ira.send(text)
    await oleg.send("z")
    await ira.settled()
    await oleg.settled()
    texts = [text_of(update) for update in hook.arrived]
    assert [text for text in texts if text != "z"] == ["a", "a", "a", "a", "b", "c"]
    assert texts.index("z") < texts.index("b")
    assert (await call("getWebhookInfo"))["result"]["last_error_message"] == "Wrong response from the webhook: 500"
    assert [delivery.status for delivery in server.deliveries].count(500) == 3


async def test_chats_are_served_in_parallel_up_to_max_connections(
    server: LocalBotAPI, call: RawClient, hook: Hook
) -> None:
    enough = asyncio.Event()

    async def answer(update: Json) -> web.Response:
        if hook.under_way == 3:
            enough.set()
        await enough.wait()
        return web.Response()

    hook.answer = answer
    await set_webhook(call, hook, max_connections=3)
    people = [server.person(number) for number in range(1, 7)]
    for person in people:
        await person.send("x")
        await person.send("y")
    for person in people:
        await person.settled()
    assert hook.most_under_way == 3
    for person in people:
        own = [text_of(update) for update in hook.arrived if update["message"]["from"]["id"] == person.id]
        assert own == ["x", "y"]


async def test_nothing_waits_for_ever_while_replicas_that_start_set_the_webhook_anew(
    server: LocalBotAPI, call: RawClient, hook: Hook
) -> None:
    await set_webhook(call, hook)
    people = [server.person(number) for number in range(1, 31)]

    async def start() -> None:
        for _ in range(5):
            await asyncio.gather(*(set_webhook(call, hook) for _ in range(3)))

    async def write(number: int) -> None:
        for text in "abcde":
            await people[number].send(text)
            await asyncio.sleep(0.003)

    await asyncio.gather(start(), *(write(number) for number in range(30)))
    for person in people:
        await person.settled(10)


async def test_f31_a_press_does_not_wait_for_a_message(server: LocalBotAPI, call: RawClient, hook: Hook) -> None:
    pressed = asyncio.Event()

    async def answer(update: Json) -> web.Response:
        if "callback_query" in update:
            pressed.set()
        await pressed.wait()
        return web.Response()

    hook.answer = answer
    await set_webhook(call, hook)
    ira = server.person(7)
    await ira.press_data("x", await ira.send("x"))
    await ira.settled()
    assert hook.most_under_way == 2


async def test_retry_after_is_obeyed(server: LocalBotAPI, call: RawClient, hook: Hook) -> None:
    times: list[float] = []

    async def answer(update: Json) -> web.Response:
        times.append(time.monotonic())
        return web.Response(status=503, headers={"Retry-After": "1"}) if len(times) == 1 else web.Response()

    hook.answer = answer
    await set_webhook(call, hook)
    await server.person(7).send("x")
    await server.person(7).settled()
    assert len(times) == 2
    assert times[1] - times[0] >= 0.99


async def test_a_slow_or_broken_answer_is_a_failure(server: LocalBotAPI, call: RawClient, hook: Hook) -> None:
    tries = 0

    async def answer(update: Json) -> web.Response:
        nonlocal tries
        tries += 1
        if tries == 1:
            await asyncio.sleep(5)
        return web.Response(status=302, headers={"Location": "/telegram"}) if tries == 2 else web.Response()

    hook.answer = answer
    await set_webhook(call, hook)
    await server.person(7).send("x")
    await server.person(7).settled()
    assert [delivery.status for delivery in server.deliveries] == [0, 302, 200]
    assert server.deliveries[0].body == "Read timeout expired"
    assert tries == 3


async def test_a_bot_that_is_down_gets_the_update_later(server: LocalBotAPI, call: RawClient, hook: Hook) -> None:
    await set_webhook(call, hook)
    await hook.stop()
    ira = server.person(7)
    await ira.send("x")
    await server.until(lambda: bool(server.deliveries))
    assert server.deliveries[0].status == 0
    again = Hook()
    await again.start()
    try:
        await set_webhook(call, again)
        await ira.settled()
        assert [text_of(update) for update in again.arrived] == ["x"]
    finally:
        await again.stop()
        await hook.start()


async def test_an_undelivered_press_is_dropped_after_150_seconds_and_a_message_is_not(
    server: LocalBotAPI, call: RawClient, hook: Hook, clock: MovableClock
) -> None:
    down = True

    async def answer(update: Json) -> web.Response:
        return web.Response(status=500 if down else 200)

    hook.answer = answer
    await set_webhook(call, hook)
    ira = server.person(7)
    await ira.press_data("x", await ira.send("x"))
    await hook.until(lambda: len(hook.arrived) >= 4)
    clock.offset += timedelta(seconds=151)
    await server.until(lambda: all(update.handled for update in server.updates if update.kind == "callback_query"))
    assert [update.handled for update in server.updates] == [False, True]
    down = False
    await ira.settled()


async def test_the_method_call_in_an_answer_is_executed(server: LocalBotAPI, call: RawClient, hook: Hook) -> None:
    def as_multipart() -> web.Response:
        writer = MultipartWriter("form-data")
        for name, value in {"method": "sendMessage", "chat_id": "7", "text": "multipart"}.items():
            writer.append(value).set_content_disposition("form-data", name=name)
        return web.Response(body=writer)

    answers: dict[str, Callable[[], web.Response]] = {
        "json": lambda: web.json_response({"method": "sendMessage", "chat_id": 7, "text": "json"}),
        "form": lambda: web.Response(
            text="method=sendmessage&chat_id=7&text=form", content_type="application/x-www-form-urlencoded"
        ),
        "multipart": as_multipart,
        "nothing": lambda: web.json_response({}),
        "words": lambda: web.Response(text="ok"),
        "rubbish": lambda: web.Response(text="{oops", content_type="application/json"),
        "wrong": lambda: web.json_response({"method": "sendMessage", "chat_id": 404, "text": "lost"}),
        "unwanted": lambda: web.json_response({"method": "deleteWebhook"}),
    }

    async def answer(update: Json) -> web.Response:
        return answers[text_of(update)]()

    hook.answer = answer
    await set_webhook(call, hook)
    ira = server.person(7)
    for text in answers:
        await ira.send(text)
    await ira.settled()
    assert [message.text for message in ira.answers] == ["json", "form", "multipart"]
    # Nobody tells the bot that its answer was refused, but the record does.
    assert [(refusal.via, refusal.description) for refusal in server.refusals] == [
        ("webhook", "Bad Request: chat not found")
    ]
    assert (await call("getWebhookInfo"))["result"]["url"] == hook.url


async def test_t13_one_update_in_ten_parallel_requests_and_again_later(
    server: LocalBotAPI, call: RawClient, hook: Hook
) -> None:
    async def answer(update: Json) -> web.Response:
        return web.json_response({"method": "sendMessage", "chat_id": 7, "text": text_of(update)})

    hook.answer = answer
    await set_webhook(call, hook)
    ira = server.person(7)
    server.duplicate_next(10)
    await ira.send("x")
    await ira.settled()
    assert len(hook.arrived) == 10
    assert len({update["update_id"] for update in hook.arrived}) == 1
    assert [message.text for message in ira.answers] == ["x"]
    bodies = await server.redeliver(server.updates[0].id, times=10)
    assert len(bodies) == 10
    assert len(set(bodies)) == 1
    assert len(hook.arrived) == 20
    assert len(await server.redeliver(server.updates[0].id, times=2, parallel=False)) == 2
    assert len(ira.answers) == 1


async def test_pending_updates_can_be_dropped_with_the_webhook(
    server: LocalBotAPI, call: RawClient, hook: Hook
) -> None:
    await server.person(7).send("x")
    await set_webhook(call, hook, drop_pending_updates=True, allowed_updates=["callback_query"])
    await server.person(7).send("y")
    await server.person(7).settled()
    assert hook.arrived == []
    await call("setWebhook", url="")
    assert (await call("getWebhookInfo"))["result"]["url"] == ""
