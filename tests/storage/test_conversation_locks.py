"""One person's updates run one at a time, on a real Valkey and a cluster; two instances stand for two replicas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from storage.conversations import Conversations
from storage.errors import Busy, LockLost
from storage.redis import Client, connect_any
from tests.storage.talking import IRA, OLEG, REPLY, conversations, say
from tests.waiting import until

__all__ = ["conversations"]


@pytest_asyncio.fixture
async def replicas(any_redis_url: str) -> AsyncIterator[tuple[Conversations, Conversations]]:
    clients = [connect_any(any_redis_url) for _ in range(2)]
    stores = [Conversations(client, lock_ttl=timedelta(seconds=5)) for client in clients]
    yield stores[0], stores[1]
    for store, client in zip(stores, clients, strict=True):
        await store.close()
        await client.aclose()


async def test_f29_a_lost_lock_refuses_to_save(
    replicas: tuple[Conversations, Conversations], any_redis: Client
) -> None:
    slow, quick = replicas
    async with slow.open(IRA, 1) as conversation:
        await any_redis.delete("lock:{1:7:7}")
        await say(quick, 2, by="quick")
        conversation.data["by"] = "slow"
        with pytest.raises(LockLost):
            await conversation.save(REPLY)
    async with quick.open(IRA, 3) as conversation:
        assert conversation.data == {"by": "quick"}


async def test_f29_the_end_of_a_lost_handler_does_not_unlock_another(
    replicas: tuple[Conversations, Conversations], any_redis: Client
) -> None:
    slow, quick = replicas
    async with slow.open(IRA, 1):
        await any_redis.delete("lock:{1:7:7}")
        other = quick.open(IRA, 2)
        conversation = await other.__aenter__()
    assert await any_redis.exists("lock:{1:7:7}")
    await conversation.save(None)
    await other.__aexit__(None, None, None)


async def test_a_slow_handler_keeps_its_lock(any_redis_url: str, any_redis: Client) -> None:
    client = connect_any(any_redis_url)
    slow = Conversations(any_redis, lock_ttl=timedelta(seconds=1))
    other = Conversations(client, patience=timedelta(seconds=3))
    async with slow.open(IRA, 1) as conversation:
        # Three times the lock's time to live; the other replica gives up meanwhile.
        with pytest.raises(Busy):
            await say(other, 2)
        await conversation.save(None)
    await say(other, 2)
    for store in (slow, other):
        await store.close()
    await client.aclose()


async def test_a_quick_handler_costs_no_task_and_its_lock_ends_soon_when_the_process_is_killed(
    conversations: Conversations, any_redis: Client
) -> None:
    await say(conversations, 1)
    before = asyncio.all_tasks()
    async with conversations.open(IRA, 2):
        assert asyncio.all_tasks() == before
        assert 8_000 < await any_redis.pttl("lock:{1:7:7}") <= 10_000


@asynccontextmanager
async def refusing(redis: Redis) -> AsyncIterator[None]:
    """Inside the block the server cuts everybody off but this client, and lets nobody in."""
    await redis.config_set("requirepass", "changed")
    await redis.auth("changed")
    await redis.client_kill_filter(_type="normal", skipme=True)
    try:
        yield
    finally:
        await redis.config_set("requirepass", "")


async def test_f27_a_lock_that_could_not_be_given_up_does_not_stop_its_own_process(redis: Redis) -> None:
    store = Conversations(redis, lock_ttl=timedelta(seconds=60))
    async with AsyncExitStack() as stack:
        async with store.open(IRA, 1):
            await stack.enter_async_context(refusing(redis))
        assert await redis.exists("lock:{1:7:7}")
    await asyncio.wait_for(say(store, 2), 5)
    await store.close()


async def test_f29_a_lock_outlives_an_outage_that_is_shorter(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    store = Conversations(redis, lock_ttl=timedelta(seconds=3))
    async with store.open(IRA, 1) as conversation:
        async with refusing(redis):
            await until(lambda: "could not be renewed" in caplog.text)
        left = await redis.pttl("lock:{1:7:7}")
        assert 0 < left < 2_200
        await until(lambda: _is_longer(redis, left))
        await conversation.save(REPLY)
    await store.close()


async def _is_longer(redis: Redis, left: int) -> bool:
    return bool(await redis.pttl("lock:{1:7:7}") > left + 100)


async def test_a_killed_process_keeps_its_people_waiting_only_for_the_lock(
    replicas: tuple[Conversations, Conversations], any_redis: Client
) -> None:
    await any_redis.set("lock:{1:7:7}", "of a process that is dead", px=1000)
    started = asyncio.get_running_loop().time()
    await say(replicas[0], 1)
    assert 0.7 < asyncio.get_running_loop().time() - started < 5


async def test_a_waiter_is_woken_at_once(replicas: tuple[Conversations, Conversations], any_redis: Client) -> None:
    first, second = replicas
    loop = asyncio.get_running_loop()
    delays = []
    for update_id in range(20):
        async with first.open(IRA, update_id * 2) as conversation:
            waiting = asyncio.create_task(say(second, update_id * 2 + 1))
            await until(lambda: any_redis.exists("wait:{1:7:7}"))
            await conversation.save(None)
            unlocked = loop.time()
        await waiting
        delays.append(loop.time() - unlocked)
    assert sorted(delays)[len(delays) // 2] < 0.05
    assert not await any_redis.exists("wait:{1:7:7}", "wake:{1:7:7}")


async def test_f32_updates_of_one_person_run_in_the_order_they_came(conversations: Conversations) -> None:
    order: list[int] = []

    async def handle(update_id: int) -> None:
        async with conversations.open(IRA, update_id) as conversation:
            await asyncio.sleep(0.001 * (update_id % 3))
            order.append(update_id)
            await conversation.save(None)

    await asyncio.gather(*(handle(update_id) for update_id in range(20)))
    assert order == list(range(20))
    assert conversations.is_idle()


async def test_f32_two_replicas_never_run_two_at_a_time(replicas: tuple[Conversations, Conversations]) -> None:
    running = 0
    peak = 0
    orders: tuple[list[int], list[int]] = ([], [])
    ids = count()

    async def handle(replica: int, number: int) -> None:
        nonlocal running, peak
        async with replicas[replica].open(IRA, next(ids)) as conversation:
            running += 1
            peak = max(peak, running)
            await asyncio.sleep(0.001)
            conversation.data["n"] = conversation.data.get("n", 0) + 1
            orders[replica].append(number)
            running -= 1
            await conversation.save(None)

    await asyncio.gather(*(handle(replica, number) for number in range(20) for replica in range(2)))
    assert peak == 1
    assert orders == (list(range(20)), list(range(20)))
    async with replicas[0].open(IRA, 1000) as conversation:
        assert conversation.data == {"n": 40}
    assert all(replica.is_idle() for replica in replicas)


@pytest.mark.parametrize("group", [None, -100])
async def test_people_do_not_wait_for_each_other(conversations: Conversations, group: int | None) -> None:
    """Nor in a group, whose chat they share."""
    one, other = ((replace(key, chat_id=group) if group else key) for key in (IRA, OLEG))
    async with conversations.open(one, 1):
        await asyncio.wait_for(say(conversations, 2, key=other), 2)


async def test_t13_ten_deliveries_of_one_update_have_one_effect(
    replicas: tuple[Conversations, Conversations],
) -> None:
    effects = 0

    async def deliver(replica: Conversations) -> str | None:
        nonlocal effects
        async with replica.open(IRA, 1) as conversation:
            if conversation.seen:
                return conversation.kept_reply
            effects += 1
            await conversation.save(REPLY)
            return REPLY

    answers = await asyncio.gather(*(deliver(replicas[n % 2]) for n in range(10)))
    assert effects == 1
    assert answers == [REPLY] * 10


async def test_a_cancelled_wait_leaves_nothing_behind(
    replicas: tuple[Conversations, Conversations], any_redis: Client
) -> None:
    first, second = replicas
    async with first.open(IRA, 1) as conversation:
        waiting = asyncio.create_task(say(second, 2))
        await until(lambda: any_redis.exists("wait:{1:7:7}"))
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await conversation.save(None)
    assert second.is_idle()
    await asyncio.wait_for(say(second, 3), 2)


async def test_locks_of_a_dead_predecessor_are_dropped(conversations: Conversations, any_redis: Client) -> None:
    await say(conversations, 1, n=1)
    await any_redis.set("lock:{1:7:7}", "of a process that is dead", px=30_000)
    await conversations.drop_locks()
    async with conversations.open(IRA, 2) as conversation:
        assert conversation.data == {"n": 1}
