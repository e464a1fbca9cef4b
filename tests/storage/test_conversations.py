"""What the conversation store keeps and forgets, and which updates it knows again, on a real Valkey and a cluster."""

from __future__ import annotations

import pytest
from aiogram.fsm.state import State, StatesGroup
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from storage.conversations import SEEN_UPDATES, Conversations
from storage.errors import LockLost
from storage.redis import Client, connect
from tests.storage.talking import IRA, OLEG, REPLY, conversations, say

__all__ = ["conversations"]


class Steps(StatesGroup):
    email = State()


async def keys(client: Client) -> list[str]:
    return [key async for key in client.scan_iter()]


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


async def test_f27_redis_down_is_said_and_nothing_stays_open() -> None:
    client = connect("unix:///nonexistent/valkey.sock")
    store = Conversations(client)
    with pytest.raises(RedisConnectionError, match="nonexistent"):
        await say(store, 1)
    assert store.is_idle()
    await store.close()
    await client.aclose()
