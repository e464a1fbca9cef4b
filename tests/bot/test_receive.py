"""The receiver: once, in order, acknowledged only after the effects; what fails is told apart from what is broken."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiogram.dispatcher.middlewares.user_context import EVENT_CONTEXT_KEY, UserContextMiddleware
from aiogram.methods import AnswerCallbackQuery, SendDocument
from aiogram.types import BufferedInputFile, Message
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import text as sql_text
from sqlalchemy.ext.asyncio import create_async_engine

from bot.receive import NotNow
from handlers.reply import Reply
from storage.database import Database
from storage.errors import LockLost, StorageAway
from tests.bot.fake_telegram import FakeTelegram, flood, message, press, refusal
from tests.bot.small_bot import SmallBot, say, small_bot


@pytest_asyncio.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram().served() as server:
        yield server


@pytest_asyncio.fixture
async def small(telegram: FakeTelegram, redis: Redis, valkey_socket: str) -> AsyncIterator[SmallBot]:
    async with small_bot(telegram, f"unix://{valkey_socket}") as bot:
        yield bot


def text_of(answer: dict[str, Any] | None) -> str:
    assert answer is not None
    return str(answer["text"])


def away() -> StorageAway:
    return StorageAway(sqlite3.OperationalError("database is locked"))


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


async def test_f27_with_redis_down_nothing_is_acknowledged_or_sent(telegram: FakeTelegram) -> None:
    async with small_bot(telegram, "unix:///nonexistent/valkey.sock") as small:
        with pytest.raises(NotNow) as caught:
            await small.handle(message(1))
        assert caught.value.whole
        assert small.handled == []
        assert telegram.calls == []


async def test_f25_with_sql_down_the_update_waits_and_is_handled_later(small: SmallBot) -> None:
    is_away = True

    async def durable(event: Message) -> Reply:
        if is_away:
            raise away()
        return Reply(last=say("записано"))

    small.on("запиши", durable)
    for _ in range(2):
        with pytest.raises(NotNow) as caught:
            await small.handle(message(1, "запиши"))
        assert caught.value.retry_after > 0
    is_away = False
    assert text_of(await small.handle(message(1, "запиши"))) == "записано"
    # The tries that failed left nothing in the conversation.
    assert text_of(await small.handle(message(2))) == "2: привет"


async def test_f25_postgresql_that_cannot_be_reached_is_away_and_not_a_bug(small: SmallBot) -> None:
    async def durable(_: Message) -> Reply:
        database = Database("postgresql://u:p@127.0.0.1:1/x")
        try:
            await database.ping()
        finally:
            await database.dispose()
        return Reply()

    small.on("запиши", durable)
    with pytest.raises(NotNow):
        await small.handle(message(1, "запиши"))


@pytest.mark.parametrize(
    "error",
    [RedisConnectionError("gone"), LockLost(), ConnectionResetError("reset"), TimeoutError()],
    ids=lambda error: type(error).__name__,
)
async def test_f25_other_ways_of_being_away(error: Exception, small: SmallBot) -> None:
    async def fails(_: Message) -> Reply:
        raise error

    small.on("запиши", fails)
    with pytest.raises(NotNow):
        await small.handle(message(1, "запиши"))


async def test_f25_each_outage_is_one_line_though_others_served_who_waited(
    small: SmallBot, caplog: pytest.LogCaptureFixture
) -> None:
    async def durable(_: Message) -> Reply:
        raise away()

    small.on("запиши", durable)
    with caplog.at_level(logging.WARNING, "bot.receive"):
        for small.now, update_id in ((0, 1), (1, 1), (50, 2), (120, 3), (121, 3)):
            with pytest.raises(NotNow):
                await small.handle(message(update_id, "запиши", 7))
    assert len([record for record in caplog.records if "updates wait" in record.getMessage()]) == 2


async def test_f25_who_waits_for_half_a_minute_is_told_once(small: SmallBot, telegram: FakeTelegram) -> None:
    async def durable(_: Message) -> Reply:
        raise away()

    async def attempt(update_id: int, person: int) -> None:
        with pytest.raises(NotNow):
            await small.handle(message(update_id, "запиши", person))

    small.on("запиши", durable)
    await attempt(1, 7)
    small.now = 20
    await attempt(1, 7)
    await attempt(2, 8)
    assert telegram.calls == []
    small.now = 31
    await attempt(1, 7)
    await attempt(1, 7)
    await attempt(2, 8)
    assert [(p["chat_id"], p["text"]) for _, p in telegram.calls] == [("7", "подождите")]
    small.now = 55
    await attempt(2, 8)
    await attempt(1, 7)
    assert [p["chat_id"] for _, p in telegram.calls] == ["7", "8"]
    # Served again, and the next outage is another one.
    await small.handle(message(3, "привет", 7))
    small.now = 60
    await attempt(4, 7)
    small.now = 100
    await attempt(4, 7)
    assert [p["chat_id"] for _, p in telegram.calls] == ["7", "8", "7"]


async def test_f29_a_lock_lost_during_a_slow_handler_is_not_acknowledged(small: SmallBot, redis: Redis) -> None:
    stolen = False

    async def slow(_: Message) -> Reply:
        nonlocal stolen
        if not stolen:
            stolen = True
            await redis.set("lock:{42:7:7}", "another", px=50)
        return Reply(last=say("готово"))

    small.on("долго", slow)
    with pytest.raises(NotNow) as caught:
        await small.handle(message(1, "долго"))
    assert not caught.value.whole
    assert text_of(await small.handle(message(1, "долго"))) == "готово"
    assert text_of(await small.handle(message(2))) == "2: привет"


async def test_a_bug_is_logged_apologised_for_and_acknowledged(
    small: SmallBot, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: Message) -> Reply:
        raise ZeroDivisionError

    small.on("сломай", broken)
    await small.handle(message(1))
    with caplog.at_level(logging.ERROR):
        answer = await small.handle(message(2, "сломай"))
    assert text_of(answer) == "что-то сломалось"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert caplog.records[0].exc_info
    assert await small.handle(message(2, "сломай")) == answer
    # What the broken handler had changed is gone.
    assert text_of(await small.handle(message(3))) == "2: привет"


async def test_a_missing_table_is_a_bug_and_no_outage(small: SmallBot) -> None:
    async def durable(_: Message) -> Reply:
        engine = create_async_engine("sqlite+aiosqlite://")
        try:
            async with engine.connect() as connection:
                await connection.execute(sql_text("SELECT * FROM nowhere"))
        finally:
            await engine.dispose()
        return Reply()

    small.on("запиши", durable)
    assert text_of(await small.handle(message(1, "запиши"))) == "что-то сломалось"


@pytest.mark.parametrize("result", [5, "текст"])
async def test_a_handler_that_returns_something_else_is_a_bug(result: Any, small: SmallBot) -> None:
    async def odd(_: Message) -> Any:
        return result

    small.on("странно", odd)
    assert text_of(await small.handle(message(1, "странно"))) == "что-то сломалось"


async def test_what_cannot_be_kept_is_a_bug_that_blocks_nobody(small: SmallBot) -> None:
    async def upload(_: Message) -> Reply:
        return Reply(last=SendDocument(chat_id=7, document=BufferedInputFile(b"x", "x.csv")))

    async def unjsonable(event: Message) -> Reply:
        small.conversations._open[next(iter(small.conversations._open))].data["x"] = object()
        return Reply(last=say("готово"))

    small.on("файл", upload)
    small.on("объект", unjsonable)
    assert text_of(await small.handle(message(1, "файл"))) == "что-то сломалось"
    assert text_of(await small.handle(message(2, "объект"))) == "что-то сломалось"
    assert text_of(await small.handle(message(3))) == "2: привет"


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


async def both(_: Message) -> Reply:
    return Reply(before=(say("раз"),), last=say("два"))


async def test_f34_429_on_a_call_leaves_the_update_for_later(small: SmallBot, telegram: FakeTelegram) -> None:
    small.on("оба", both)
    telegram.fail = lambda method, parameters: flood(7)
    with pytest.raises(NotNow) as caught:
        await small.handle(message(1, "оба"))
    assert (caught.value.retry_after, caught.value.whole) == (7, False)
    telegram.fail = lambda method, parameters: None
    assert text_of(await small.handle(message(1, "оба"))) == "два"


@pytest.mark.parametrize("failure", [refusal(502, "Bad Gateway"), refusal(401, "Unauthorized")])
async def test_f34_telegram_that_fails_leaves_the_update_for_later(
    failure: tuple[int, dict[str, Any]], small: SmallBot, telegram: FakeTelegram
) -> None:
    small.on("оба", both)
    telegram.fail = lambda method, parameters: failure
    with pytest.raises(NotNow):
        await small.handle(message(1, "оба"))


BLOCKED = refusal(403, "Forbidden: bot was blocked by the user")


async def test_f35_a_person_who_blocked_the_bot_is_acknowledged_and_remembered(
    small: SmallBot, telegram: FakeTelegram
) -> None:
    small.on("оба", both)
    telegram.fail = lambda method, parameters: BLOCKED
    assert await small.handle(message(1, "оба")) is None
    assert small.blocked == [7]
    telegram.fail = lambda method, parameters: None
    assert text_of(await small.handle(message(2))) == "2: привет"
    assert small.blocked == [7]


async def test_f35_a_call_that_a_handler_makes_itself_is_remembered_too(
    small: SmallBot, telegram: FakeTelegram
) -> None:
    async def calls(_: Message) -> Reply:
        await small.bot(say("раз"))
        return Reply()

    small.on("сам", calls)
    telegram.fail = lambda method, parameters: BLOCKED
    assert await small.handle(message(1, "сам")) is None
    assert small.blocked == [7]


async def test_f35_a_group_that_shut_the_bot_out_is_no_person_who_blocked_it(
    small: SmallBot, telegram: FakeTelegram
) -> None:
    async def to_group(_: Message) -> Reply:
        return Reply(before=(say("раз", -5),))

    small.on("группа", to_group)
    telegram.fail = lambda method, parameters: refusal(403, "Forbidden: bot was kicked from the group chat")
    assert await small.handle(message(1, "группа", chat={"id": -5, "type": "group", "title": "Г"})) is None
    assert small.blocked == []


async def test_f35_with_sql_down_who_blocked_the_bot_is_remembered_later(
    small: SmallBot, telegram: FakeTelegram
) -> None:
    small.on("оба", both)
    telegram.fail = lambda method, parameters: BLOCKED
    small.forgetful = away()
    with pytest.raises(NotNow):
        await small.handle(message(1, "оба"))
    small.forgetful = None
    assert await small.handle(message(1, "оба")) is None
    assert small.blocked == [7]


@pytest.mark.parametrize(
    "description",
    [
        "Bad Request: query is too old and response timeout expired or query ID is invalid",
        "Bad Request: message is not modified: specified new message content and reply markup are exactly the same",
        "Bad Request: message to edit not found",
    ],
)
async def test_f36_pointless_calls_are_harmless(
    description: str, small: SmallBot, telegram: FakeTelegram, caplog: pytest.LogCaptureFixture
) -> None:
    small.on("оба", both)
    telegram.fail = lambda method, parameters: refusal(400, description)
    with caplog.at_level(logging.WARNING):
        assert text_of(await small.handle(message(1, "оба"))) == "два"
    assert caplog.records == []


async def test_a_call_refused_for_what_it_says_is_a_bug(small: SmallBot, telegram: FakeTelegram) -> None:
    small.on("оба", both)
    telegram.fail = lambda method, parameters: refusal(400, "Bad Request: can't parse entities")
    assert text_of(await small.handle(message(1, "оба"))) == "что-то сломалось"
    # The handler itself came to its end, so what it changed stays.
    assert text_of(await small.handle(message(2))) == "2: привет"


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
