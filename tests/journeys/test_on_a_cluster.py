"""A person registers while the conversation is kept by a cluster of three nodes."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from tests.journeys.stage import on_stage


async def test_a_person_registers_on_a_cluster(database_url: str, redis_cluster_url: str, tmp_path: Path) -> None:
    async with on_stage(database_url, redis_cluster_url, tmp_path) as stage, aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{stage.app.port}/readyz") as ready:
            assert ready.status == 200
        ira = stage.someone()
        await ira.registers()
        # What a flush takes away is rebuilt from SQL, here too.
        await stage.app.stores.redis.flushall()
        await ira.says("/start")
        ira.expects("registration-done")
        oleg = stage.someone("en")
        await oleg.registers()
