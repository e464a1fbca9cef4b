"""Every journey is played on what one machine has, and on what several share: see `redis_url` in `conftest.py`."""

from __future__ import annotations

import aiohttp

from storage.redis_cluster import Cluster
from tests.journeys.stage import Stage


async def test_journeys_are_played_on_sqlite_with_the_embedded_store_and_on_postgresql_with_a_cluster(
    stage: Stage,
) -> None:
    stores = stage.app.stores
    assert isinstance(stores.redis, Cluster) is stores.database.is_postgresql
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{stage.app.port}/readyz") as ready,
    ):
        assert ready.status == 200
    people = [stage.someone() for _ in range(6)]
    for ira in people:
        await ira.reaches_phone()
    if isinstance(stores.redis, Cluster):
        # They are kept by all of the nodes.
        sizes = [await stores.redis.dbsize(target_nodes=node) for node in stores.redis.get_primaries()]
        assert len([size for size in sizes if size]) == 3
    # What a flush takes away is rebuilt from SQL, here too.
    await stores.redis.flushall()
    for ira in people:
        await ira.says(ira.phone)
        await ira.finishes()
