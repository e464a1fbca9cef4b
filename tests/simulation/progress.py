"""What is told while a day is lived through: how far it is, every few real seconds, and each run as it ends."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.simulation.attackers import Attacker
from tests.simulation.loop import SimulatedLoop
from tests.simulation.people import Person
from tests.simulation.plan import Plan

_EVERY = 5.0


def tell(line: str) -> None:
    """Say a line beside the tables, which have standard output for themselves."""
    # One write: two runs tell at the same time.
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@contextmanager
def told(plan: Plan, loop: SimulatedLoop, people: Sequence[Person], enemies: Sequence[Attacker]) -> Iterator[None]:
    """Tell how far the day is meanwhile. From a thread: in the loop no real time passes that could be waited for."""
    over, began = threading.Event(), time.perf_counter()

    def work() -> None:
        while not over.wait(_EVERY):
            minutes = int(loop.time() // 60)
            done = sum(bool(person.story.ending) for person in people)
            attempts = sum(enemy.outcomes.total() for enemy in enemies)
            tell(
                f"{plan.title}: {minutes // 60:02}:{minutes % 60:02}, {done:,} of {plan.people:,} people done, "
                f"{attempts:,} attempts of attackers; {time.perf_counter() - began:.0f} s"
            )

    thread = threading.Thread(target=work, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
