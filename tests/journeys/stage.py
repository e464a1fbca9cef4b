"""The stage of a journey: the whole bot wired as in production, with the outside world played over real HTTP."""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot.app import App, running
from bot.practice import LocalBotAPI, Person
from bot.settings import Settings
from locales import Texts
from tests.fakes.smsc import FakeSmsc
from tests.numbers import mobile
from tests.waiting import until

TEXTS = Texts()
_ids = itertools.count(1000)
_updates = itertools.count(700_000_001, 100_000)


# A Tuesday's noon amid a month: no hour or day at which the suite is run puts a midnight into a journey.
NOON = datetime(2026, 11, 17, 12, 0, tzinfo=UTC)
_TO_NOON = NOON - datetime.now(UTC)


class MovableClock:
    """Goes like the real one, from a noon on, plus what the test has moved it by."""

    def __init__(self, offset: timedelta = _TO_NOON) -> None:
        self.offset = offset

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def move(self, **by: float) -> None:
        """Move by a timedelta's keywords."""
        self.offset += timedelta(**by)


@dataclass
class Outside:
    """The world outside the bot: Telegram with its people, and the carrier."""

    api: LocalBotAPI
    smsc: FakeSmsc

    def someone(self, language: str = "ru", phone: str | None = None) -> Registrant:
        """Return a person nobody has met yet; the default number is Russian and their own."""
        number = next(_ids)
        person = self.api.person(number, first_name="Ира", language_code=language, phone=phone or mobile(number))
        return Registrant(self, person, language)

    def again(self, known: Registrant) -> Registrant:
        """Return somebody met on an earlier stage (the bot was restarted with other settings meanwhile)."""
        person = self.api.person(known.id, language_code=known.language, phone=known.phone)
        found = Registrant(self, person, known.language)
        found.email = known.email
        return found

    async def quiet(self) -> None:
        """Wait until what was sent is written down; where the bot runs elsewhere nobody can tell."""


@dataclass
class Stage(Outside):
    """Everything a journey needs to look at."""

    app: App
    clock: MovableClock
    settings: Settings

    async def quiet(self) -> None:
        """Wait until nothing is being sent: a row in hand would be taken up again once the clock is moved."""
        await until(lambda: not self.app.courier._running)

    def forgive(self, fragment: str) -> None:
        """Take one expected refusal out of the record; raises StopIteration when there was none."""
        self.api.calls.remove(next(call for call in self.api.refusals if fragment in call.description))


class Registrant:
    """One person in their chat, told as a journey: says, presses, reads."""

    def __init__(self, stage: Outside, person: Person, language: str) -> None:
        self.stage = stage
        self.person = person
        self.language = language
        self.phone = person.phone or ""
        self.email = f"person{person.id}@example.org"

    @property
    def id(self) -> int:
        return self.person.id

    async def says(self, text: str) -> None:
        """Send a text and wait until it is handled."""
        await self.person.send(text)
        await self.person.settled()

    async def presses(self, label: str) -> None:
        """Press the newest inline button of that label."""
        await self.person.press(label)
        await self.person.settled()

    async def taps(self, label: str) -> None:
        """Tap a key of the reply keyboard."""
        await self.person.tap(label)
        await self.person.settled()

    async def shares_contact(self, **options: Any) -> None:
        """Share a contact, the own one unless told otherwise."""
        await self.person.share_contact(**options)
        await self.person.settled()

    def has_keyboard(self) -> bool:
        """Whether a reply keyboard is on their screen."""
        return self.person.reply_keyboard is not None

    def heard(self) -> list[str]:
        """What the bot has said so far, as it stands now, oldest first."""
        return [message.text for message in self.person.chat if message.from_bot]

    def last(self) -> str:
        """The bot's newest message."""
        return self.heard()[-1]

    def label(self, key: str, **values: Any) -> str:
        """A button's label in the person's language."""
        return TEXTS.plain(self.language, key, **values)

    def expects(self, key: str, n: int | None = None, /, **values: Any) -> None:
        """Assert that the bot's newest message says this text (its fixed parts, in order, where values are missing)."""
        assert self.said(self.last(), key, n, **values), (key, self.heard()[-2:])

    def was_told(self, key: str, n: int | None = None, /, **values: Any) -> bool:
        """Tell whether any message said this text."""
        return any(self.said(text, key, n, **values) for text in self.heard())

    def said(self, text: str, key: str, n: int | None = None, /, **values: Any) -> bool:
        """Tell whether `text` contains the text of `key`; a value not given matches anything."""
        return re.search(pattern(self.language, key, n, **values), text, re.DOTALL) is not None

    async def is_told(self, key: str, /, **values: Any) -> None:
        """Wait until a message says this text: for what the bot starts itself."""
        await self.stage.api.until(lambda: self.was_told(key, **values), 10)

    async def code(self, number: str | None = None, count: int = 1) -> str:
        """Wait for the count-th SMS, and until the bot has written down that it left; read its code."""
        await self.stage.smsc.wait_for(number or self.phone, count)
        await self.stage.quiet()
        return self.stage.smsc.code_for(number or self.phone)

    async def reaches_terms(self) -> None:
        """Start, and give the address."""
        await self.says("/start")
        await self.says(self.email)
        self.expects("registration-terms-prompt")

    async def reaches_phone(self) -> None:
        """Start, give the address, accept the terms."""
        await self.reaches_terms()
        await self.presses(self.label("terms-consent"))
        await self.presses(self.label("button-register"))
        self.expects("registration-phone-prompt")

    async def reaches_code(self) -> None:
        """Start, and go as far as the code; the number is typed with its country code."""
        await self.reaches_phone()
        await self.says(self.phone)
        self.expects("registration-code-prompt")

    async def registers(self) -> None:
        """The whole way."""
        await self.reaches_code()
        await self.finishes()

    async def finishes(self, count: int = 1) -> None:
        """From the code step to the end."""
        await self.says(await self.code(count=count))
        self.expects("registration-done")


def pattern(language: str, key: str, n: int | None = None, /, **values: Any) -> str:
    """Return a regular expression for a text as people see it: without tags, values not given match anything."""
    hole = "\x00"
    names = _Holes(hole, values if n is None else {"n": n, **values})
    shown = TEXTS.template(language, key, n).format_map(names)
    return re.escape(re.sub(r"<[^>]+>", "", shown)).replace(re.escape(hole), ".*?")


class _Holes(dict[str, Any]):
    def __init__(self, hole: str, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.hole = hole

    def __missing__(self, key: str) -> str:
        return self.hole


def settings_for(
    api: LocalBotAPI, smsc: FakeSmsc, database_url: str, redis_url: str, folder: Path, **other: Any
) -> Settings:
    """Return settings as an operator would write them, for the local servers."""
    values: dict[str, Any] = {
        "bot_token": api.token, "telegram_api_base": api.base_url, "database_url": database_url,
        "redis_url": redis_url, "data_dir": folder, "secret_key": "a secret of the journeys, long enough",
        "http_port": 0, "sms_gateways": "smsc", "smsc_base_url": smsc.base_url, "smsc_login": smsc.login,
        "smsc_password": smsc.password, "daily_budget": 1_000_000, "product_name": "Smarty CRM",
    }  # fmt: skip
    return Settings(**{**values, **other})


@asynccontextmanager
async def on_stage(
    database_url: str, redis_url: str, folder: Path, clock: MovableClock | None = None, /, **other: Any
) -> AsyncIterator[Stage]:
    """Run the bot against a local Bot API server and a local SMSC; who else must know the time gives the `clock`."""
    clock = clock or MovableClock()
    # A bot that was restarted must not take the new server's updates for those it has seen.
    api, smsc = LocalBotAPI(first_update_id=next(_updates)), FakeSmsc()
    await api.start()
    await smsc.start()
    settings = settings_for(api, smsc, database_url, redis_url, folder, **other)
    try:
        async with running(settings, clock=clock) as app:
            yield Stage(api, smsc, app, clock, settings)
    finally:
        await api.stop()
        await smsc.stop()
    assert api.refusals == [], "Telegram refused a call"
