"""The simulated day is a day: the same for a seed, within the promises, and worse without the limits."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.simulation.books import too_many
from tests.simulation.plan import Guards, Plan
from tests.simulation.report import attackers_spent, completion, honest_spent
from tests.simulation.running import Result, run

ROOT = Path(__file__).parents[2]
PLAN = Plan(people=40)


@pytest.fixture(scope="module")
def results() -> list[Result]:
    """One plan twice, then without limits, then without attackers; each in a process of its own."""
    plans = [PLAN, PLAN, replace(PLAN, guards=Guards.NONE), replace(PLAN, attack=0)]
    with ProcessPoolExecutor(max_workers=2, mp_context=get_context("spawn")) as pool:
        return list(pool.map(run, plans))


def test_a_seed_is_a_day(results: list[Result]) -> None:
    first, second, *_ = results
    assert [(story.ending, story.ended_at) for story in first.stories] == [
        (story.ending, story.ended_at) for story in second.stories
    ]
    assert first.books.spent == second.books.spent
    assert [campaign.outcomes for campaign in first.campaigns] == [campaign.outcomes for campaign in second.campaigns]


def test_every_promise_is_kept_under_attack(results: list[Result]) -> None:
    under_attack, _, without_limits, peace = results
    assert [result.faults for result in results] == [[], [], [], []]
    assert honest_spent(under_attack) + attackers_spent(under_attack) <= PLAN.budget
    assert attackers_spent(without_limits) > 4 * PLAN.budget > 4 * attackers_spent(under_attack)
    assert all(0 < campaign.sms < campaign.attempts for campaign in under_attack.campaigns)
    assert completion(peace) > 0.95
    assert len({story.nature.number for story in peace.stories}) == PLAN.people


def test_a_limit_that_is_not_kept_is_found() -> None:
    """The books are read by other code than the engine's: one message too many is told."""
    windows = PLAN.limits().sends_per_number
    first = windows[0]
    step = first.period.total_seconds() / first.count
    assert list(too_many("x", [[n * step for n in range(3 * first.count)]], [first])) == []
    assert list(too_many("x", [[n * step * 0.9 for n in range(3 * first.count)]], [first])) != []


async def test_it_is_one_command(tmp_path: Path) -> None:
    chart = tmp_path / "day.png"
    async with begun("--people", "20", "--chart", str(chart)) as process, asyncio.timeout(150):
        told, aside = await process.communicate()
    assert process.returncode == 0
    for line in (b"honest people registered", b"SMS per honest person", b"spent of the budget", b"burns the budget"):
        assert line in told
    assert b"all limits: over after " in aside
    assert chart.read_bytes().startswith(b"\x89PNG")


async def test_it_tells_how_far_it_is_and_ends_in_one_line(tmp_path: Path) -> None:
    async with begun("--chart", str(tmp_path / "day.png")) as process, asyncio.timeout(150):
        assert process.stderr is not None
        line = await process.stderr.readline()
        assert re.fullmatch(rb"all limits: \d\d:\d\d, [\d,]+ of 10,000 people done, .*\n", line)
        process.send_signal(signal.SIGINT)
        told, aside = await process.communicate()
    lines = [line for line in aside.splitlines() if b" people done, " not in line]
    assert (process.returncode, told, lines) == (130, b"", [b"stopped: nothing is drawn"])


@asynccontextmanager
async def begun(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Simulate one plan in a process, which is ended at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.simulation", "--alone", *arguments),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            # Not killed: it ends those it started.
            process.terminate()
            await process.communicate()
