"""Attackers, each with one strategy. An attempt is one request for a code, or one guess."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from storage.errors import LimitReached, NothingIsSent, Refusal, WrongCode
from storage.models import CodeSent
from tests.simulation.plan import COUNTRIES, a_number
from tests.simulation.targets import Place, Targets
from tests.simulation.world import LANGUAGE, World

SENT, NOTHING_NEW, WRONG, ENTERED = "code sent", "an earlier code still counts", "wrong code", "code entered"
# Below this it pays to look for another number; above it a resend is due, and costs no number.
_RESEND_AFTER = 60.0


@dataclass
class Puppet:
    """One Telegram account of an attacker."""

    telegram_id: int
    aim: Place | None = None
    exists: bool = False
    used: bool = False
    numbers: list[Place] = field(default_factory=list)
    asked_at: float | None = None


class Attacker(ABC):
    """`outcomes` counts what became of each attempt: what was reached, or the limit or error that stopped it."""

    name: str
    is_pumping = False
    """Whether the attacker earns by the SMS."""

    def __init__(self, world: World, first_id: int, accounts: int) -> None:
        self.world = world
        self.chance: Random = world.plan.chance(self.name)
        self.puppets = [Puppet(first_id + n) for n in range(accounts)]
        self.outcomes: Counter[str] = Counter()
        self.numbers: set[str] = set()

    @abstractmethod
    async def attempt(self) -> str:
        """Do one thing and return what became of it."""

    async def attack(self, attempts: float) -> None:
        """Go on until the day is over, at such a rate that there are about so many attempts."""
        ends = self.world.plan.seconds
        while True:
            await asyncio.sleep(self.chance.expovariate(attempts / ends))
            if self.world.loop.time() >= ends:
                return
            self.outcomes[await self._outcome()] += 1

    async def ask(self, puppet: Puppet, place: Place) -> str:
        """Ask for a code to a number."""
        if not puppet.exists:
            await self.world.accept_terms(puppet.telegram_id)
            puppet.exists = puppet.used = True
        number, country = place
        self.numbers.add(number)
        result = await self.world.challenges.ask_code(
            self.world.update(puppet.telegram_id), number, country, LANGUAGE, own_contact=False,
            contact_needs_code=True, claim=False, reveal=True, now=self.world.clock.now(),
        )  # fmt: skip
        puppet.asked_at = self.world.loop.time()
        if isinstance(result, CodeSent) and result.queued:
            self.world.courier.wake()
            return SENT
        return NOTHING_NEW

    async def ask_again(self, puppet: Puppet) -> str:
        """Ask for one more code to the same number."""
        puppet.asked_at = self.world.loop.time()
        await self.world.challenges.resend(self.world.update(puppet.telegram_id), LANGUAGE, self.world.clock.now())
        self.world.courier.wake()
        return SENT

    async def ask_somewhere(self, puppet: Puppet, place: Place) -> str:
        """Make the most of an account: a resend when it is due, a new number (`place`) while it may try new ones."""
        waited = None if puppet.asked_at is None else self.world.loop.time() - puppet.asked_at
        if waited is not None and waited > _RESEND_AFTER and self.chance.random() < 0.5:
            return await self.ask_again(puppet)
        if len(puppet.numbers) < 3:
            puppet.numbers.append(place)
            return await self.ask(puppet, place)
        return await self.ask(puppet, self.chance.choice(puppet.numbers))

    async def enter(self, puppet: Puppet, code: str) -> str:
        """Try a code."""
        await self.world.challenges.try_code(self.world.update(puppet.telegram_id), code, self.world.clock.now())
        return ENTERED

    async def _outcome(self) -> str:
        try:
            return await self.attempt()
        except (LimitReached, NothingIsSent) as refusal:
            return refusal.limit.value
        except WrongCode:
            return WRONG
        except Refusal as refusal:
            return type(refusal).__name__


class PumpsOneRange(Attacker):
    """Many accounts, numbers of one range; none is entered."""

    name = "pumps one range"
    is_pumping = True

    def __init__(self, world: World, first_id: int, aims: Targets) -> None:
        super().__init__(world, first_id, world.plan.scaled(2000, 20))
        self._range = aims.one_range

    async def attempt(self) -> str:
        return await self.ask_somewhere(self.chance.choice(self.puppets), _in(self._range, self.chance))


class PumpsManyRanges(Attacker):
    """Many accounts, numbers of many ranges in many countries; none is entered."""

    name = "pumps many ranges"
    is_pumping = True

    def __init__(self, world: World, first_id: int, aims: Targets) -> None:
        super().__init__(world, first_id, world.plan.scaled(2000, 20))
        self._ranges = aims.many_ranges

    async def attempt(self) -> str:
        place = _in(self.chance.choice(self._ranges), self.chance)
        return await self.ask_somewhere(self.chance.choice(self.puppets), place)


class PumpsAndEnters(Attacker):
    """Reads the SMS of its ranges and enters every third code, so that they look alive; then deletes the account."""

    name = "pumps and enters a third"
    is_pumping = True

    def __init__(self, world: World, first_id: int, aims: Targets) -> None:
        super().__init__(world, first_id, world.plan.scaled(2000, 20))
        self._ranges = aims.own_ranges
        self._heard: set[asyncio.Task[None]] = set()

    async def attempt(self) -> str:
        puppet = self.chance.choice(self.puppets)
        number, country = _in(self.chance.choice(self._ranges), self.chance)
        if self.chance.random() < 1 / 3:
            self.world.carrier.phones[number] = lambda code: self._hear(puppet, code)
        return await self.ask_somewhere(puppet, (number, country))

    def _hear(self, puppet: Puppet, code: str) -> None:
        task = asyncio.create_task(self._enter(puppet, code))
        self._heard.add(task)
        task.add_done_callback(self._heard.discard)

    async def _enter(self, puppet: Puppet, code: str) -> None:
        try:
            await self.enter(puppet, code)
        except Refusal:
            return
        await self.world.accounts.erase(self.world.update(puppet.telegram_id), self.world.clock.now())
        puppet.exists, puppet.asked_at = False, None


class BombsOneVictim(Attacker):
    """Many accounts ask for codes to one number."""

    name = "bombs one victim"

    def __init__(self, world: World, first_id: int, aims: Targets) -> None:
        super().__init__(world, first_id, world.plan.scaled(1000, 10))
        self._victim = aims.bombed

    async def attempt(self) -> str:
        puppet = self.chance.choice(self.puppets)
        puppet.numbers = [self._victim] * 3
        return await self.ask_somewhere(puppet, self._victim)


class BurnsTheBudget(Attacker):
    """Few accounts, a new number each time, anywhere."""

    name = "burns the budget"

    def __init__(self, world: World, first_id: int, aims: Targets) -> None:
        super().__init__(world, first_id, world.plan.scaled(20, 2))

    async def attempt(self) -> str:
        country = self.chance.choice(COUNTRIES)
        place = a_number(country.a_range(self.chance), self.chance), country.code
        return await self.ask(self.chance.choice(self.puppets), place)


class GuessesCodes(Attacker):
    """Has codes sent to numbers of others and guesses them."""

    name = "guesses codes"

    def __init__(self, world: World, first_id: int, aims: Targets) -> None:
        super().__init__(world, first_id, world.plan.scaled(1000, 10))
        for n, puppet in enumerate(self.puppets):
            puppet.aim = aims.guessed[n % len(aims.guessed)]

    async def attempt(self) -> str:
        puppet = self.chance.choice(self.puppets)
        assert puppet.aim is not None
        if puppet.asked_at is None:
            return await self.ask(puppet, puppet.aim)
        try:
            return await self.enter(puppet, f"{self.chance.randrange(1_000_000):06}")
        except WrongCode as wrong:
            if wrong.tries_left == 0:
                puppet.asked_at = None
            raise
        except Refusal:
            puppet.asked_at = None
            raise


_STRATEGIES: tuple[Callable[[World, int, Targets], Attacker], ...] = (
    PumpsOneRange, PumpsManyRanges, PumpsAndEnters, BombsOneVictim, BurnsTheBudget, GuessesCodes,
)  # fmt: skip


def attackers(world: World, aims: Targets) -> Sequence[Attacker]:
    """Return one attacker of each kind; their Telegram ids lie apart."""
    return [strategy(world, 10_000_000 * n, aims) for n, strategy in enumerate(_STRATEGIES, start=1)]


def _in(a_range: Place, chance: Random) -> Place:
    beginning, country = a_range
    return a_number(beginning, chance), country
