"""The conversation store and the leases while a cluster changes: slots move, a node dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiogram.fsm.storage.base import StorageKey
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from storage.conversations import Conversations
from storage.leases import Leases
from storage.redis import Client, connect_any, connect_cluster
from tests.redis_servers import TcpServer, cluster, cluster_url, command
from tests.storage.talking import IRA, say
from tests.waiting import until

PEOPLE = [StorageKey(bot_id=1, chat_id=number, user_id=number) for number in range(60)]


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[list[TcpServer]]:
    async with cluster(tmp_path) as nodes:
        yield nodes


@pytest.fixture
async def client(nodes: list[TcpServer]) -> AsyncIterator[Client]:
    client = connect_any(cluster_url(nodes))
    yield client
    await client.aclose()


async def test_a_new_client_knows_where_things_are(client: Client) -> None:
    """Many first commands at once, before anything is known of the cluster."""
    leases = Leases(client)
    first = await asyncio.gather(*(leases.once("cleanup", timedelta(minutes=1)) for _ in range(50)))
    assert sorted(first) == [False] * 49 + [True]


async def test_a_moved_slot_is_followed(nodes: list[TcpServer], client: Client) -> None:
    store = Conversations(client)
    await say(store, 1, n=1)
    slot = key_slot(b"1:7:7")
    clients = [Redis(port=node.port, decode_responses=True) for node in nodes]
    names = [await command(each, "CLUSTER", "MYID") for each in clients]
    counts = [await command(each, "CLUSTER", "COUNTKEYSINSLOT", slot) for each in clients]
    owner = counts.index(1)
    heir = (owner + 1) % 3
    await command(clients[heir], "CLUSTER", "SETSLOT", slot, "IMPORTING", names[owner])
    await command(clients[owner], "CLUSTER", "SETSLOT", slot, "MIGRATING", names[heir])
    await command(clients[owner], "MIGRATE", "127.0.0.1", nodes[heir].port, "talk:{1:7:7}", 0, 1000)
    for number in (heir, owner):
        await command(clients[number], "CLUSTER", "SETSLOT", slot, "NODE", names[heir])
    async with store.open(IRA, 2) as conversation:
        assert conversation.data == {"n": 1}
        await conversation.save(None)
    await asyncio.gather(*(say(store, 1, key=key) for key in PEOPLE if key != IRA))
    await store.close()
    for each in clients:
        await each.aclose()


async def test_f27_a_dead_node_is_said_and_the_rest_goes_on(nodes: list[TcpServer], client: Client) -> None:
    store = Conversations(client)
    await asyncio.gather(*(say(store, 1, key=key) for key in PEOPLE))
    await nodes[0].stop()
    results = await asyncio.gather(*(say(store, 2, key=key) for key in PEOPLE), return_exceptions=True)
    failed = {key for key, result in zip(PEOPLE, results, strict=True) if result is not None}
    assert all(isinstance(result, RedisError) for result in results if result is not None)
    assert 0 < len(failed) < len(PEOPLE)
    assert store.is_idle()
    await nodes[0].start()

    async def heard() -> bool:
        try:
            await asyncio.gather(*(say(store, 3, key=key) for key in PEOPLE))
        except RedisError:
            return False
        return True

    await until(heard, 60)
    await store.close()


async def test_a_cluster_that_is_not_there_is_one_clear_error() -> None:
    client = connect_cluster("redis+cluster://127.0.0.1:1,127.0.0.1:2")
    with pytest.raises(RedisError, match="the cluster cannot be used"):
        await client.ping()
    await client.aclose()


async def test_a_single_server_is_no_cluster(redis_url: str, tmp_path: Path) -> None:
    for wrong in (
        "redis+cluster://",
        "redis+cluster://h:1,,",
        "redis+cluster://h:1/0",
        "redis://h:1",
        "redis+cluster://h:x",
    ):
        with pytest.raises(ValueError, match=r"cluster|[Pp]ort"):
            connect_cluster(wrong)


async def test_the_login_and_the_nodes_are_read_from_the_address() -> None:
    client = connect_cluster("redis+cluster://us%40er:p%3Aw@one:7001,two,[::1]:7003")
    assert [(node.host, node.port) for node in client.startup_nodes] == [("one", 7001), ("two", 6379), ("::1", 7003)]
    assert client.connection_kwargs["username"] == "us@er"
    assert client.connection_kwargs["password"] == "p:w"
    await client.aclose()
