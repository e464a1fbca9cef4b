"""A new version is rolled out: each replica in turn is asked to stop and started again, while people register."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.journeys.stage import Outside
from tests.process.bot_process import forgive_harmless
from tests.process.replicas import STARTED_WITHIN, Replicas, a_few_at_a_time, replicas
from tests.process.walker import STEPS, Walker

AT_ONCE = 10
# Seconds. A standby looks at the lease every three, and the machine may be slow.
ANSWERED_WITHIN = 60
# What is still in hand so many seconds after SIGTERM is cut, and comes again.
LEFT_AFTER = 3

pytestmark = pytest.mark.timeout(600)


async def test_a_rolling_restart_loses_nothing_and_says_nothing_twice(
    outside: Outside, transport: str, postgresql_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with replicas(outside, transport, 2, tmp_path, database_url=postgresql_url, redis_url=redis_url) as two:
        people: list[Walker] = []
        rolled_out = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            rolling = group.create_task(rolls_out(two, rolled_out))
            group.create_task(a_few_at_a_time(AT_ONCE, [lambda: come_and_go(outside, people, rolled_out)] * AT_ONCE))
        expected = [(walker.ira.id, "confirmed") for walker in people]
        assert sorted(await two.rows("SELECT telegram_id, status FROM accounts")) == sorted(expected)
        assert len({tuple(walker.story_told_once()) for walker in people}) == 1
        assert all(walker.is_answered() for walker in people)
        assert [len(outside.smsc.inbox(walker.ira.phone)) for walker in people] == [1] * len(people)
        said_twice = sum(len(walker.story()) - len(walker.story_told_once()) for walker in people)
        # What is in hand is finished, unless the machine is so slow that it is left to the next one.
        assert not said_twice or max(rolling.result()) > LEFT_AFTER
        print(f"{transport}: {len(people)} people registered meanwhile, {said_twice} texts said twice")
        assert forgive_harmless(outside.api) == [] or said_twice


async def rolls_out(two: Replicas, rolled_out: asyncio.Event) -> list[float]:
    """Stop and start each; returns how many seconds each took to stop."""
    stopping = []
    for bot in two.bots:
        stopping.append(await bot.stop())
        await bot.start(STARTED_WITHIN)
    rolled_out.set()
    return stopping


async def come_and_go(outside: Outside, people: list[Walker], rolled_out: asyncio.Event) -> None:
    """Register one person after another until all replicas are new ones."""
    while not rolled_out.is_set():
        people.append(walker := Walker(outside.someone()))
        await walker.walks(len(STEPS), ANSWERED_WITHIN)
