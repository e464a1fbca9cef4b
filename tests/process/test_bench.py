"""The bench measures: everybody gets through, and what it counts is what happened. Nothing here is about speed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.bench import contenders, people
from tests.bench.chart import draw
from tests.bench.people import STEPS
from tests.bench.plan import Plan, Results
from tests.bench.report import render
from tests.bench.running import Bench
from tests.waiting import until

ROOT = Path(__file__).parents[2]
TINY = Plan(
    people=(4,), rounds=1, seconds=0.5, starts=0, counted_journeys=1, conversations=(40, 80), conversations_within=30
)


def each_step_of_this_bot_is_counted(results: Results) -> None:
    own = results.contests["a"].counted
    assert own is not None
    assert tuple(own.steps) == STEPS
    assert {step: work.redis.total() for step, work in own.steps.items()} == dict.fromkeys(STEPS, 2)
    assert own.steps["phone"].calls["SMS"] == 1
    assert own.steps["phone"].courier_statements > 0
    assert all(own.steps[step].transactions > 0 for step in ("terms", "phone", "code"))


def the_others_are_counted(results: Results) -> None:
    stock, floor = (results.contests[key].counted for key in "bc")
    assert stock is not None
    assert floor is not None
    assert {step: work.calls for step, work in stock.steps.items()} == {step: {"sendMessage": 1} for step in STEPS}
    assert all(work.redis.total() > 2 for work in stock.steps.values())
    assert stock.whole.statements + stock.whole.courier_statements >= 2 * len(STEPS)
    assert floor.whole.redis == {"EVALSHA": 2 * len(STEPS)}
    assert floor.whole.statements + floor.whole.calls.total() == 0


async def test_all_contenders_get_everybody_through_and_are_reported(tmp_path: Path) -> None:
    results = await Bench(TINY, tmp_path).run()
    assert results.failures == []
    for contest in results.contests.values():
        assert set(contest.race.rounds) == set(TINY.people)
        for crowd, (only,) in contest.race.rounds.items():
            assert only.finished >= crowd
            assert only.updates == only.finished * len(STEPS)
            assert 0 < only.p50 <= only.p99
        assert contest.peak > 10
        assert contest.first_start > 0
    each_step_of_this_bot_is_counted(results)
    the_others_are_counted(results)
    race = results.contests["a"].race
    assert [len(race.codes_after(crowd)) for crowd in race.rounds] == [n.finished for (n,) in race.rounds.values()]
    assert results.memory is not None
    assert [done for done, _ in results.memory.resident] == list(TINY.conversations)
    assert results.memory.record > 100

    report = render(results)
    heading = report.splitlines()[0]
    assert [heading.index(contest.title) for contest in results.contests.values()]
    assert max(map(len, report.splitlines())) <= 100
    assert report.count("reached") >= 6
    draw(results, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


def started_in(folder: Path) -> list[str]:
    """Return the command lines of the processes whose temporary folder this is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        # It may end while it is looked at, or be somebody else's.
        with contextlib.suppress(OSError):
            if f"TMPDIR={folder}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_a_bench_that_is_ended_ends_what_it_started(ending: signal.Signals, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench", "--quick", "--only", "a", "--chart", str(tmp_path / "x.png")),
        cwd=ROOT, env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            # The first phase is done, the next has its bot.
            while b"racing" not in (told := await process.stderr.read(1000)):
                assert told
            await until(lambda: any(" -m bot" in line for line in started_in(tmp_path)))
            process.send_signal(ending)
            assert await process.wait() == 130
        assert started_in(tmp_path) == []
        assert os.listdir(tmp_path) == []
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_wrong_answer_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "ANSWER_WITHIN", 0.3)
    texts = (*contenders._FLOOR_TEXTS[:-1], "something else")
    monkeypatch.setattr(contenders, "_FLOOR_TEXTS", texts)
    plan = Plan(contenders=("c",), people=(2,), rounds=1, seconds=0.1, starts=1, counted_journeys=0, conversations=())
    results = await Bench(plan, tmp_path).run()
    assert any("code: no answer" in failure for failure in results.failures)
    assert "FAILURES" in render(results).splitlines()[0]
