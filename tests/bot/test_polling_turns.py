"""Of many replicas one polls: how it stops, dies or loses its turn, and who takes over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import pytest
from aiogram.types import Message
from redis.asyncio import Redis

from handlers.reply import Reply
from storage.leases import Leases
from tests.bot.fake_telegram import FakeTelegram, message
from tests.bot.polling_replica import Replica, replica
from tests.bot.small_bot import SmallBot, say, small_bot

__all__ = ["replica"]


@asynccontextmanager
async def replicas(telegram: FakeTelegram, url: str, number: int) -> AsyncIterator[list[SmallBot]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(small_bot(telegram, url)) for _ in range(number)]


async def test_stopping_finishes_what_is_in_hand_and_confirms_it(telegram: FakeTelegram, replica: Replica) -> None:
    started = asyncio.Event()
    go_on = asyncio.Event()

    async def slow(_: Message) -> Reply:
        started.set()
        await go_on.wait()
        return Reply(last=say("готово"))

    replica.small.on("долго", slow)
    await telegram.put(message(1, "долго"))
    await started.wait()
    stopping = asyncio.create_task(replica.stop())
    await telegram.put(message(2, "после", person=8))
    go_on.set()
    await stopping
    assert telegram.texts == ["готово"]
    assert [update["update_id"] for update in telegram.queue] == [2]
    assert replica.small.conversations.is_idle()


async def test_stopping_leaves_what_takes_too_long_unconfirmed(
    telegram: FakeTelegram, redis: Redis, valkey_socket: str
) -> None:
    started = asyncio.Event()

    async def stuck(_: Message) -> Reply:
        started.set()
        await asyncio.Event().wait()
        return Reply()

    async with small_bot(telegram, f"unix://{valkey_socket}") as small:
        small.on("долго", stuck)
        replica = Replica(small, redis, "a")
        replica.polling._finish_within = 0.1
        await telegram.put(message(1, "раньше", person=8), message(2, "долго"), message(3, "другой", person=9))
        await started.wait()
        await telegram.until(lambda: len(telegram.texts) == 2)
        await replica.stop()
        assert small.conversations.is_idle()
    assert [update["update_id"] for update in telegram.queue] == [2, 3]


async def test_one_polls_and_the_others_stand_by_until_it_stops(
    telegram: FakeTelegram, redis: Redis, valkey_socket: str
) -> None:
    async with replicas(telegram, f"unix://{valkey_socket}", 3) as bots:
        all_of_them = [Replica(small, redis, str(n)) for n, small in enumerate(bots)]
        await telegram.put(*(message(n, str(n)) for n in range(1, 11)))
        await telegram.until(lambda: len(telegram.texts) == 10)
        leader = next(replica for replica in all_of_them if replica.small.handled)
        await leader.stop()
        await telegram.put(*(message(n, str(n)) for n in range(11, 21)))
        await telegram.until(lambda: len(telegram.texts) == 20)
        assert telegram.texts == [f"{n}: {n}" for n in range(1, 21)]
        assert telegram.most_pollers == 1
        assert len([small for small in bots if small.handled]) == 2
        for replica in all_of_them:
            if replica is not leader:
                await replica.stop()


async def test_f40_a_killed_poller_is_replaced_and_nothing_is_lost_or_done_twice(
    telegram: FakeTelegram, redis: Redis, valkey_socket: str
) -> None:
    async with replicas(telegram, f"unix://{valkey_socket}", 2) as bots:
        all_of_them = [Replica(small, redis, str(n)) for n, small in enumerate(bots)]
        await telegram.put(*(message(n, str(n)) for n in range(1, 41)))
        await telegram.until(lambda: len(telegram.texts) >= 10)
        leader = next(replica for replica in all_of_them if replica.small.handled)
        await leader.kill()
        await telegram.until(lambda: not telegram.queue)
        # Done once each; the answer under way at the kill may have been sent twice.
        assert sorted({int(text.split(": ")[0]) for text in telegram.texts}) == list(range(1, 41))
        assert len(telegram.texts) <= 41
        assert telegram.texts[-1] == "40: 40"
        for replica in all_of_them:
            if replica is not leader:
                await replica.stop()


async def test_a_poller_that_lost_its_lease_stands_by(
    telegram: FakeTelegram, replica: Replica, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals: asyncio.Queue[None] = asyncio.Queue()
    hold = Leases.hold

    async def watched(leases: Leases, name: str, owner: str, ttl: timedelta) -> bool:
        held = await hold(leases, name, owner, ttl)
        if not held:
            refusals.put_nowait(None)
        return held

    monkeypatch.setattr(Leases, "hold", watched)
    await telegram.put(message(1))
    await telegram.until(lambda: not telegram.queue)
    await redis.set("held:polling:42", "another")
    # The first refusal ends its polling, the later ones it hears while standing by.
    for _ in range(2):
        await refusals.get()
    await telegram.put(message(2))
    for _ in range(2):
        await refusals.get()
    assert len(telegram.queue) == 1
    assert len(telegram.texts) == 1
    await redis.delete("held:polling:42")
    await telegram.until(lambda: len(telegram.texts) == 2)
