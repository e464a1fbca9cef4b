"""The conversation store and the leases behind sentinels: the master dies, another server takes over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiogram.fsm.storage.base import StorageKey
from redis.asyncio import Redis
from redis.exceptions import RedisError

from storage.conversations import Conversations
from storage.leases import Leases
from storage.redis import address_of, connect_any, connect_sentinel
from storage.redis_scripts import Multiplexed, Script
from storage.redis_sentinel import Master, MasterPool
from tests.redis_sentinels import Watched, watched
from tests.redis_servers import TcpServer, command, tcp_server
from tests.storage.talking import IRA, REPLY, say
from tests.waiting import until

PEOPLE = [StorageKey(bot_id=1, chat_id=number, user_id=number) for number in range(100, 140)]
# Seconds: a second of silence, the sentinels' vote, the new master; the rest is a busy machine's.
FAILED_OVER_WITHIN = 30


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Watched]:
    async with watched(tmp_path) as both:
        yield both


@pytest.fixture
async def client(both: Watched) -> AsyncIterator[Redis]:
    client = connect_sentinel(both.url())
    yield client
    await client.aclose()


async def replicated(client: Redis) -> None:
    """Wait until the replica has what was written so far."""

    async def by_one() -> bool:
        return int(await command(client, "WAIT", 1, 100)) == 1

    await until(by_one)


async def said(store: Conversations, update_id: int) -> float:
    """Say an update until it is taken, as Telegram would bring it again; return how long that took, in seconds."""
    began = time.monotonic()

    async def taken() -> bool:
        try:
            await say(store, update_id, n=update_id)
        except RedisError:
            return False
        return True

    await until(taken, FAILED_OVER_WITHIN)
    return time.monotonic() - began


async def test_f27_a_conversation_goes_on_after_its_master_was_killed(both: Watched, client: Redis) -> None:
    store = Conversations(client)
    await asyncio.gather(*(say(store, 1, key=key, n=1) for key in PEOPLE))
    await say(store, 1, n=1)
    await replicated(client)
    killed = await both.master()
    await killed.stop()
    took = await said(store, 2)
    print(f"answered again {took:.1f} s after the master was killed")
    assert await both.master() is not killed
    async with store.open(IRA, 3) as conversation:
        assert conversation.data == {"n": 2}
        await conversation.save(REPLY)
    # Nothing is lost that the replica had: every record is there, and repeated updates are known.
    for key in PEOPLE:
        async with store.open(key, 1) as conversation:
            assert conversation.seen
            assert conversation.data == {"n": 1}
    assert store.is_idle()
    await store.close()


async def test_f22_a_lease_is_held_across_the_failover(both: Watched, client: Redis) -> None:
    leases, minute = Leases(client), timedelta(minutes=1)
    assert await leases.hold("poll", "one", minute)
    assert await leases.once("cleanup", minute)
    await replicated(client)
    await (await both.master()).stop()

    async def answered() -> bool:
        try:
            return not await leases.hold("poll", "other", minute)
        except RedisError:
            return False

    await until(answered, FAILED_OVER_WITHIN)
    assert await leases.hold("poll", "one", minute)
    assert not await leases.once("cleanup", minute)
    await leases.release("poll", "one")
    assert await leases.hold("poll", "other", minute)


async def test_a_wait_for_a_turn_survives_the_failover(both: Watched, client: Redis) -> None:
    """Two replicas of the bot: one holds the person's lock, the other waits for it while the master dies."""
    other = connect_any(both.url())
    stores = Conversations(client), Conversations(other)
    async with stores[0].open(IRA, 1) as conversation:
        waiting = asyncio.create_task(said(stores[1], 2))
        await replicated(client)
        await (await both.master()).stop()
        conversation.data["n"] = 1

        async def again() -> bool:
            try:
                await conversation.save(None)
            except RedisError:
                return False
            return True

        await until(again, FAILED_OVER_WITHIN)
    await waiting
    async with stores[0].open(IRA, 3) as conversation:
        assert conversation.data["n"] == 2
        await conversation.save(None)
    for store in stores:
        await store.close()
    await other.aclose()


async def test_a_master_that_was_made_a_replica_is_left(both: Watched, client: Redis) -> None:
    """A failover that the operator asks for: the old master lives on, and refuses to write."""
    store = Conversations(client)
    await say(store, 1, n=1)
    await replicated(client)
    before = await both.master()
    async with Redis(port=both.sentinels[0].port) as sentinel:
        await command(sentinel, "SENTINEL", "FAILOVER", "the-master")
    await said(store, 2)

    async def demoted() -> bool:
        try:
            return await both.role(before) == "slave" and await both.master() is not before
        except RedisError:
            # The sentinels cut the connections of whom they demote, ours too.
            return False

    await until(demoted, FAILED_OVER_WITHIN)
    assert await said(store, 3) < 1
    async with store.open(IRA, 4) as conversation:
        assert conversation.data == {"n": 3}
        await conversation.save(None)

    async def is_written() -> bool:
        try:
            await client.set("plain", "1")
        except RedisError:
            # The sentinels cut the connections of whom they demote, one that has just been opened too.
            return False
        return True

    await until(is_written)
    assert await client.get("plain") == "1"
    await store.close()


async def test_a_read_only_answer_is_no_ones_error(both: Watched, client: Redis) -> None:
    """The old master is demoted under open connections, before the sentinels have cut them."""
    store = Conversations(client)
    await say(store, 1, n=1)
    await replicated(client)
    old, new = await both.master(), await both.other()
    for sentinel in both.sentinels:
        await sentinel.stop()
    async with both.client(old) as one, both.client(new) as other:
        await command(other, "REPLICAOF", "NO", "ONE")
        await command(one, "REPLICAOF", "127.0.0.1", new.port)
    # Nobody says who took over: the update waits.
    with pytest.raises(RedisError):
        await say(store, 2, n=2)
    with pytest.raises(RedisError):
        await client.set("plain", "1")
    async with both.client(old) as one, both.client(new) as other:
        await command(one, "REPLICAOF", "NO", "ONE")
        await command(other, "REPLICAOF", "127.0.0.1", old.port)
    await both.sentinels[1].start()
    await said(store, 2)
    await store.close()


class Told(Master):
    """Sentinels that were told where the master is."""

    def __init__(self, server: TcpServer) -> None:
        super().__init__("the-master", [("127.0.0.1", 1)], {})
        self.server = server

    async def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.server.port


async def test_who_answers_read_only_is_left_at_once(tmp_path: Path) -> None:
    """It happens between the demotion and the moment at which the sentinels cut connections; nobody notices."""
    homes = [tmp_path / "old", tmp_path / "new"]
    for home in homes:
        home.mkdir()
    async with tcp_server(homes[0]) as old, tcp_server(homes[1]) as new:
        told, client = Told(old), connect_any(old.url)
        assert isinstance(client, Redis)
        scripts = Multiplexed(address_of(client), master=told)
        put = Script("return redis.call('SET', KEYS[1], ARGV[1])")
        assert await scripts.run(put, ("a",), ("1",)) == "OK"
        told.server = new
        await command(client, "REPLICAOF", "127.0.0.1", new.port)
        assert await asyncio.gather(*(scripts.run(put, (key,), ("2",)) for key in "bcdefgh")) == ["OK"] * 7
        async with Redis(port=new.port, decode_responses=True) as there:
            assert await there.mget("b", "h") == ["2", "2"]
        await scripts.close()
        await client.aclose()


async def test_a_sentinel_that_is_gone_is_passed_over(both: Watched, client: Redis) -> None:
    await both.sentinels[0].stop()
    assert await client.ping()
    store = Conversations(client)
    await say(store, 1)
    await store.close()


async def test_what_is_wrong_is_said_in_one_line(both: Watched) -> None:
    unknown = connect_any(both.url().replace("the-master", "nobody"))
    with pytest.raises(RedisError, match=r"^the sentinels know no master named 'nobody'$"):
        await unknown.ping()
    await unknown.aclose()
    nobody = connect_any("redis+sentinel://127.0.0.1:1,127.0.0.1:2/the-master/0")
    with pytest.raises(RedisError, match=r"^no sentinel answers: .*127.0.0.1:2.*$"):
        await nobody.ping()
    await nobody.aclose()
    for server in both.servers:
        await server.stop()
    down = connect_any(both.url())

    async def is_said() -> bool:
        try:
            await down.ping()
        except RedisError as error:
            return str(error) == "the sentinels say that the master 'the-master' is down"
        return False

    await until(is_said, FAILED_OVER_WITHIN)
    await down.aclose()


async def test_the_servers_password_is_given(tmp_path: Path) -> None:
    async with watched(tmp_path, password="secret") as both:
        client = connect_sentinel(both.url())
        store = Conversations(client)
        await say(store, 1)
        await (await both.master()).stop()
        await said(store, 2)
        await store.close()
        await client.aclose()
        wrong = connect_sentinel(both.url().replace(":secret@", ":wrong@"))
        with pytest.raises(RedisError, match=r"(?i)invalid username-password|wrongpass"):
            await wrong.ping()
        await wrong.aclose()


@pytest.mark.parametrize(
    "wrong",
    [
        "redis+sentinel://",
        "redis+sentinel://h:1",
        "redis+sentinel://h:1/",
        "redis+sentinel://h:1,,/m",
        "redis+sentinel://h:1/m/x",
        "redis+sentinel://h:x/m/0",
        "redis://h:1/m",
    ],
)
def test_other_forms_are_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"sentinel|[Pp]ort"):
        connect_sentinel(wrong)


async def test_the_address_is_read() -> None:
    client = connect_sentinel(
        "redis+sentinel://us%40er:p%3Aw@one:7001,two,[::1]:7003/my-master/3?sentinel_username=s&sentinel_password=%40"
    )
    pool = client.connection_pool
    assert isinstance(pool, MasterPool)
    assert "p:w" not in repr(client)
    places = [sentinel.connection_pool.connection_kwargs for sentinel in pool.master._sentinel.sentinels]
    assert [(place["host"], place["port"]) for place in places] == [("one", 7001), ("two", 26379), ("::1", 7003)]
    assert {(place["username"], place["password"]) for place in places} == {("s", "@")}
    options = pool.connection_kwargs
    assert (options["username"], options["password"], options["db"]) == ("us@er", "p:w", 3)
    await client.aclose()
