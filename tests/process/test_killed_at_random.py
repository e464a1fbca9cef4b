"""F40: the process is killed at moments nobody chose while people register, and everybody finishes all the same."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bot.practice import LocalBotAPI
from tests.fakes.smsc import FakeSmsc, Fault
from tests.journeys.stage import Outside, Registrant
from tests.process.bot_process import BotProcess, forgive_harmless
from tests.process.conftest import bot_process
from tests.waiting import until

PEOPLE = 12
KILLS = 6
# A registration takes nine calls to Telegram at least; the kills are spread over the first seven of them.
CALLS_IN_WHICH_TO_KILL = PEOPLE * 7
SEED = 40
# Seconds. A dead bot is back after about four, and what was left in `sending` goes again a lease after it was taken.
PATIENCE = 4.0
READING = 0.3
PATIENCE_WITH_SMS = 15.0
GATEWAY_TIMEOUT, LEASE = 2, 4
EVERYBODY_FINISHES_WITHIN = 140

Act = Callable[[], Awaitable[object]]


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    """Telegram, and a carrier that would deliver the same text twice: its minute-long memory is switched off."""
    api, smsc = LocalBotAPI(), FakeSmsc(clock=itertools.count(0, 1000).__next__)
    await api.start()
    await smsc.start()
    yield Outside(api, smsc)
    await api.stop()
    await smsc.stop()


class Perseverance:
    """A person who does what the bot's last message asks for, and does it again when nothing comes of it."""

    def __init__(self, ira: Registrant, *, by_contact: bool) -> None:
        self.ira = ira
        self.acts = 0
        self.dawdles = False
        self._by_contact = by_contact
        self._last: Act = self._starts
        code_keys = ("code-prompt", "code-still-live", "code-resent", "code-none", "code-is-a-number")
        self._by_text: tuple[tuple[str, Act], ...] = (
            *((f"registration-{key}", self._gives_code) for key in code_keys),
            ("code-help", self._asks_for_another),
            ("registration-phone-prompt", self._gives_number),
            ("registration-terms-missing", self._goes_back_to_the_terms),
            ("registration-terms-prompt", self._accepts_terms),
            ("registration-email-prompt", lambda: ira.person.send(ira.email)),
        )

    @property
    def is_done(self) -> bool:
        return self.ira.was_told("registration-done")

    async def registers(self) -> None:
        while not self.is_done:
            self._last = self._asked_for() or self._last
            await self._last()
            self.acts += 1
            with contextlib.suppress(TimeoutError):
                await self.ira.person.wait_for(lambda _: self.is_done or self._asked_for() is not None, PATIENCE)
                # Whoever repeated something gets two answers: they read both before they go on.
                while not self.is_done:
                    await self.ira.person.wait_for("", READING)

    def _asked_for(self) -> Act | None:
        """What the newest message asks for; None for one that is followed by another, such as "number accepted"."""
        if not self.ira.heard():
            return self._starts
        return next((act for key, act in self._by_text if self.ira.said(self.ira.last(), key)), None)

    async def _starts(self) -> None:
        await self.ira.person.send("/start")

    async def _accepts_terms(self) -> None:
        shown = self.ira.person.answers[-1].labels
        ticked = self.ira.label("terms-consent-ticked") in shown
        await self.ira.person.press(self.ira.label("button-register" if ticked else "terms-consent"))

    async def _goes_back_to_the_terms(self) -> None:
        await self.ira.person.press(self.ira.label("button-continue"))

    async def _gives_number(self) -> None:
        if self._by_contact and self.ira.has_keyboard():
            await self.ira.person.tap(self.ira.label("button-share-contact"))
        else:
            await self.ira.person.send(self.ira.phone)

    async def _gives_code(self) -> None:
        smsc = self.ira.stage.smsc
        # Who is slow enough gets to see the repetition: once the code is typed there is nothing left to repeat.
        wanted, self.dawdles = 2 if self.dawdles else 1, False
        with contextlib.suppress(TimeoutError):
            await smsc.wait_for(self.ira.phone, wanted, PATIENCE_WITH_SMS)
        if smsc.inbox(self.ira.phone):
            await self.ira.person.send(smsc.code_for(self.ira.phone))
        else:
            await self.ira.person.press(self.ira.label("button-code-missing"))

    async def _asks_for_another(self) -> None:
        if self.ira.stage.smsc.inbox(self.ira.phone):
            await self._gives_code()
        else:
            await self.ira.person.press(self.ira.label("button-resend"))


class Killer:
    """Kills the process at random places of what happens, each time starting it again."""

    def __init__(
        self, bot: BotProcess, database: Path, outside: Outside, people: Sequence[Perseverance], chance: random.Random
    ) -> None:
        self.left_in_sending: set[tuple[Any, ...]] = set()
        self._bot = bot
        self._database = database
        self._api = outside.api
        self._smsc = outside.smsc
        self._people = {person.ira.phone: person for person in people}
        self._chance = chance

    async def kills(self) -> None:
        """Two deaths of each kind, in any order: at any call, right after an update was given, while a code is sent."""
        kinds = [self._any_time, self._an_update_was_given, self._a_code_is_being_sent] * (KILLS // 3)
        self._chance.shuffle(kinds)
        for calls, kind in zip(sorted(self._chance.sample(range(CALLS_IN_WHICH_TO_KILL), KILLS)), kinds, strict=True):
            await until(lambda calls=calls: self._calls() >= calls, EVERYBODY_FINISHES_WITHIN)  # type: ignore[misc]
            await kind()
            await self._bot.kill()
            self.left_in_sending |= set(rows(self._database, "SELECT id FROM sends WHERE state = 'sending'"))
            await self._bot.start()

    def _calls(self) -> int:
        return sum(call.method != "getUpdates" for call in self._api.calls)

    async def _any_time(self) -> None:
        await asyncio.sleep(self._chance.uniform(0, 0.05))

    async def _an_update_was_given(self) -> None:
        known = len(self._api.updates)
        await self._unless_too_long(lambda: len(self._api.updates) > known)
        # From "not even read" to "answered".
        await asyncio.sleep(self._chance.uniform(0, 0.02))

    async def _a_code_is_being_sent(self) -> None:
        """The carrier has it and has not answered yet: the worst moment for the ledger."""
        taken = len(self._smsc.messages)
        self._smsc.faults.append(Fault(takes=True, delay=GATEWAY_TIMEOUT / 2))
        await self._unless_too_long(lambda: len(self._smsc.messages) > taken)
        for sms in self._smsc.messages[taken:]:
            self._people[sms.number].dawdles = True

    async def _unless_too_long(self, happened: Callable[[], bool]) -> None:
        with contextlib.suppress(TimeoutError):
            await until(happened, 3)


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


async def test_f40_killed_at_random_moments_and_everybody_finishes_with_one_account(
    outside: Outside, transport: str, tmp_path: Path
) -> None:
    chance = random.Random(f"{SEED} {transport}")
    # RESEND_DELAYS stay as they are: a contact shared again later than that asks for another code, as a resend does.
    settings = {"GATEWAY_TIMEOUT": f"{GATEWAY_TIMEOUT}s", "OUTBOX_LEASE": f"{LEASE}s"}
    people = [
        Perseverance(outside.someone("ru" if number % 4 < 2 else "en"), by_contact=number % 2 == 0)
        for number in range(PEOPLE)
    ]
    database = tmp_path / "data" / "bot.db"
    async with bot_process(outside, transport, tmp_path, **settings) as bot:
        killer = Killer(bot, database, outside, people, chance)
        async with asyncio.timeout(EVERYBODY_FINISHES_WITHIN):
            await asyncio.gather(killer.kills(), *(person.registers() for person in people))
        # What a dead process had left in `sending` is taken up and ended too.
        await until(lambda: not rows(database, "SELECT id FROM outbox WHERE kind = 'code' AND status = 'new'"), 20)
        assert await bot.stop() < 5

    expected = {(ira.id, "confirmed", ira.email, ira.phone) for ira in (person.ira for person in people)}
    kept = rows(database, "SELECT telegram_id, status, email, phone FROM accounts")
    assert set(kept) == expected
    assert len(kept) == PEOPLE
    assert not rows(database, "SELECT id FROM sends WHERE state IN ('queued', 'sending')")
    assert not any(person.ira.was_told("apology") for person in people)

    inboxes = [outside.smsc.inbox(person.ira.phone) for person in people]
    assert all(1 <= len(inbox) <= 2 for inbox in inboxes), inboxes
    # A code repeated after a death is the same code, and none is repeated without one.
    resent = [person.ira.was_told("registration-code-resent") for person in people]
    assert all(len(set(inbox)) == 1 or asked for inbox, asked in zip(inboxes, resent, strict=True)), inboxes
    twice = sum(map(len, inboxes)) - PEOPLE
    assert twice <= len(killer.left_in_sending) + sum(resent)
    harmless = forgive_harmless(outside.api)
    print(
        f"{transport}: {KILLS} kills, {sum(person.acts for person in people)} acts of {PEOPLE} people,"
        f" {len(killer.left_in_sending)} codes left in sending, {twice} SMS twice,"
        f" refused harmlessly: {harmless or 'nothing'}"
    )
    assert outside.api.refusals == []
