from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from aiogram import Bot
from aiogram.client.telegram import TelegramAPIServer
from aiogram.methods import SendMessage
from pydantic import SecretStr

from bot import courier as courier_module
from bot.code_delivery import delay
from bot.courier import Courier
from bot.gateways.smsc import Smsc
from bot.outgoing import create_courier
from bot.pace import Pace
from bot.practice import LocalBotAPI
from bot.product import product_of
from bot.schedule import OutboxSchedule
from bot.session import Session
from bot.settings import Settings
from handlers.ports import (
    Accepted,
    CodeMessage,
    Gateway,
    InvalidNumber,
    Misconfigured,
    Refused,
    SendResult,
    Unavailable,
    Unknown,
)
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
from storage.tables import outbox
from tests.fakes.clock import MovableClock
from tests.fakes.smsc import FakeSmsc
from tests.sql import connected
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


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits a second for who looks by itself."""
    monkeypatch.setattr("bot.courier._POLL", 0.1)


@pytest.fixture
async def telegram() -> AsyncIterator[LocalBotAPI]:
    server = LocalBotAPI()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def world(database: Database, telegram: LocalBotAPI) -> AsyncIterator[World]:
    bot = Bot(telegram.token, session=Session(api=TelegramAPIServer.from_base(telegram.base_url)))
    made = World(database, telegram, bot)
    yield made
    for courier in made.couriers:
        await courier.stop()
    await bot.session.close()


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier_module, "_GRACE", 0.1)


async def test_a_code_goes_out_once_in_the_persons_language(world: World) -> None:
    gateway = Scripted("first")
    courier = world.courier(gateway)
    await world.asks_for_a_code(7)
    await world.asks_for_a_code(8, "+79161234568", language="en")
    courier.wake()
    await world.becomes(SendState.ACCEPTED)
    await world.is_idle()
    (first, second) = sorted(gateway.sent)
    assert (first[0], second[0]) == (NUMBER, "+79161234568")
    assert first[1][:6].isdecimal()
    assert first[1].endswith("код CRM")
    assert second[1].endswith("is your CRM code")
    progress = await world.challenges.try_code(world.update(7), first[1][:6], world.clock.now())
    assert progress.confirmed_now


async def test_it_finds_rows_nobody_woke_it_for(world: World) -> None:
    world.courier(Scripted("first"))
    await world.asks_for_a_code()
    await world.becomes(SendState.ACCEPTED)


async def test_smsc_over_http_delivers_the_right_code(world: World) -> None:
    server = FakeSmsc()
    await server.start()
    login = {"login": server.login, "psw": server.password}
    gateway = Smsc(server.base_url, login, None, timedelta(seconds=5), world.clock)
    world.courier(gateway)
    await world.asks_for_a_code()
    await server.wait_for(NUMBER)
    progress = await world.challenges.try_code(world.update(7), server.code_for(NUMBER), world.clock.now())
    assert progress.confirmed_now
    await world.is_idle()
    await gateway.close()
    await server.stop()


@pytest.mark.parametrize("failure", [Unavailable("HTTP 503"), Misconfigured("error_code 2: see SMSC_LOGIN")])
async def test_f06_what_the_first_gateway_does_not_take_the_next_does_at_once(
    world: World, failure: SendResult, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = Scripted("first", failure), Scripted("second")
    world.courier(first, second)
    await world.asks_for_a_code()
    await world.becomes(SendState.ACCEPTED)
    assert (len(first.sent), len(second.sent)) == (1, 1)
    assert first.sent == second.sent
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == isinstance(failure, Misconfigured)
    assert not errors or "SMSC_LOGIN" in errors[0]


async def test_f03_all_unavailable_is_tried_five_times_and_then_told(world: World) -> None:
    person = world.telegram.person(7, language_code="ru")
    await person.send("/start")
    gateway = Scripted("first", otherwise=Unavailable("HTTP 503"))
    courier = world.courier(gateway)
    await world.asks_for_a_code()
    for tries in range(1, 6):
        courier.wake()

        async def tried(tries: int = tries) -> bool:
            return len(gateway.sent) == tries and (await world.states())[-1] in (SendState.QUEUED, SendState.FAILED)

        await eventually(tried)
        world.move(16)
    await world.becomes(SendState.FAILED)
    await person.wait_for("Код отправить не удалось")
    await world.is_idle()
    assert len({text for _, text, _ in gateway.sent}) == 1
    # It gave its allowance back: three more may leave within the hour.
    for _ in range(3):
        world.move(601)
        assert (await world.challenges.resend(world.update(7), "ru", world.clock.now())).queued


async def test_a_vendors_pause_is_kept_and_no_code_leaves_after_it_expired(world: World) -> None:
    person = world.telegram.person(7, language_code="ru")
    await person.send("/start")
    gateway = Scripted("first", Unavailable("HTTP 429", 120.0), Unavailable("HTTP 429", 900.0))
    world.courier(gateway)
    await world.asks_for_a_code()

    async def waits() -> bool:
        due = await world.outbox.next_due()
        return due is not None and due == world.clock.now() + timedelta(seconds=120)

    await eventually(waits)
    world.move(120)
    await person.wait_for("Код отправить не удалось")
    assert (await world.states()) == [SendState.FAILED]
    assert len(gateway.sent) == 2


@pytest.mark.parametrize("answer", [InvalidNumber("error_code 7"), Refused("error_code 6")])
async def test_f05_a_number_that_takes_no_sms_is_told(world: World, answer: SendResult) -> None:
    person = world.telegram.person(7, language_code="ru")
    await person.send("/start")
    first, second = Scripted("first", answer), Scripted("second")
    world.courier(first, second)
    await world.asks_for_a_code()
    await person.wait_for("На этот номер SMS отправить нельзя")
    assert await world.states() == [SendState.FAILED]
    assert second.sent == []


async def test_f02_unknown_is_not_repeated_and_the_code_stays_right(world: World) -> None:
    person = world.telegram.person(7, language_code="ru")
    await person.send("/start")
    gateway = Scripted("first", Unknown("timeout"))
    courier = world.courier(gateway, Scripted("second"))
    await world.asks_for_a_code()
    await person.wait_for("код мог уйти")
    await world.is_idle()
    world.move(61)
    courier.wake()
    assert await world.states() == [SendState.UNKNOWN]
    assert len(gateway.sent) == 1
    code = gateway.sent[0][1][:6]
    assert (await world.challenges.try_code(world.update(7), code, world.clock.now())).confirmed_now


async def test_a_fault_in_a_gateway_is_unknown(world: World) -> None:
    class Broken(Scripted):
        async def send(self, message: CodeMessage) -> SendResult:
            raise RuntimeError("a bug")

    world.courier(Broken("broken"), Scripted("second"))
    await world.asks_for_a_code()
    await world.becomes(SendState.UNKNOWN)


@pytest.mark.usefixtures("short_grace")
async def test_f21_a_call_cut_by_the_stop_is_repeated_once_after_the_lease_with_the_same_code(world: World) -> None:
    stuck, next_one, third = Scripted("first"), Scripted("first"), Scripted("first")
    stuck.open.clear()
    next_one.open.clear()
    dying = world.courier(stuck)
    await world.asks_for_a_code()
    await eventually(lambda: truth(len(stuck.sent) == 1))
    await dying.stop()
    assert await world.states() == [SendState.SENDING]

    assert await world.outbox.take("two", world.clock.now()) == [], "the lease has not ended"
    second = world.courier(next_one, owner="two")
    world.move(61)
    await eventually(lambda: truth(next_one.sent == stuck.sent))
    await second.stop()

    world.move(61)
    world.courier(third, owner="three")
    await world.becomes(SendState.UNKNOWN)
    assert third.sent == []


async def truth(value: bool) -> bool:
    return value


async def test_stop_lets_an_open_call_end(world: World) -> None:
    gateway = Scripted("first")
    gateway.open.clear()
    courier = world.courier(gateway)
    await world.asks_for_a_code()
    await eventually(lambda: truth(len(gateway.sent) == 1))
    stopping = asyncio.create_task(courier.stop())
    await eventually(lambda: truth(courier._stopping))
    gateway.open.set()
    await stopping
    assert await world.states() == [SendState.ACCEPTED]


async def test_f22_rows_of_a_killed_worker_are_taken_over_after_its_lease(world: World) -> None:
    await world.asks_for_a_code()
    assert len(await world.outbox.take("killed", world.clock.now())) == 1
    gateway = Scripted("first")
    courier = world.courier(gateway)
    courier.wake()
    world.move(61)
    await world.becomes(SendState.ACCEPTED)
    assert len(gateway.sent) == 1


async def test_f23_two_couriers_one_queue_each_code_once(world: World) -> None:
    gateway = Scripted("first")
    people = range(100, 140)
    for person in people:
        await world.asks_for_a_code(person, f"+7916{person}0000")
    couriers = [world.courier(gateway, owner=name) for name in ("one", "two")]
    for courier in couriers:
        courier.wake()
    await world.is_idle()
    assert sorted(number for number, _, _ in gateway.sent) == [f"+7916{person}0000" for person in people]


async def test_what_became_of_a_send_is_written_when_the_database_is_back(world: World) -> None:
    class Away(Sends):
        failures = 2

        async def settle(self, *args: Any, **kwargs: Any) -> bool:
            if self.failures:
                self.failures -= 1
                raise ConnectionRefusedError("the database is away")
            return await super().settle(*args, **kwargs)

    limits = world.settings.limits()
    away = Away(world.sends._database, Keys(world.settings.secret()), limits, world.sending)
    gateway = Scripted("first")
    world.courier(gateway, sends=away)
    await world.asks_for_a_code()
    await world.becomes(SendState.ACCEPTED)
    assert len(gateway.sent) == 1


async def test_a_notice_is_said_in_the_persons_language_and_leaves_no_reply_keyboard(world: World) -> None:
    person = world.telegram.person(9, language_code="en")
    await person.send("/start")
    until = world.clock.now() + timedelta(hours=4)
    await world.outbox.notice(9, "en", "notice-reminder", world.clock.now(), {"until": until.isoformat()})
    world.courier(Scripted("first"))
    message = await person.wait_for("19:00")
    assert "/start" in message.text
    assert "None" not in message.text
    assert person.reply_keyboard is None
    await world.is_idle()


async def test_f35_who_blocked_the_bot_is_remembered_and_the_row_is_done(world: World) -> None:
    person = world.telegram.person(7)
    await person.send("/start")
    await person.block()
    await world.asks_for_a_code(7)
    await world.outbox.notice(7, "ru", "notice-expired", world.clock.now())
    world.courier(Scripted("first"))
    await world.is_idle()
    assert person.answers == []


async def test_f34_flood_control_is_obeyed(world: World) -> None:
    person = world.telegram.person(7, language_code="ru")
    await person.send("/start")
    world.telegram.flood("sendMessage", times=1, retry_after=30)
    await world.outbox.notice(7, "ru", "notice-expired", world.clock.now())
    world.courier(Scripted("first"))

    async def waits() -> bool:
        return await world.outbox.next_due() == world.clock.now() + timedelta(seconds=30)

    await eventually(waits)
    assert person.answers == []
    world.move(30)
    await person.wait_for("Номер телефона не был подтверждён")


async def test_telegram_away_puts_a_notice_off_and_loses_nothing(world: World) -> None:
    person = world.telegram.person(7, language_code="ru")
    await person.send("/start")
    world.telegram.fail("sendMessage", times=3, status=502)
    await world.outbox.notice(7, "ru", "notice-expired", world.clock.now())
    world.courier(Scripted("first"))
    for tries in range(1, 4):

        async def put_off(tries: int = tries) -> bool:
            async with connected(world.database) as connection:
                row = (await connection.execute(sa.select(outbox.c.attempts, outbox.c.lease_until))).one()
            return row.attempts == tries and row.lease_until is None

        await eventually(put_off)
        world.move(60)
    await person.wait_for("Номер телефона не был подтверждён")
    await world.is_idle()


async def test_a_notice_nobody_can_read_is_given_up_and_holds_nobody_up(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    person = world.telegram.person(7, language_code="ru")
    await person.send("/start")
    await world.outbox.notice(7, "ru", "notice-nobody-wrote", world.clock.now())
    await world.outbox.notice(12345, "ru", "notice-expired", world.clock.now())
    await world.outbox.notice(7, "ru", "notice-expired", world.clock.now())
    world.courier(Scripted("first"))
    await person.wait_for("Номер телефона не был подтверждён")

    async def given_up() -> bool:
        # Time passes for as long as a try is left: how long each try takes is the machine's affair.
        world.move(11)
        return await world.outbox.next_due() is None

    await eventually(given_up)
    assert any("could not be delivered" in record.getMessage() for record in caplog.records)


async def test_the_help_is_brought_up_to_date_once_a_code_may_be_asked_for(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    person = world.telegram.person(7, language_code="ru")
    await person.send("/start")
    await world.asks_for_a_code()
    world.courier(Scripted("first"))
    await world.is_idle()
    schedule = OutboxSchedule(world.bot, world.outbox)
    shown = await schedule.say_now(SendMessage(chat_id=7, text="wait"))
    timeline = await world.challenges.timeline(7, world.clock.now())
    assert timeline.challenge_id is not None
    for message_id in (shown, 99_999):
        await schedule.edit_help(world.update(7), message_id, timeline.challenge_id, timeline.resend_at)
    assert person.answers[-1].text == "wait"
    world.move(61)
    await person.wait_for("Новый код можно запросить уже сейчас")
    assert "код отправлен" in person.answers[-1].text
    assert "Отправить код ещё раз" in person.answers[-1].labels
    await world.is_idle()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_the_help_about_an_earlier_number_is_left_alone(world: World) -> None:
    person = world.telegram.person(7, language_code="ru")
    await person.send("/start")
    await world.asks_for_a_code()
    schedule = OutboxSchedule(world.bot, world.outbox)
    shown = await schedule.say_now(SendMessage(chat_id=7, text="wait"))
    timeline = await world.challenges.timeline(7, world.clock.now())
    assert timeline.challenge_id is not None
    await schedule.edit_help(world.update(7), shown, timeline.challenge_id, timeline.resend_at)
    await world.asks_for_a_code(number="+79035550011")
    world.courier(Scripted("first"))
    world.move(61)
    await world.is_idle()
    assert person.answers[-1].text == "wait"


def test_delays_double_from_1_to_16_seconds_with_jitter() -> None:
    chance = random.Random(1)
    for attempts, (low, high) in {1: (1, 1.25), 2: (1.5, 2.5), 3: (3, 5), 4: (6, 10), 5: (12, 16), 9: (16, 16)}.items():
        drawn = [delay(attempts, chance) for _ in range(200)]
        assert low <= min(drawn)
        assert max(drawn) <= high
        assert attempts == 9 or len(set(drawn)) > 10


async def test_the_pace_holds_for_all_and_for_one_chat() -> None:
    loop = asyncio.get_running_loop()
    pace = Pace(Window(50, timedelta(seconds=1)), Window(10, timedelta(seconds=1)))
    began = loop.time()
    arrived: dict[int, list[float]] = {}

    async def go(chat: int) -> None:
        await pace.wait(chat)
        arrived.setdefault(chat, []).append(loop.time() - began)

    await asyncio.gather(*(go(chat) for chat in [1, 1, 1, *range(2, 12)]))
    first = arrived[1]
    assert first[1] - first[0] >= 0.09
    assert first[2] - first[1] >= 0.09
    others = [arrived[chat][0] for chat in range(2, 12)]
    assert max(others) >= 0.18
    assert max(others) < first[2] + 0.2
