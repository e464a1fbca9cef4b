"""Real Valkeys for the tests: one started as the bot starts it, and a cluster; imported by `conftest.py`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from bot.valkey import Valkey
from storage.redis import Client, connect, connect_any, connect_cluster, connect_sentinel
from tests.redis_sentinels import watched
from tests.redis_servers import cluster, cluster_url

__all__ = [
    "any_redis",
    "any_redis_url",
    "redis",
    "redis_cluster_url",
    "redis_sentinel_url",
    "valkey",
    "valkey_cluster",
    "valkey_cluster_emptier",
    "valkey_socket",
    "valkey_watched",
]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey() -> AsyncIterator[Valkey]:
    """One server for the session."""
    directory = Path(tempfile.mkdtemp(prefix="test-valkey-"))
    server = Valkey(directory)
    await server.start()
    yield server
    await server.stop()
    shutil.rmtree(directory)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey_socket(valkey: Valkey) -> str:
    """The path of the session server's socket."""
    return valkey.url.removeprefix("unix://")


@pytest_asyncio.fixture(loop_scope="session")
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    """A client of the session's server, which is empty."""
    client = connect(valkey.url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey_cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of one cluster of three nodes for the session."""
    async with cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield cluster_url(nodes)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey_cluster_emptier(valkey_cluster: str) -> AsyncIterator[Client]:
    """A client of the session's cluster: to learn what is where takes longer than most tests."""
    client = connect_cluster(valkey_cluster)
    yield client
    await client.aclose()


@pytest_asyncio.fixture(loop_scope="session")
async def redis_cluster_url(valkey_cluster: str, valkey_cluster_emptier: Client) -> str:
    """The address of a real cluster, emptied."""
    await valkey_cluster_emptier.flushall()
    return valkey_cluster


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey_watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of one master behind sentinels for the session."""
    async with watched(tmp_path_factory.mktemp("watched")) as both:
        yield both.url()


@pytest_asyncio.fixture(loop_scope="session")
async def redis_sentinel_url(valkey_watched: str) -> str:
    """The address of a real master behind sentinels, emptied."""
    client = connect_sentinel(valkey_watched)
    await client.flushall()
    await client.aclose()
    return valkey_watched


@pytest.fixture(params=["redis_url", "redis_cluster_url", "redis_sentinel_url"], ids=["single", "cluster", "sentinel"])
def any_redis_url(request: pytest.FixtureRequest) -> str:
    """The address of a server, of a cluster, or of a master behind sentinels, emptied; each test runs on all."""
    return str(request.getfixturevalue(request.param))


@pytest_asyncio.fixture(loop_scope="session")
async def any_redis(any_redis_url: str) -> AsyncIterator[Client]:
    """A client of an empty server, cluster, or master behind sentinels; each test runs on all."""
    client = connect_any(any_redis_url)
    yield client
    await client.aclose()
