"""One run: people and attackers live through the day, and what the ledger and the phones say is put together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from storage.migrations import migrate
from tests.simulation.attackers import Attacker, attackers
from tests.simulation.books import Books, read_books
from tests.simulation.loop import BEGINNING, SimulatedLoop
from tests.simulation.people import Person, Story, crowd
from tests.simulation.plan import ACCOUNT_PRICE, PUMPER_SHARE, Plan
from tests.simulation.progress import told
from tests.simulation.targets import targets
from tests.simulation.world import World, opened

_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Campaign:
    """What one attacker did. Money in hundredths of a rouble."""

    name: str
    attempts: int
    outcomes: Counter[str]
    accounts: int
    numbers: int
    sms: int
    cost: int
    is_pumping: bool

    @property
    def paid(self) -> int:
        """What the accounts cost the attacker."""
        return self.accounts * ACCOUNT_PRICE

    @property
    def earned(self) -> int:
        """What came back to the attacker from the owners of the ranges."""
        return round(self.cost * PUMPER_SHARE) if self.is_pumping else 0


@dataclass(frozen=True)
class Result:
    """One run. `faults`: what the engine logged as an error, and promises it did not keep."""

    plan: Plan
    stories: list[Story]
    campaigns: list[Campaign]
    books: Books
    alerts: list[tuple[float, str]]
    seconds: float
    faults: list[str] = field(default_factory=list)


def memory() -> Path | None:
    """Return where files are in memory: each transaction waits for the one before, which is to show no disk's speed."""
    return _MEMORY if _MEMORY.is_dir() else None


def run(plan: Plan, url: str | None = None, *, watched: bool = False) -> Result:
    """Live through a day on a fresh SQLite file, or on the database at `url`, whose tables are made and are empty.

    `watched`: tell on standard error how far it is.
    """
    began = time.perf_counter()
    if url is None:
        with TemporaryDirectory(dir=memory()) as folder:
            return run(plan, f"sqlite:///{Path(folder) / 'simulation.db'}", watched=watched)
    asyncio.run(migrate(url))
    with _listening() as faults, asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        result = runner.run(_day(plan, url, faults, watched))
    return Result(*result, seconds=time.perf_counter() - began, faults=faults)


async def _day(
    plan: Plan, url: str, faults: list[str], watched: bool
) -> tuple[Plan, list[Story], list[Campaign], Books, list[tuple[float, str]]]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    aims = targets(plan)
    async with opened(plan, url, loop) as world:
        enemies = attackers(world, aims) if plan.attack else []
        people = [Person(world, nature) for nature in crowd(plan, aims)]
        each = plan.people * plan.attack / max(1, len(enemies))
        with told(plan, loop, people, enemies) if watched else nullcontext():
            await asyncio.gather(*(person.register() for person in people), *(enemy.attack(each) for enemy in enemies))
        await world.carrier.finish()
        books = await read_books(world, _owners(world, people, enemies))
        faults += books.broken
        stories = [person.story for person in people]
        campaigns = [_campaign(enemy, books) for enemy in enemies]
        alerts = [((at - BEGINNING).total_seconds(), text) for at, text in world.alerts.told]
    return plan, stories, campaigns, books, alerts


def _owners(world: World, people: Sequence[Person], enemies: Sequence[Attacker]) -> dict[str, str]:
    """Return who a person of the ledger is: an attacker's name, or "" for an honest one."""
    owners = {world.keys.person(puppet.telegram_id): enemy.name for enemy in enemies for puppet in enemy.puppets}
    return owners | {world.keys.person(person.story.nature.telegram_id): "" for person in people}


def _campaign(enemy: Attacker, books: Books) -> Campaign:
    return Campaign(
        name=enemy.name,
        attempts=enemy.outcomes.total(),
        outcomes=enemy.outcomes,
        accounts=sum(puppet.used for puppet in enemy.puppets),
        numbers=len(enemy.numbers),
        sms=books.sms[enemy.name],
        cost=books.cost[enemy.name],
        is_pumping=enemy.is_pumping,
    )


class _Faults(logging.Handler):
    def __init__(self, faults: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        self._faults.append(self.format(record))


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Collect what is logged as an error, and keep the warnings of failing gateways from the screen."""
    faults: list[str] = []
    handler, log = _Faults(faults), logging.getLogger("bot")
    propagated, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield faults
    finally:
        log.removeHandler(handler)
        log.propagate = propagated
