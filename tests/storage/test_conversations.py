"""The conversation store on a real Valkey and on a cluster of them; two instances stand for two replicas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
import pytest_asyncio
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.base import StorageKey
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from storage.conversations import SEEN_UPDATES, Conversations
from storage.errors import Busy, LockLost
from storage.redis import Client, connect, connect_any
from tests.waiting import until

IRA = StorageKey(bot_id=1, chat_id=7, user_id=7)
OLEG = StorageKey(bot_id=1, chat_id=8, user_id=8)
REPLY = '{"method":"sendMessage","chat_id":7,"text":"Ваш адрес?"}'


class Steps(StatesGroup):
    email = State()


@pytest_asyncio.fixture
async def conversations(any_redis: Client) -> AsyncIterator[Conversations]:
    store = Conversations(any_redis)
    yield store
    await store.close()


@pytest_asyncio.fixture
async def replicas(any_redis_url: str) -> AsyncIterator[tuple[Conversations, Conversations]]:
    clients = [connect_any(any_redis_url) for _ in range(2)]
    stores = [Conversations(client, lock_ttl=timedelta(seconds=5)) for client in clients]
    yield stores[0], stores[1]
    for store, client in zip(stores, clients, strict=True):
        await store.close()
        await client.aclose()


async def keys(client: Client) -> list[str]:
    return [key async for key in client.scan_iter()]


async def say(store: Conversations, update_id: int, *, key: StorageKey = IRA, **data: Any) -> None:
    async with store.open(key, update_id) as conversation:
        conversation.step = "email"
        conversation.data.update(data)
        await conversation.save(REPLY)


async def test_what_is_saved_is_loaded(conversations: Conversations) -> None:
    async with conversations.open(IRA, 1) as conversation:
        assert not conversation.existed
        assert (conversation.step, conversation.data, conversation.seen) == (None, {}, None)
        conversation.step = "email"
        conversation.data["email"] = "ирина@почта.рф"
        await conversation.save(None)
    async with conversations.open(IRA, 2) as conversation:
        assert conversation.existed
        assert (conversation.step, conversation.data) == ("email", {"email": "ирина@почта.рф"})


async def test_the_dispatcher_reads_and_writes_the_open_conversation(conversations: Conversations) -> None:
    async with conversations.open(IRA, 1) as conversation:
        async with conversations.lock(IRA):
            await conversations.set_state(IRA, Steps.email)
            await conversations.set_data(IRA, {"n": 1})
            await conversations.update_data(IRA, {"m": 2})
            copy = await conversations.get_data(IRA)
            copy["n"] = 100
        await conversation.save(None)
    async with conversations.open(IRA, 2):
        assert await conversations.get_state(IRA) == "Steps:email"
        assert await conversations.get_data(IRA) == {"n": 1, "m": 2}
        await conversations.set_state(IRA, None)
        assert await conversations.get_state(IRA) is None


async def test_nothing_is_read_or_written_past_the_receiver(conversations: Conversations) -> None:
    with pytest.raises(LookupError):
        await conversations.get_state(IRA)
    async with conversations.open(IRA, 1):
        with pytest.raises(LookupError):
            await conversations.set_data(OLEG, {})
    with pytest.raises(LookupError):
        async with conversations.lock(IRA):
            raise AssertionError


async def test_a_handler_that_fails_leaves_the_record_and_unlocks(
    conversations: Conversations, any_redis: Client
) -> None:
    await say(conversations, 1, n=1)

    async def fail() -> None:
        async with conversations.open(IRA, 2) as conversation:
            conversation.data["n"] = 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert not await any_redis.exists("lock:{1:7:7}")
    async with conversations.open(IRA, 2) as conversation:
        assert conversation.seen is None
        assert conversation.data == {"n": 1}
        conversation.data["n"] = 3
        conversation.discard()
        assert conversation.data == {"n": 1}


async def test_f30_the_newest_update_again_gets_the_kept_reply_and_an_older_one_none(
    conversations: Conversations,
) -> None:
    await say(conversations, 1)
    await say(conversations, 2)
    async with conversations.open(IRA, 2) as conversation:
        assert (conversation.seen, conversation.kept_reply) == ("newest", REPLY)
    async with conversations.open(IRA, 1) as conversation:
        assert (conversation.seen, conversation.kept_reply) == ("older", None)
    async with conversations.open(IRA, 3) as conversation:
        assert conversation.seen is None
        await conversation.save(None)
    async with conversations.open(IRA, 3) as conversation:
        assert (conversation.seen, conversation.kept_reply) == ("newest", None)


async def test_f38_an_id_that_restarts_lower_is_new(conversations: Conversations) -> None:
    await say(conversations, 900_000_000)
    async with conversations.open(IRA, 5) as conversation:
        assert conversation.seen is None
        await conversation.save(None)
    async with conversations.open(IRA, 900_000_000) as conversation:
        assert conversation.seen == "older"


async def test_only_the_last_ids_are_remembered(conversations: Conversations) -> None:
    for update_id in range(SEEN_UPDATES + 1):
        await say(conversations, update_id)
    async with conversations.open(IRA, 0) as conversation:
        assert conversation.seen is None
    async with conversations.open(IRA, 1) as conversation:
        assert conversation.seen == "older"


async def test_f28_after_a_flush_a_conversation_starts_empty(conversations: Conversations, any_redis: Client) -> None:
    await say(conversations, 1, n=1)
    await any_redis.flushall()
    await any_redis.script_flush()
    async with conversations.open(IRA, 2) as conversation:
        assert not conversation.existed
        await conversation.save(None)


async def test_f28_a_flush_while_a_handler_runs_leaves_the_update_unhandled(
    conversations: Conversations, any_redis: Client
) -> None:
    async with conversations.open(IRA, 1) as conversation:
        await any_redis.flushall()
        with pytest.raises(LockLost):
            await conversation.save(REPLY)
    assert await keys(any_redis) == []
    await say(conversations, 1)


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


async def test_people_do_not_wait_for_each_other(conversations: Conversations) -> None:
    async with conversations.open(IRA, 1):
        await asyncio.wait_for(say(conversations, 2, key=OLEG), 2)


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


async def test_forgetting_drops_step_and_data_and_keeps_the_seen_ids(conversations: Conversations) -> None:
    await say(conversations, 1, n=1)
    await conversations.forget(1, 7)
    async with conversations.open(IRA, 1) as conversation:
        assert not conversation.existed
        assert (conversation.step, conversation.data) == (None, {})
        assert (conversation.seen, conversation.kept_reply) == ("newest", REPLY)


async def test_forgetting_counts_although_a_handler_saves_afterwards(conversations: Conversations) -> None:
    for update_id in (1, 2):
        # The first round has no record yet, only the lock.
        async with conversations.open(IRA, update_id) as conversation:
            await conversations.forget(1, 7)
            conversation.step = "phone"
            await conversation.save(None)
        async with conversations.open(IRA, update_id + 10) as conversation:
            assert not conversation.existed
            conversation.step = "email"
            await conversation.save(None)
        async with conversations.open(IRA, update_id + 20) as conversation:
            assert conversation.step == "email"


async def test_forgetting_a_stranger_leaves_no_trace(conversations: Conversations, any_redis: Client) -> None:
    await conversations.forget(1, 7)
    assert await keys(any_redis) == []


async def test_a_record_outlives_the_account_and_then_goes(conversations: Conversations, any_redis: Client) -> None:
    await say(conversations, 1)
    assert 24 * 3600 < await any_redis.ttl("talk:{1:7:7}") <= 48 * 3600
    assert await keys(any_redis) == ["talk:{1:7:7}"]


async def test_a_save_repeated_after_a_lost_answer_is_no_lost_lock(conversations: Conversations) -> None:
    async with conversations.open(IRA, 1) as conversation:
        await conversation.save(REPLY)
        await conversation.save(REPLY)
    async with conversations.open(IRA, 2) as conversation:
        await conversation.save(None)
        async with conversations.open(OLEG, 3):
            pass


async def test_an_update_costs_two_round_trips(redis: Redis, valkey_socket: str) -> None:
    conversations = Conversations(redis)
    await say(conversations, 1)
    watcher = connect(f"unix://{valkey_socket}")
    async with watcher.monitor() as monitor:
        await say(conversations, 2)
        await redis.echo("the end")
        wire = []
        while (command := await monitor.next_command())["command"] != "ECHO the end":
            if command["client_type"] != "lua":
                wire.append(command["command"].split()[0])
    await watcher.aclose()
    await conversations.close()
    assert wire == ["EVALSHA", "EVALSHA"]


async def test_locks_of_a_dead_predecessor_are_dropped(conversations: Conversations, any_redis: Client) -> None:
    await say(conversations, 1, n=1)
    await any_redis.set("lock:{1:7:7}", "of a process that is dead", px=30_000)
    await conversations.drop_locks()
    async with conversations.open(IRA, 2) as conversation:
        assert conversation.data == {"n": 1}


async def test_f27_redis_down_is_said_and_nothing_stays_open() -> None:
    client = connect("unix:///nonexistent/valkey.sock")
    store = Conversations(client)
    with pytest.raises(RedisConnectionError, match="nonexistent"):
        await say(store, 1)
    assert store.is_idle()
    await store.close()
    await client.aclose()
