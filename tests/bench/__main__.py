"""`python -m tests.bench`: measure, print, draw. Exits with 1 when anybody did not get through."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from tests.bench.chart import draw
from tests.bench.contenders import kinds
from tests.bench.plan import Plan
from tests.bench.profiling import profile
from tests.bench.report import render
from tests.bench.running import Bench

T = TypeVar("T")
_INTERRUPTED = 130


def main() -> int:
    arguments = _parser().parse_args()
    plan = Plan().quick() if arguments.quick else Plan()
    plan = replace(
        plan,
        contenders=arguments.only or plan.contenders,
        people=arguments.people or plan.people,
        rounds=arguments.rounds or plan.rounds,
        think=arguments.think / 1000,
        chart=arguments.chart,
    )
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        try:
            if arguments.profile:
                print(asyncio.run(_ended_tidily(profile(Path(folder), plan.people[0], plan.seconds))))
                return 0
            results = asyncio.run(_ended_tidily(Bench(plan, Path(folder)).run()))
        except (KeyboardInterrupt, asyncio.CancelledError):
            return _INTERRUPTED
    print(render(results))
    if plan.chart and any(contest.race.rounds for contest in results.contests.values()):
        draw(results, plan.chart)
        print(f"The chart: {plan.chart}")
    return 1 if results.failures else 0


async def _ended_tidily(work: Coroutine[Any, Any, T]) -> T:
    """Run it; SIGTERM and Ctrl-C cancel it, so that the processes it started are ended with it.

    Ctrl-C by a handler too: a shell has what it starts in the background ignore that signal.
    """
    task = asyncio.current_task()
    assert task is not None
    for ending in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(ending, task.cancel)
    return await work


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure this bot (a) beside a stock aiogram bot (b; d: with SQLite in WAL mode) and a floor (c).",
    )
    parser.add_argument("--quick", action="store_true", help="a first look in a minute and a half")
    parser.add_argument("--only", type=_contenders, metavar="a,b,c,d", help="these contenders alone")
    parser.add_argument("--people", type=_numbers, metavar="16,200", help="how many people at once")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds for each contender and crowd")
    parser.add_argument("--think", type=float, default=0.0, metavar="MS", help="how long people read (default 0)")
    parser.add_argument("--chart", type=Path, default=Path("bench.png"), metavar="FILE", help=".png or .svg")
    parser.add_argument("--profile", action="store_true", help="run (a) alone under cProfile and print what is hot")
    return parser


def _contenders(text: str) -> tuple[str, ...]:
    letters = tuple(dict.fromkeys(text.split(",")))
    if not set(letters) <= set(kinds()):
        raise argparse.ArgumentTypeError("a, b, c and d are the contenders")
    return letters


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(number) for number in text.split(","))
    if not all(0 < number <= 1000 for number in numbers):
        raise argparse.ArgumentTypeError("1 to 1000 people")
    return numbers


if __name__ == "__main__":
    sys.exit(main())
