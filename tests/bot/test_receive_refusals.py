"""The receiver when Telegram refuses a call: tried later, remembered, harmless or a bug."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from aiogram.types import Message

from bot.receive import NotNow
from handlers.reply import Reply
from tests.bot.fake_telegram import FakeTelegram, flood, message, refusal
from tests.bot.small_bot import SmallBot, away, say, text_of


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
