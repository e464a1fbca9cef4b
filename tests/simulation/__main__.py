"""`python -m tests.simulation`: a day under attack, beside the same day with the budget alone, without any limit, and
without attackers. Two runs at a time; the same seed prints the same figures."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import active_children, get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.simulation.chart import draw
from tests.simulation.plan import Guards, Plan
from tests.simulation.progress import tell
from tests.simulation.report import in_a_line, render
from tests.simulation.running import Result, memory, run

_QUICK = 500


def main() -> int:
    arguments = _parser().parse_args()
    plan = Plan(
        people=arguments.people or (_QUICK if arguments.quick else Plan.people),
        attack=arguments.attack,
        lost=arguments.lost,
        seed=arguments.seed,
    )
    plans = [plan]
    if plan.attack and not arguments.alone:
        others = (replace(plan, guards=Guards.BUDGET), replace(plan, guards=Guards.NONE), replace(plan, attack=0))
        plans.extend(others)
    if arguments.database is not None and len(plans) > 1:
        print("error: --database holds one run: write --alone too", file=sys.stderr)
        return 2
    # Both, and by itself: a shell that starts it in the background has it ignore the first.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    try:
        results = _all(plans, arguments.database)
    except KeyboardInterrupt:
        print("stopped: nothing is drawn", file=sys.stderr)
        return 130
    print(render(results))
    draw(results, arguments.chart)
    print(f"\nThe chart: {arguments.chart}")
    for result in results:
        for fault in result.faults:
            print(f"{result.plan.title}: {fault}", file=sys.stderr)
    return 1 if any(result.faults for result in results) else 0


def _all(plans: list[Plan], url: str | None) -> list[Result]:
    # The longest first: without limits the most is sent.
    order = sorted(range(len(plans)), key=lambda n: plans[n].guards is not Guards.NONE)
    results: dict[int, Result] = {}
    # The files are deleted here, since whoever writes them may be ended at any moment.
    with (
        TemporaryDirectory(dir=memory()) as folder,
        ProcessPoolExecutor(max_workers=2, mp_context=get_context("spawn")) as pool,
    ):
        with _interrupts_ignored():
            running = {pool.submit(run, plans[n], url or f"sqlite:///{folder}/{n}.db", watched=True): n for n in order}
        try:
            for each in as_completed(running):
                results[running[each]] = each.result()
                tell(in_a_line(each.result()))
        except BaseException:
            for process in active_children():
                process.terminate()
            raise
    return [results[n] for n in range(len(plans))]


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Let the processes that are started meanwhile ignore Ctrl-C for good: this one hears it, and ends them."""
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, heard)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description="Let people register on the real engine while gateways fail, SMS are lost and attackers ask too.",
    )
    parser.add_argument("--people", type=int, help=f"honest people, {Plan.people:,} by default")
    parser.add_argument("--attack", type=float, default=Plan.attack, help="attempts of attackers for each of them")
    parser.add_argument("--lost", type=float, default=Plan.lost, help="share of the SMS that never arrive")
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK} people")
    parser.add_argument("--alone", action="store_true", help="only the run with all limits")
    parser.add_argument("--database", metavar="URL", help="an empty database to use, instead of an SQLite file")
    parser.add_argument("--chart", type=Path, default=Path("simulation.png"), help="where the picture goes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
