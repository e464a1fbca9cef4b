"""The receiver: once, in order, in the conversation of its person, acknowledged only after the effects."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiogram.dispatcher.middlewares.user_context import EVENT_CONTEXT_KEY, UserContextMiddleware
from aiogram.methods import AnswerCallbackQuery
from aiogram.types import Message
from redis.asyncio import Redis

from handlers.reply import Reply
from tests.bot.fake_telegram import FakeTelegram, message, press
from tests.bot.small_bot import SmallBot, say, small_bot, text_of


async def test_an_update_is_answered_in_the_response(small: SmallBot, telegram: FakeTelegram) -> None:
    answer = await small.handle(message(1))
    assert answer == {"method": "sendMessage", "chat_id": 7, "text": "1: привет", "parse_mode": "HTML"}
    assert telegram.calls == []


async def test_calls_before_the_answer_go_by_http_in_order_under_the_lock(
    small: SmallBot, telegram: FakeTelegram, redis: Redis
) -> None:
    locked: list[int] = []

    async def several(_: Message) -> Reply:
        return Reply(before=(say("раз"), say("два")), last=say("три"))

    def look(method: str, parameters: dict[str, Any]) -> None:
        locked.append(len(small.conversations._open))

    telegram.fail = look
    small.on("много", several)
    assert text_of(await small.handle(message(1, "много"))) == "три"
    assert telegram.texts == ["раз", "два"]
    assert locked == [1, 1]


@pytest.mark.parametrize("raw", [message(1), press(1, "раз")], ids=["message", "press"])
async def test_t13_the_same_update_ten_times_in_parallel(
    raw: dict[str, Any], small: SmallBot, telegram: FakeTelegram, valkey_socket: str
) -> None:
    async with small_bot(telegram, f"unix://{valkey_socket}") as second:
        answers = await asyncio.gather(*((small, second)[n % 2].handle(raw) for n in range(10)))
        assert len(small.handled) + len(second.handled) == 1
    assert answers[0] is not None
    assert all(answer == answers[0] for answer in answers)
    assert text_of(await small.handle(message(2, "дальше"))) == "2: дальше"


async def test_f30_a_duplicate_of_an_older_update_is_answered_with_nothing(small: SmallBot) -> None:
    await small.handle(message(1))
    await small.handle(message(2))
    assert await small.handle(message(1)) is None
    assert len(small.handled) == 2


async def test_f31_a_message_and_a_press_of_one_person_at_once(small: SmallBot) -> None:
    answers = await asyncio.gather(small.handle(message(1, "слово")), small.handle(press(2, "кнопка")))
    assert [text_of(answer) for answer in answers] == ["1: слово", "2: кнопка"]
    assert not small.overlapped


async def test_f32_twenty_messages_at_once_stay_in_order(small: SmallBot) -> None:
    answers = await asyncio.gather(*(small.handle(message(n, str(n))) for n in range(1, 21)))
    assert [text_of(answer) for answer in answers] == [f"{n}: {n}" for n in range(1, 21)]
    assert not small.overlapped


async def test_f38_ids_that_restart_lower_are_new_updates(small: SmallBot) -> None:
    await small.handle(message(800_000_000))
    assert text_of(await small.handle(message(3, "снова"))) == "2: снова"


async def test_f28_after_a_flush_the_conversation_goes_on(small: SmallBot, redis: Redis) -> None:
    await small.handle(message(1))
    await redis.flushall()
    assert text_of(await small.handle(message(2))) == "1: привет"


async def test_a_bare_method_and_nothing_are_answers_too(small: SmallBot, telegram: FakeTelegram) -> None:
    async def bare(_: Message) -> Any:
        return AnswerCallbackQuery(callback_query_id="5")

    async def nothing(_: Message) -> None:
        return None

    small.on("голый", bare)
    small.on("тихо", nothing)
    assert await small.handle(message(1, "голый")) == {"method": "answerCallbackQuery", "callback_query_id": "5"}
    assert await small.handle(message(2, "тихо")) is None
    assert await small.handle(message(2, "тихо")) is None
    assert len(small.handled) == 2
    assert telegram.calls == []


async def test_f39_a_channel_post_and_an_unknown_kind_are_acknowledged(small: SmallBot) -> None:
    post = {"message_id": 1, "date": 1_790_000_000, "chat": {"id": -100, "type": "channel", "title": "К"}, "text": "х"}
    assert await small.handle({"update_id": 1, "channel_post": post}) is None
    assert await small.handle({"update_id": 2, "of_tomorrow": {"id": 5}}) is None
    assert small.handled == []


async def test_f39_in_a_group_each_person_has_a_conversation_of_their_own(small: SmallBot, redis: Redis) -> None:
    group = {"id": -5, "type": "group", "title": "Г"}
    await small.handle(message(1, chat=group))
    await small.handle(message(2, person=8, chat=group))
    assert sorted(await redis.keys("talk:*")) == ["talk:{42:-5:7}", "talk:{42:-5:8}"]


async def test_a_cancelled_update_is_handled_when_it_comes_again(small: SmallBot) -> None:
    started = asyncio.Event()

    async def slow(_: Message) -> Reply:
        if not started.is_set():
            started.set()
            await asyncio.Event().wait()
        return Reply(last=say("готово"))

    small.on("долго", slow)
    task = asyncio.create_task(small.handle(message(1, "долго")))
    await started.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert text_of(await asyncio.wait_for(small.handle(message(1, "долго")), 2)) == "готово"
    assert small.conversations.is_idle()


@pytest.mark.parametrize(
    "update",
    [
        message(1),
        message(1, chat={"id": -100, "type": "supergroup"}),
        message(1, chat={"id": -100, "type": "supergroup"}, message_thread_id=5, is_topic_message=True),
        message(1, message_thread_id=5, is_topic_message=True),
        message(1, business_connection_id="b"),
        {"update_id": 1, "edited_message": message(1)["message"]},
        press(1, "data"),
    ],
)
async def test_a_conversation_is_the_one_the_dispatcher_means(small: SmallBot, update: dict[str, Any]) -> None:
    parsed = small.receiver.parse(update)
    context = UserContextMiddleware.resolve_event_context(parsed)
    data = {"bot": small.bot, EVENT_CONTEXT_KEY: context}
    meant = small.dispatcher.fsm.resolve_event_context(small.bot, data)
    assert meant is not None
    assert small.receiver.key(parsed) == meant.key
