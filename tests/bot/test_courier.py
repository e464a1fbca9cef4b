"""The courier's codes: each answer of a gateway, and what becomes of the code and what its person is told."""

from __future__ import annotations

import logging
import random
from datetime import timedelta

import pytest

from bot.code_delivery import delay
from bot.gateways.smsc import Smsc
from handlers.ports import CodeMessage, InvalidNumber, Misconfigured, Refused, SendResult, Unavailable, Unknown
from storage.models import SendState
from tests.bot.courier_world import NUMBER, Scripted, World, eventually, world
from tests.fakes.smsc import FakeSmsc

__all__ = ["world"]


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


def test_delays_double_from_1_to_16_seconds_with_jitter() -> None:
    chance = random.Random(1)
    for attempts, (low, high) in {1: (1, 1.25), 2: (1.5, 2.5), 3: (3, 5), 4: (6, 10), 5: (12, 16), 9: (16, 16)}.items():
        drawn = [delay(attempts, chance) for _ in range(200)]
        assert low <= min(drawn)
        assert max(drawn) <= high
        assert attempts == 9 or len(set(drawn)) > 10
