"""More updates of one person than the limit: one answer, then silence, nothing lost for the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from storage.limits import Window
from tests.bot.fake_telegram import FakeTelegram, message
from tests.bot.small_bot import SmallBot


@pytest.fixture
async def small(redis: Redis) -> AsyncIterator[SmallBot]:
    telegram = FakeTelegram()
    async with telegram.served(), telegram.bot() as bot:
        small = SmallBot(bot, redis, limit=Window(5, timedelta(seconds=60)))
        yield small
        await small.conversations.close()


def texts(answers: list[dict[str, Any] | None]) -> list[str | None]:
    return [str(answer["text"]) if answer else None for answer in answers]


async def test_a_flood_is_answered_once_and_the_others_do_not_notice(small: SmallBot) -> None:
    flood = [small.handle(message(n, "x")) for n in range(1, 11)]
    others = [small.handle(message(100 + n, "y", person=1000 + n)) for n in range(20)]
    answers = await asyncio.gather(*flood, *others)
    assert texts(answers[:10]) == [*(f"{n}: x" for n in range(1, 6)), "подождите 60 с", None, None, None, None]
    assert texts(answers[10:]) == ["1: y"] * 20
    assert sum(person == 7 for person, _ in small.handled) == 5


async def test_a_repeated_update_never_counts(small: SmallBot) -> None:
    for _ in range(3):
        answers = [await small.handle(message(n, "x")) for n in (1, 2, 2, 2, 1, 3)]
    assert len(small.handled) == 3
    assert texts([await small.handle(message(n, "x")) for n in (4, 5)]) == ["4: x", "5: x"]
    assert texts(answers) == [None] * 5 + ["3: x"]
    assert texts([await small.handle(message(6, "x")) for _ in range(3)]) == ["подождите 60 с"] * 3


async def test_what_was_not_handled_is_not_handled_later_either(small: SmallBot, redis: Redis) -> None:
    for n in range(1, 9):
        await small.handle(message(n, "x"))
    await redis.hset("talk:{42:7:7}", "pace", "0")
    assert texts([await small.handle(message(n, "x")) for n in (7, 8)]) == [None, None]
    assert texts([await small.handle(message(9, "снова"))]) == ["6: снова"]


async def test_groups_are_not_counted(small: SmallBot) -> None:
    chat = {"id": -5, "type": "supergroup", "title": "g"}
    for n in range(1, 9):
        await small.handle(message(n, "x", chat=chat))
    assert len(small.handled) == 8
