"""What the tests of the courier share: its surroundings, with gateways that answer as a test wants.

A file that uses the fixture `world` imports it and names it in `__all__`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest
from aiogram import Bot
from aiogram.client.telegram import TelegramAPIServer
from pydantic import SecretStr

from bot.courier import Courier
from bot.outgoing import create_courier
from bot.practice import LocalBotAPI
from bot.product import product_of
from bot.session import Session
from bot.settings import Settings
from handlers.ports import Accepted, CodeMessage, Gateway, SendResult
from locales import Texts
from storage.accounts import Accounts
from storage.challenges import Challenges
from storage.database import Database
from storage.keys import Keys
from storage.limits import Window
from storage.models import Channel, SendState, TermsAcceptance, UpdateRef
from storage.outbox import Outbox
from storage.sending import FixedRoutes, Offer, Sending
from storage.sends import Sends
from tests.fakes.clock import MovableClock
from tests.waiting import until

NUMBER = "+79161234567"
TERMS = TermsAcceptance(version="1", language="ru", sentence_hash="0" * 64)


class Scripted:
    """A gateway that answers as it is told, and with `otherwise` when it is told nothing."""

    channels = frozenset({Channel.SMS})

    def __init__(self, name: str, *answers: SendResult, otherwise: SendResult | None = None) -> None:
        self.name = name
        self.answers = list(answers)
        self.otherwise: SendResult = otherwise or Accepted("1")
        self.sent: list[tuple[str, str, UUID]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, message: CodeMessage) -> SendResult:
        self.sent.append((message.number, message.text, message.send_id))
        await self.open.wait()
        return self.answers.pop(0) if self.answers else self.otherwise

    async def close(self) -> None:
        return None


class World:
    """A courier's surroundings: real SQL, a real Bot API over HTTP, gateways as the test wants them."""

    def __init__(self, database: Database, telegram: LocalBotAPI, bot: Bot) -> None:
        self.clock = MovableClock()
        self.settings = Settings(secret_key=SecretStr("k" * 32), telegram_chat_rate=Window(100, timedelta(seconds=1)))
        limits = self.settings.limits()
        keys = Keys(self.settings.secret())
        self.telegram = telegram
        self.bot = bot
        self.database = database
        self.accounts = Accounts(database, keys, limits, "1")
        offers = [Offer(name, Channel.SMS, 0) for name in ("broken", "first", "second", "smsc")]
        self.sending = Sending(FixedRoutes(tuple(offers)))
        self.challenges = Challenges(database, keys, limits, "1", self.sending)
        self.outbox = Outbox(database, limits)
        self.sends = Sends(database, keys, limits, self.sending)
        self.couriers: list[Courier] = []
        self.updates = 0

    def courier(self, *gateways: Gateway, owner: str = "one", sends: Sends | None = None) -> Courier:
        made = create_courier(
            self.settings,
            outbox=self.outbox,
            sends=sends or self.sends,
            accounts=self.accounts,
            challenges=self.challenges,
            gateways=gateways,
            bot=self.bot,
            texts=Texts(),
            product=product_of(self.settings, "practice_bot"),
            clock=self.clock,
            chance=random.Random(7),
            owner=owner,
            others={},
        )
        made.start()
        self.couriers.append(made)
        return made

    def update(self, telegram_id: int) -> UpdateRef:
        self.updates += 1
        return UpdateRef(telegram_id, self.updates)

    async def asks_for_a_code(self, telegram_id: int = 7, number: str = NUMBER, language: str = "ru") -> None:
        now = self.clock.now()
        await self.accounts.accept_terms(self.update(telegram_id), language, f"p{telegram_id}@ya.ru", TERMS, now)
        await self.challenges.ask_code(
            self.update(telegram_id),
            number,
            "RU",
            language,
            own_contact=False,
            contact_needs_code=True,
            claim=False,
            reveal=True,
            now=now,
        )

    def move(self, seconds: float) -> None:
        """Let time pass, and the couriers look at once instead of within a second."""
        self.clock.move(seconds)
        for courier in self.couriers:
            courier.wake()

    async def states(self, telegram_id: int = 7) -> list[SendState]:
        timeline = await self.challenges.timeline(telegram_id, now=self.clock.now())
        return [event.state for event in timeline.events]

    async def becomes(self, state: SendState, telegram_id: int = 7) -> None:
        async def holds() -> bool:
            return (await self.states(telegram_id))[-1] is state

        await eventually(holds)

    async def is_idle(self) -> None:
        async def holds() -> bool:
            return await self.outbox.next_due() is None

        await eventually(holds)


async def eventually(holds: Callable[[], Awaitable[bool]], timeout: float = 10) -> None:
    await until(holds, timeout)


@pytest.fixture
async def world(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A world on a fresh database; nobody in it waits a second for who looks by itself."""
    monkeypatch.setattr("bot.courier._POLL", 0.1)
    telegram = LocalBotAPI()
    await telegram.start()
    bot = Bot(telegram.token, session=Session(api=TelegramAPIServer.from_base(telegram.base_url)))
    made = World(database, telegram, bot)
    yield made
    for courier in made.couriers:
        await courier.stop()
    await bot.session.close()
    await telegram.stop()
