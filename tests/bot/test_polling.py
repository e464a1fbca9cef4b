"""Long polling against an endpoint that forgets what is confirmed, as Telegram does."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from aiogram.types import Message
from redis.asyncio import Redis

from bot.polling import Polling, TokenRefused
from handlers.reply import Reply
from storage.leases import Leases
from tests.bot.fake_telegram import FakeTelegram, flood, message, refusal
from tests.bot.polling_replica import Replica, replica
from tests.bot.small_bot import say, small_bot

__all__ = ["replica"]


async def test_an_update_is_handled_answered_and_confirmed(telegram: FakeTelegram, replica: Replica) -> None:
    await telegram.put(message(10))
    await telegram.until(lambda: not telegram.queue)
    assert telegram.texts == ["1: привет"]
    assert telegram.offsets[-1] == 11


async def test_what_was_confirmed_once_is_not_remembered_so_that_ids_may_restart_lower_f38(
    telegram: FakeTelegram, replica: Replica
) -> None:
    await telegram.put(message(900_000_000))
    await telegram.until(lambda: not telegram.queue)
    # The next question has no offset: a higher one would throw the new ids away.
    await telegram.until(lambda: telegram.offsets[-1] is None)
    await telegram.put(message(5, "снова"))
    await telegram.until(lambda: len(telegram.texts) == 2)
    assert telegram.texts == ["1: привет", "2: снова"]


async def test_f32_twenty_messages_of_one_person_in_order(telegram: FakeTelegram, replica: Replica) -> None:
    await telegram.put(*(message(n, str(n)) for n in range(1, 21)))
    await telegram.until(lambda: len(telegram.texts) == 20)
    assert telegram.texts == [f"{n}: {n}" for n in range(1, 21)]
    assert not replica.small.overlapped


async def test_f33_a_backlog_larger_than_one_answer(telegram: FakeTelegram, replica: Replica) -> None:
    await telegram.put(*(message(n, str(n), person=n % 30 + 1) for n in range(1, 251)))
    await telegram.until(lambda: not telegram.queue, 30)
    assert len(telegram.texts) == 250
    assert len(replica.small.handled) == 250
    for person in range(1, 31):
        mine = [int(text) for who, text in replica.small.handled if who == person]
        assert mine == sorted(mine)


async def test_a_slow_person_holds_up_nobody_and_is_never_confirmed_past(
    telegram: FakeTelegram, replica: Replica
) -> None:
    go_on = asyncio.Event()

    async def slow(_: Message) -> Reply:
        await go_on.wait()
        return Reply(last=say("наконец"))

    replica.small.on("долго", slow)
    await telegram.put(message(1, "раньше"), message(2, "долго"), message(3, "за ним"))
    await telegram.until(lambda: telegram.texts == ["1: раньше"])
    await telegram.put(message(4, "другой", person=8))
    await telegram.until(lambda: "1: другой" in telegram.texts)
    await telegram.put(message(5, "ещё", person=9))
    await telegram.until(lambda: "1: ещё" in telegram.texts)
    assert [update["update_id"] for update in telegram.queue] == [2, 3, 4, 5]
    assert max(offset or 0 for offset in telegram.offsets) == 2
    go_on.set()
    await telegram.until(lambda: not telegram.queue)
    assert telegram.texts[-2:] == ["наконец", "3: за ним"]
    assert len(replica.small.handled) == 5


async def test_f25_what_cannot_be_handled_now_is_tried_again_in_its_persons_order(
    telegram: FakeTelegram, replica: Replica
) -> None:
    tries = 0

    async def durable(_: Message) -> Reply:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise ConnectionRefusedError
        return Reply(last=say("записано"))

    replica.small.on("запиши", durable)
    await telegram.put(message(1, "запиши"), message(2, "за ним"), message(3, "другой", person=8))
    await telegram.until(lambda: not telegram.queue)
    assert telegram.texts == ["1: другой", "записано", "2: за ним"]


async def test_f27_a_redis_that_is_gone_for_a_while_loses_nothing(
    telegram: FakeTelegram, replica: Replica, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await telegram.put(message(1))
    await telegram.until(lambda: len(telegram.texts) == 1)
    await redis.config_set("requirepass", "changed")
    await redis.auth("changed")
    await redis.client_kill_filter(_type="normal", skipme=True)
    with caplog.at_level(logging.WARNING):
        await telegram.put(message(2))
        await telegram.until(lambda: "Redis is away" in caplog.text or "storage is away" in caplog.text)
    assert len(telegram.texts) == 1
    await redis.config_set("requirepass", "")
    await telegram.until(lambda: len(telegram.texts) == 2)
    assert telegram.texts[-1] == "2: привет"


async def test_f34_an_answer_that_hits_429_is_sent_before_the_persons_next_update(
    telegram: FakeTelegram, replica: Replica
) -> None:
    refused = 0

    def fail(method: str, parameters: dict[str, Any]) -> Any:
        nonlocal refused
        if method == "sendMessage" and refused < 2:
            refused += 1
            return flood(1) if refused == 1 else refusal(500, "Internal Server Error")
        return None

    telegram.fail = fail
    await telegram.put(message(1, "раз"), message(2, "два"))
    await telegram.until(lambda: not telegram.queue)
    assert telegram.texts == ["1: раз", "2: два"]
    assert len(replica.small.handled) == 2


@pytest.mark.parametrize(
    "failure",
    [
        refusal(403, "Forbidden: bot was blocked by the user"),
        refusal(400, "Bad Request: message is not modified"),
        refusal(400, "Bad Request: can't parse entities"),
    ],
    ids=["f35-blocked", "f36-not-modified", "refused"],
)
async def test_an_answer_that_nobody_takes_is_let_go(failure: Any, telegram: FakeTelegram, replica: Replica) -> None:
    telegram.fail = lambda method, parameters: failure if parameters.get("text") == "1: раз" else None
    await telegram.put(message(1, "раз"), message(2, "два"))
    await telegram.until(lambda: not telegram.queue)
    assert telegram.texts == ["2: два"]
    assert replica.small.blocked == ([7] if failure[0] == 403 else [])


async def test_f35_with_sql_down_an_answer_to_who_blocked_the_bot_waits_until_it_is_remembered(
    telegram: FakeTelegram, replica: Replica
) -> None:
    refused = 0

    def fail(method: str, parameters: dict[str, Any]) -> Any:
        nonlocal refused
        if parameters.get("text") != "1: раз":
            return None
        refused += 1
        replica.small.forgetful = ConnectionRefusedError() if refused < 3 else None
        return refusal(403, "Forbidden: bot was blocked by the user")

    telegram.fail = fail
    await telegram.put(message(1, "раз"), message(2, "два"))
    await telegram.until(lambda: not telegram.queue)
    assert (replica.small.blocked, refused) == ([7], 3)
    assert telegram.texts == ["2: два"]


async def test_an_update_that_is_not_understood_takes_nobody_with_it(
    telegram: FakeTelegram, replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    await telegram.put({"update_id": 1, "message": {"text": "ivan@example.com"}}, message(2))
    await telegram.until(lambda: not telegram.queue)
    assert telegram.texts == ["1: привет"]
    assert "update 1 is not understood" in caplog.text
    assert "ivan@example.com" not in caplog.text


@pytest.mark.parametrize(
    "failure",
    [
        refusal(409, "Conflict: terminated by other getUpdates request"),
        refusal(502, "Bad Gateway"),
        flood(1),
    ],
    ids=["409", "502", "429"],
)
async def test_f34_telegram_that_gives_no_updates_for_a_while(
    failure: Any, telegram: FakeTelegram, replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    failures = 0

    def fail(method: str, parameters: dict[str, Any]) -> Any:
        nonlocal failures
        if method == "getUpdates" and failures < 3:
            failures += 1
            return failure
        return None

    telegram.fail = fail
    with caplog.at_level(logging.WARNING, logger="bot.polling"):
        await telegram.put(message(1))
        await telegram.until(lambda: not telegram.queue)
    assert telegram.texts == ["1: привет"]
    assert len(caplog.records) == 1


async def test_a_token_telegram_does_not_know_is_fatal(redis: Redis, telegram: FakeTelegram) -> None:
    telegram.fail = lambda method, parameters: refusal(401, "Unauthorized")
    async with small_bot(telegram, "unix:///nonexistent/valkey.sock") as small:
        polling = Polling(small.bot, small.receiver, Leases(redis), "a")
        with pytest.raises(TokenRefused, match="BOT_TOKEN") as caught:
            await polling.run()
    assert "\n" not in str(caught.value)
    assert "TEST" not in str(caught.value)


async def test_f37_a_webhook_left_behind_is_removed_and_its_queue_kept(
    telegram: FakeTelegram, redis: Redis, valkey_socket: str
) -> None:
    telegram.webhook = "https://example.com/telegram"
    await telegram.put(message(1))
    async with small_bot(telegram, f"unix://{valkey_socket}") as small:
        replica = Replica(small, redis, "a")
        await telegram.until(lambda: not telegram.queue)
        # Somebody sets it again while this one polls.
        telegram.webhook = "https://example.com/telegram"
        await telegram.put(message(2))
        await telegram.until(lambda: not telegram.queue)
        await replica.stop()
    assert telegram.texts == ["1: привет", "2: привет"]
    assert all(p.get("drop_pending_updates") in (None, "false") for m, p in telegram.calls if m == "deleteWebhook")
