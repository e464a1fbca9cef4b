"""The receiver when something fails: what is away is waited for, what is broken is apologised for."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from aiogram.methods import SendDocument
from aiogram.types import BufferedInputFile, Message
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import text as sql_text
from sqlalchemy.ext.asyncio import create_async_engine

from bot.receive import NotNow
from handlers.reply import Reply
from storage.database import Database
from storage.errors import LockLost
from tests.bot.fake_telegram import FakeTelegram, message
from tests.bot.small_bot import SmallBot, away, say, small_bot, text_of


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
