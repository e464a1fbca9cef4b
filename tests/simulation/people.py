"""Honest people: they read, type, slip, wait, ask for another code, share their contact when told to, or give up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from storage.errors import (
    CodeExpired,
    Limit,
    LimitReached,
    NothingIsSent,
    Refusal,
    ResendTooEarly,
    TooManyTries,
    WrongCode,
)
from storage.models import CodeSent, UpdateRef
from tests.simulation.plan import COUNTRIES, Plan, a_number
from tests.simulation.targets import Targets
from tests.simulation.world import LANGUAGE, World

BY_CODE_TYPED, BY_CONTACT = "by a code", "by the own contact alone"
GAVE_UP_WAITING = "waited for codes in vain"
COLLEAGUES = "colleagues in one range"

# After these a code is not waited for any longer.
_NO_USE = frozenset({"notice-code-failed", "notice-code-undeliverable", "notice-code-undelivered"})
# A limit that opens within so many seconds is waited for, once.
_WAITS_OUT = 20 * 60


@dataclass(frozen=True)
class Nature:
    """What one person has and is like; seconds."""

    telegram_id: int
    number: str
    country: str
    group: str
    comes_at: float
    contact_first: bool
    contact_when_told: bool
    mistypes_number: bool
    mistypes_code: bool
    patience: float
    asks_again: int


@dataclass
class Story:
    """What became of one person: `ending` is one of the words above, or the limit that made them give up."""

    nature: Nature
    ending: str = ""
    ended_at: float = 0.0
    refused: list[str] = field(default_factory=list)

    @property
    def registered(self) -> bool:
        return self.ending in (BY_CODE_TYPED, BY_CONTACT)


def crowd(plan: Plan, aims: Targets) -> list[Nature]:
    """Return who comes: most from anywhere, some from where attackers are at work, each with a number of their own."""
    chance = plan.chance("crowd")
    shared = {
        COLLEAGUES: (150, (aims.company,)),
        "in the one pumped range": (50, (aims.one_range,)),
        "in the many pumped ranges": (200, aims.many_ranges),
    }
    where = {number: (country, "victims") for number, country in aims.victims}
    for group, (of_ten_thousand, ranges) in shared.items():
        for _ in range(plan.scaled(of_ten_thousand)):
            a_range, country = chance.choice(ranges)
            where.setdefault(a_number(a_range, chance), (country, group))
    weights = [country.share for country in COUNTRIES]
    while len(where) < plan.people:
        (home,) = chance.choices(COUNTRIES, weights)
        where.setdefault(a_number(home.a_range(chance), chance), (home.code, "elsewhere"))
    return [_nature(plan, n, number, *place) for n, (number, place) in enumerate(where.items())]


def _nature(plan: Plan, n: int, number: str, country: str, group: str) -> Nature:
    chance = plan.chance(f"person {n}")
    # Few at night, most in the afternoon; colleagues all after one announcement.
    comes = chance.triangular(0, 1, 0.6) if group != COLLEAGUES else 0.4 + chance.expovariate(24)
    return Nature(
        telegram_id=1_000_000 + n,
        number=number,
        country=country,
        group=group,
        comes_at=min(comes, 1.0) * plan.seconds,
        contact_first=chance.random() < 0.3,
        contact_when_told=chance.random() < 0.8,
        mistypes_number=chance.random() < 0.02,
        mistypes_code=chance.random() < 0.06,
        patience=chance.uniform(50, 150),
        asks_again=chance.choice((1, 2, 2, 3)),
    )


class GivesUp(Exception):
    """With the reason as its text."""


class Registered(Exception):
    """With the way as its text."""


class Person:
    """One person on the way from the terms to a confirmed account."""

    def __init__(self, world: World, nature: Nature) -> None:
        self.story = Story(nature)
        self._nature = nature
        self._world = world
        self._chance = world.plan.chance(f"moods {nature.telegram_id}")
        self._inbox: asyncio.Queue[str] = asyncio.Queue()
        self._waited_out = False

    async def register(self) -> Story:
        """Come, register or give up."""
        await asyncio.sleep(self._nature.comes_at)
        self._world.carrier.phones[self._nature.number] = self._inbox.put_nowait
        self._world.chats.inboxes[self._nature.telegram_id] = self._inbox.put_nowait
        try:
            await self._go()
        except (Registered, GivesUp) as end:
            self.story.ending = str(end)
        except Refusal as refusal:
            self.story.ending = f"stuck: {type(refusal).__name__}"
        self.story.ended_at = self._world.loop.time()
        del self._world.chats.inboxes[self._nature.telegram_id]
        return self.story

    async def _go(self) -> None:
        await self._world.accept_terms(self._nature.telegram_id)
        await self._pause(10, 60)
        if self._nature.mistypes_number and not self._nature.contact_first:
            last = self._nature.number[-1]
            await self._ask(self._nature.number[:-1] + str((int(last) + 1) % 10))
            await self._pause(20, 60)
        await self._ask(self._nature.number, own_contact=self._nature.contact_first)
        for _ in range(self._nature.asks_again):
            await self._wait_and_type(self._nature.patience)
            await self._ask_again()
        await self._wait_and_type(2 * self._nature.patience)
        raise GivesUp(GAVE_UP_WAITING)

    async def _ask(self, number: str, *, own_contact: bool = False) -> None:
        try:
            result = await self._world.challenges.ask_code(
                self._update(), number, self._nature.country, LANGUAGE, own_contact=own_contact,
                contact_needs_code=True, claim=False, reveal=True, now=self._world.clock.now(),
            )  # fmt: skip
        except (LimitReached, NothingIsSent) as refusal:
            await self._refused(refusal)
            return
        if not isinstance(result, CodeSent):
            raise Registered(BY_CONTACT)
        self._world.courier.wake()

    async def _ask_again(self) -> None:
        """Press "send again", at the moment it works."""
        for _ in range(3):
            try:
                await self._world.challenges.resend(self._update(), LANGUAGE, self._world.clock.now())
            except ResendTooEarly as early:
                # What comes meanwhile is typed.
                await self._wait_and_type(self._until(early.retry_at.timestamp()) + self._chance.uniform(1, 10))
            except (LimitReached, NothingIsSent) as refusal:
                await self._refused(refusal)
                return
            else:
                self._world.courier.wake()
                return

    async def _refused(self, refusal: LimitReached | NothingIsSent) -> None:
        """Do what the refusal advises: share the own contact, or wait; else give up."""
        self.story.refused.append(refusal.limit.value)
        if refusal.limit is Limit.SENDS_PER_CHALLENGE:
            # Three codes were sent; one may still come.
            await self._wait_and_type(self._nature.patience)
        if self._nature.contact_when_told and refusal.limit is not Limit.WRONG_CODES:
            await self._pause(5, 30)
            await self._ask(self._nature.number, own_contact=True)
            return
        wait = self._until(refusal.retry_at.timestamp()) if isinstance(refusal, LimitReached) else _WAITS_OUT
        if self._waited_out or wait >= _WAITS_OUT:
            raise GivesUp(refusal.limit.value)
        self._waited_out = True
        await self._wait_and_type(wait + self._chance.uniform(1, 30))
        await self._ask(self._nature.number)

    async def _wait_and_type(self, seconds: float) -> None:
        """Wait so long for a code and type what comes; return earlier when the bot says that none will come."""
        ends = self._world.loop.time() + seconds
        while (left := ends - self._world.loop.time()) > 0:
            try:
                async with asyncio.timeout(left):
                    heard = await self._inbox.get()
            except TimeoutError:
                return
            if heard in _NO_USE:
                await self._pause(5, 30)
                return
            if heard.isdigit():
                await self._pause(5, 30)
                await self._type(heard)

    async def _type(self, code: str) -> None:
        if self._nature.mistypes_code and self._chance.random() < 0.5:
            await self._try(f"{(int(code) + 7) % 1_000_000:06}")
            await self._pause(5, 15)
        await self._try(code)

    async def _try(self, code: str) -> None:
        try:
            progress = await self._world.challenges.try_code(self._update(), code, self._world.clock.now())
        except (WrongCode, CodeExpired, TooManyTries):
            return
        except LimitReached as refusal:
            self.story.refused.append(refusal.limit.value)
            raise GivesUp(refusal.limit.value) from refusal
        raise Registered(BY_CODE_TYPED if progress.confirmed_now else "stuck: not confirmed")

    def _update(self) -> UpdateRef:
        return self._world.update(self._nature.telegram_id)

    def _until(self, moment: float) -> float:
        return max(0.0, moment - self._world.clock.now().timestamp())

    async def _pause(self, least: float, most: float) -> None:
        await asyncio.sleep(self._chance.uniform(least, most))
