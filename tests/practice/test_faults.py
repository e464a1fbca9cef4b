"""Misbehaviour on demand, met by the real aiogram client."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiogram import Bot
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)

from bot.practice import LocalBotAPI, Person


@pytest.fixture
async def ira(server: LocalBotAPI) -> Person:
    person = server.person(7)
    await person.send("/start")
    return person


async def test_f34_too_many_requests(server: LocalBotAPI, client: Bot, ira: Person) -> None:
    server.flood("sendMessage", times=2, retry_after=3)
    for _ in range(2):
        with pytest.raises(TelegramRetryAfter) as refused:
            await client.send_message(7, "x")
        assert refused.value.retry_after == 3
    await client.send_message(7, "x")
    assert len(ira.answers) == 1
    # What was asked for is no mistake of the bot's.
    assert server.refusals == []
    assert [call.code for call in server.calls if call.injected] == [429, 429]


async def test_an_overloaded_server(server: LocalBotAPI, client: Bot, ira: Person) -> None:
    server.fail(times=1)
    server.fail("sendMessage", status=502)
    server.fail("sendMessage", status=502, page=True)
    for error in (TelegramServerError, TelegramServerError, ClientDecodeError):
        with pytest.raises(error):
            await client.send_message(7, "x")
    assert ira.answers == []
    server.fail()
    server.calm()
    await client.send_message(7, "x")


async def test_a_connection_that_ends_before_or_after_the_effect(server: LocalBotAPI, client: Bot, ira: Person) -> None:
    server.drop("sendMessage")
    with pytest.raises(TelegramNetworkError):
        await client.send_message(7, "before")
    assert ira.answers == []
    server.drop("sendMessage", after=True)
    with pytest.raises(TelegramNetworkError):
        await client.send_message(7, "after")
    assert [message.text for message in ira.answers] == ["after"]


async def test_a_slow_answer(server: LocalBotAPI, client: Bot, ira: Person) -> None:
    server.delay(0.3, "sendMessage")
    started = time.monotonic()
    slow = asyncio.create_task(client.send_message(7, "slow"))
    await server.until(lambda: bool(ira.answers))
    await slow
    assert time.monotonic() - started >= 0.29


async def test_polls_only_meet_faults_that_name_them(server: LocalBotAPI, client: Bot, ira: Person) -> None:
    server.fail()
    assert len(await client.get_updates()) == 1
    server.fail("getUpdates")
    with pytest.raises(TelegramServerError):
        await client.get_updates()
    with pytest.raises(TelegramServerError):
        await client.get_me()
