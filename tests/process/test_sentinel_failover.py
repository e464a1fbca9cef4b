"""The whole bot behind sentinels: the master is killed in the middle of conversations."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from bot.failures import StartFailed
from bot.opening import open_redis
from bot.settings import Settings
from storage.tables import accounts
from tests.journeys.stage import on_stage
from tests.redis_sentinels import watched
from tests.redis_servers import command
from tests.sql import connected


async def test_f27_people_finish_although_the_master_was_killed(sqlite_url: str, tmp_path: Path) -> None:
    async with watched(tmp_path / "redis") as both, on_stage(sqlite_url, both.url(), tmp_path / "data") as stage:
        people = [stage.someone() for _ in range(6)]
        await people[0].registers()
        for ira, reach in zip(people[1:], ["terms", "terms", "phone", "code", "code"], strict=True):
            await getattr(ira, f"reaches_{reach}")()
        master = await both.master()
        async with both.client(master) as client:
            # Else the very last steps might be those that replication loses, and would be asked again.
            assert await command(client, "WAIT", 1, 10_000) == 1
        await master.stop()

        async def goes_on(n: int) -> None:
            ira = people[n]
            if n in {1, 2}:
                await ira.says("да")
                await ira.says(ira.label("button-register"))
            if n in {1, 2, 3}:
                await ira.says(ira.phone)
            if n:
                await ira.finishes()
            else:
                await ira.says("hello")
                ira.expects("registration-done")

        async with asyncio.timeout(60):
            await asyncio.gather(*(goes_on(n) for n in range(len(people))))
        async with connected(stage.app.stores.database) as connection:
            confirmed = select(func.count()).where(accounts.c.status == "confirmed")
            assert (await connection.execute(confirmed)).scalar_one() == len(people)
        assert len(stage.smsc.messages) == len(people), "nobody was sent a second code"


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("redis+sentinel://127.0.0.1:1/the-master/0", "no sentinel answers: "),
        ("unknown", "the sentinels know no master named 'unknown'"),
    ],
)
async def test_a_start_without_a_master_is_refused_with_one_line(url: str, line: str, valkey_watched: str) -> None:
    url = valkey_watched.replace("the-master", "unknown") if url == "unknown" else url
    async with AsyncExitStack() as stack:
        with pytest.raises(StartFailed) as caught:
            await open_redis(Settings(redis_url=SecretStr(url)), stack)
    assert str(caught.value).startswith(f"REDIS_URL: the server cannot be reached ({line}")
    assert "\n" not in str(caught.value)
