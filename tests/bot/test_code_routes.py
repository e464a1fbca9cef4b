"""The way of one code through the gateways: which is asked, which is left alone, and what is never repeated."""

from __future__ import annotations

import logging
import random
from datetime import timedelta
from uuid import UUID

import pytest

from bot.code_delivery import CodeDelivery, FallBack
from bot.resting import Resting
from handlers.ports import (
    Accepted,
    CodeMessage,
    InvalidNumber,
    Misconfigured,
    Refused,
    SendResult,
    Unavailable,
    Unknown,
)
from locales import Texts
from storage.database import Database
from storage.limits import Window
from storage.models import Channel, CodeSent, Progress, SendState
from storage.sending import FixedRoutes, Offer
from storage.sends import Dispatch
from storage.tables import outbox, sends
from tests.sql import connected
from tests.storage.crowd import enters, left, people, refusals
from tests.storage.world import DAY, NUMBER, Actor, World

REST = timedelta(seconds=30)
FIRST, SECOND = Offer("first", Channel.SMS, 100), Offer("second", Channel.SMS, 300)
TELEGRAM = Offer("telegram", Channel.TELEGRAM, 10)


class Scripted:
    """A gateway that answers as it is told, and takes everything when it is told nothing."""

    def __init__(self, name: str, *answers: SendResult, channel: Channel = Channel.SMS) -> None:
        self.name = name
        self.channels = frozenset({channel})
        self.answers = list(answers)
        self.asked: list[CodeMessage] = []

    async def send(self, message: CodeMessage) -> SendResult:
        self.asked.append(message)
        return self.answers.pop(0) if self.answers else Accepted(f"{self.name}-{len(self.asked)}")

    async def close(self) -> None:
        return None


class Process:
    """One process: what it knows of resting gateways is its own."""

    def __init__(self, world: World, *gateways: Scripted, owner: str = "one", tries: int = 5) -> None:
        self.world = world
        self.owner = owner
        self.woken = 0
        self.codes = CodeDelivery(
            world.outbox, world.sends, gateways, Resting(REST), Texts(), world.clock, random.Random(7),
            product="CRM", tries=tries, owner=owner,
        )  # fmt: skip
        self.fall_back = FallBack(world.outbox, world.challenges, world.clock, self.wake, owner)

    def wake(self) -> None:
        self.woken += 1

    async def looks(self) -> int:
        """Deliver what is due; return how many rows that were."""
        items = await self.world.outbox.take(self.owner, self.world.now, batch=100)
        for item in items:
            if item.kind == "code":
                await self.codes.deliver(item)
            elif item.kind == "fall_back":
                await self.fall_back.deliver(item)
        return sum(item.kind in ("code", "fall_back") for item in items)


@pytest.fixture
def world(database: Database) -> World:
    return World(database).with_sending(routes=FixedRoutes((FIRST, SECOND)))


async def asks(world: World, telegram_id: int = 1, number: str = "") -> Actor:
    (ira,) = await people(world, [telegram_id])
    assert isinstance(await ira.asks(number or f"+7{9_030_000_000 + telegram_id * 10_007}"), CodeSent)
    return ira


async def states(world: World) -> list[str]:
    return [row.state for row in sorted(await world.rows(sends), key=lambda row: row.at)]


@pytest.mark.parametrize(
    ("answer", "is_passed_on", "becomes", "told"),
    [
        (Accepted("1", 120), False, "accepted", None),
        (Unavailable("HTTP 503"), True, "accepted", None),
        (Misconfigured("see SMSC_LOGIN"), True, "accepted", None),
        (Unknown("timeout"), False, "unknown", "notice-code-unknown"),
        (InvalidNumber("no such number"), False, "failed", "notice-code-undeliverable"),
        (Refused("opt-out"), False, "failed", "notice-code-undeliverable"),
    ],
)
async def test_f02_f05_f06_the_class_of_the_answer_decides(
    world: World, answer: SendResult, is_passed_on: bool, becomes: str, told: str | None
) -> None:
    first, second = Scripted("first", answer), Scripted("second")
    ira = await asks(world)
    process = Process(world, first, second)
    await process.looks()
    assert (len(first.asked), len(second.asked)) == (1, int(is_passed_on))
    (row,) = await world.rows(sends)
    assert (row.state, row.gateway) == (becomes, "second" if is_passed_on else "first")
    assert row.price == {"accepted": 300 if is_passed_on else 120, "unknown": 100, "failed": 0}[becomes]
    assert await world.notices() == ([] if told is None else [(1, told)])
    world.clock.move(minutes=2)
    assert await process.looks() == 0
    if is_passed_on:
        assert [(one.send_id, one.code) for one in first.asked] == [(two.send_id, two.code) for two in second.asked]
    # Whatever it was: the next code gets through.
    assert (await ira.resends()).queued
    await process.looks()
    await enters(ira)


async def test_f06_a_gateway_that_failed_is_asked_last_until_it_has_rested(world: World) -> None:
    first, second = Scripted("first", Unavailable("HTTP 503")), Scripted("second")
    process = Process(world, first, second)
    await asks(world, 1)
    await process.looks()
    assert (len(first.asked), len(second.asked)) == (1, 1)
    world.clock.moment += REST - timedelta(seconds=1)
    await asks(world, 2)
    await process.looks()
    assert (len(first.asked), len(second.asked)) == (1, 2)
    world.clock.move(seconds=1)
    ira = await asks(world, 3)
    await process.looks()
    assert (len(first.asked), len(second.asked)) == (2, 2)
    # It worked, so its failures are forgotten.
    await asks(world, 4)
    await process.looks()
    assert (len(first.asked), len(second.asked)) == (3, 2)
    await enters(ira)


async def test_a_resting_gateway_is_better_than_none(world: World) -> None:
    first, second = Scripted("first", Unavailable("HTTP 503")), Scripted("second", Accepted("1"), Unavailable("429"))
    process = Process(world, first, second)
    await asks(world, 1)
    await process.looks()
    ira = await asks(world, 2)
    await process.looks()
    assert (len(first.asked), len(second.asked)) == (2, 2)
    assert await states(world) == ["accepted", "accepted"]
    await enters(ira)


def rests(resting: Resting, world: World) -> bool:
    return [offer.gateway for offer in resting.last((FIRST, SECOND), world.now)] == ["second", "first"]


def test_the_rest_doubles_while_it_keeps_failing_up_to_sixteen_times(database: Database) -> None:
    world, resting = World(database), Resting(REST)
    for times in (1, 2, 4, 8, 16, 16):
        resting.failed("first", world.now)
        # Others that were under way fail with it: one fault, one failure.
        resting.failed("first", world.now)
        world.clock.moment += REST * times - timedelta(seconds=1)
        resting.failed("first", world.now)
        assert rests(resting, world)
        world.clock.move(seconds=1)
        assert not rests(resting, world)
    resting.worked("first")
    resting.failed("first", world.now)
    world.clock.moment += REST
    assert not rests(resting, world)


@pytest.mark.parametrize(("asked", "seconds"), [(5.0, 30), (90.0, 90), (1e9, 3600), (None, 30)])
def test_a_vendors_own_pause_is_kept_for_an_hour_at_most(database: Database, asked: float | None, seconds: int) -> None:
    world, resting = World(database), Resting(REST)
    resting.failed("first", world.now)
    resting.failed("first", world.now, asked)
    world.clock.move(seconds=seconds - 1)
    assert rests(resting, world)
    world.clock.move(seconds=1)
    assert not rests(resting, world)


async def test_f02_unknown_rests_and_is_never_repeated(world: World) -> None:
    first, second = Scripted("first", Unknown("timeout", "own-7")), Scripted("second")
    process = Process(world, first, second)
    ira = await asks(world, 1)
    await process.looks()
    await asks(world, 2)
    await process.looks()
    assert (len(first.asked), len(second.asked)) == (1, 1)
    for _ in range(20):
        world.clock.move(seconds=29)
        await process.looks()
    assert [message.send_id for message in (*first.asked, *second.asked)].count(first.asked[0].send_id) == 1
    (row,) = await left(world, state="unknown")
    assert row.provider_id == "own-7"
    world.clock.moment -= timedelta(seconds=29 * 20)
    assert (await ira.tries(first.asked[0].code)).confirmed_now


async def test_an_unreachable_telegram_is_the_numbers_affair_and_rests_nobody(world: World) -> None:
    world = world.with_sending(routes=FixedRoutes((TELEGRAM, FIRST)))
    telegram = Scripted("telegram", Unavailable("not on Telegram"), channel=Channel.TELEGRAM)
    first = Scripted("first")
    process = Process(world, telegram, first)
    ira = await asks(world, 1)
    await process.looks()
    assert (len(telegram.asked), len(first.asked)) == (1, 1)
    assert [(row.channel, row.price) for row in await left(world)] == [("sms", 100)]
    await asks(world, 2)
    await process.looks()
    assert (len(telegram.asked), len(first.asked)) == (2, 1)
    await enters(ira)


async def test_a_verification_message_that_does_not_come_is_followed_by_an_sms(world: World) -> None:
    world = world.with_sending(routes=FixedRoutes((TELEGRAM, FIRST)))
    telegram, first = Scripted("telegram", channel=Channel.TELEGRAM), Scripted("first")
    process = Process(world, telegram, first)
    ira = await asks(world)
    await process.looks()
    world.clock.moment += world.limits.verification_message_ttl
    assert await process.looks() == 1
    assert process.woken == 1
    await process.looks()
    assert (len(telegram.asked), len(first.asked)) == (1, 1)
    assert telegram.asked[0].code != first.asked[0].code
    assert (await ira.tries(first.asked[0].code)).confirmed_now


async def test_an_sms_that_may_not_follow_ends_the_row(world: World) -> None:
    world = world.with_sending(routes=FixedRoutes((TELEGRAM, FIRST)))
    world = world.with_limits(sends_per_person=(Window(1, DAY),))
    telegram, first = Scripted("telegram", channel=Channel.TELEGRAM), Scripted("first")
    process = Process(world, telegram, first)
    ira = await asks(world)
    await process.looks()
    world.clock.moment += world.limits.verification_message_ttl
    assert [await process.looks() for _ in range(2)] == [1, 0]
    assert (process.woken, first.asked, await refusals(world)) == (0, [], ["sends_per_person"])
    await enters(ira)


async def test_a_gateway_that_is_gone_from_the_settings_is_passed_over(world: World) -> None:
    second = Scripted("second")
    ira = await asks(world)
    await Process(world, second).looks()
    assert (len(second.asked), await states(world)) == (1, ["accepted"])
    await enters(ira)


async def test_when_all_of_its_gateways_are_gone_the_operator_reads_why(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    ira = await asks(world)
    process = Process(world, Scripted("third"))
    for _ in range(5):
        await process.looks()
        world.clock.move(seconds=16)
    assert await states(world) == ["failed"]
    assert await world.notices() == [(1, "notice-code-failed")]
    errors = {record.getMessage() for record in caplog.records if record.levelno == logging.ERROR}
    assert errors
    assert all("SMS_GATEWAYS" in error for error in errors)
    third = world.with_sending(routes=FixedRoutes((Offer("third", Channel.SMS, 1),)))
    await third.person(1).resends()
    await process.looks()
    await enters(ira)


async def killed_while_the_second_was_asked(world: World) -> Dispatch:
    """A process that died with a code in the hands of the second gateway."""
    (item,) = await world.outbox.take("killed", world.now)
    dispatch = await world.sends.begin(UUID(item.payload["send_id"]), SECOND, world.now)
    assert isinstance(dispatch, Dispatch)
    world.clock.move(minutes=1)
    return dispatch


async def test_f21_after_a_crash_the_gateway_that_may_have_it_is_asked_again(world: World) -> None:
    first, second = Scripted("first"), Scripted("second")
    ira = await asks(world)
    dispatch = await killed_while_the_second_was_asked(world)
    await Process(world, first, second, owner="heir").looks()
    assert (first.asked, [(each.send_id, each.code) for each in second.asked]) == (
        [],
        [(dispatch.send_id, dispatch.code)],
    )
    (row,) = await world.rows(sends)
    assert (row.state, row.gateway, row.repeated, row.price) == ("accepted", "second", True, 600)
    await enters(ira)


async def test_f21_after_a_crash_each_other_gateway_is_asked_once_when_that_one_takes_nothing_more(
    world: World,
) -> None:
    first, second = Scripted("first"), Scripted("second", Unavailable("HTTP 503"))
    ira = await asks(world)
    dispatch = await killed_while_the_second_was_asked(world)
    await Process(world, first, second, owner="heir").looks()
    assert (len(first.asked), len(second.asked)) == (1, 1)
    assert first.asked[0].code == second.asked[0].code == dispatch.code
    assert await states(world) == ["accepted"]
    await enters(ira)


async def test_f21_what_may_have_left_before_a_crash_is_never_called_failed(world: World) -> None:
    world = world.with_limits(sends_per_number=(Window(1, DAY),))
    away = [Unavailable("HTTP 503")] * 9
    ira = await asks(world, 1, NUMBER)
    await killed_while_the_second_was_asked(world)
    process = Process(world, Scripted("first", *away), Scripted("second", *away), owner="heir")
    for _ in range(6):
        await process.looks()
        world.clock.move(seconds=16)
    assert await states(world) == ["unknown"]
    assert await world.notices() == [(1, "notice-code-unknown")]
    (oleg,) = await people(world, [2])
    outcome = await oleg.asks(NUMBER, contact=True)
    assert isinstance(outcome, Progress), "the number's only SMS is used up"
    assert await ira.account() is not None


async def test_f03_all_are_asked_each_round_and_five_rounds_are_all(world: World) -> None:
    away = [Unavailable("HTTP 503")] * 9
    first, second = Scripted("first", *away), Scripted("second", *away)
    process = Process(world, first, second)
    ira = await asks(world)
    for rounds in range(1, 6):
        await process.looks()
        assert (len(first.asked), len(second.asked)) == (rounds, rounds)
        world.clock.move(seconds=17)
    assert await process.looks() == 0
    assert await states(world) == ["failed"]
    assert await world.notices() == [(1, "notice-code-failed")]
    first.answers.clear()
    await ira.resends()
    await process.looks()
    await enters(ira)


async def test_when_all_are_closed_to_it_the_code_waits_and_its_person_is_told_at_its_end(world: World) -> None:
    world = world.with_sending(daily_budget=100)
    dear_only = world.with_sending(routes=FixedRoutes((FIRST,)))
    ira = await asks(dear_only)
    second = Scripted("second")
    process = Process(world, second)
    # What is in the row's route is the first gateway, and this process has only the dearer one.
    await reroute(world, [SECOND])
    for _ in range(3):
        await process.looks()
        assert (await states(world), await world.notices()) == (["queued"], [])
        world.clock.move(seconds=5)
    world.clock.move(minutes=10)
    await process.looks()
    assert (await states(world), await world.notices()) == (["failed"], [(1, "notice-code-failed")])
    assert second.asked == []
    richer = world.with_sending(daily_budget=1000)
    assert (await richer.person(1).resends()).queued
    await Process(richer, Scripted("first"), second).looks()
    await enters(ira)


async def test_what_was_closed_goes_when_the_budget_is_free_again(world: World) -> None:
    world = world.with_sending(daily_budget=400)
    await asks(world, 1)
    await Process(world, Scripted("first", Unavailable("HTTP 503")), Scripted("second")).looks()
    ira = await asks(world, 2)
    first, second = Scripted("first", *[Unavailable("HTTP 503")] * 2), Scripted("second")
    process = Process(world, first, second)
    await process.looks()
    # 300 are spent and 100 set aside: the second gateway is too dear for what is left.
    assert (len(first.asked), second.asked) == (1, [])
    (row,) = await left(world, state="accepted")
    await world.sends.report("second", row.provider_id, SendState.DELIVERED, world.now)
    richer = world.with_sending(daily_budget=700)
    world.clock.move(seconds=16)
    await Process(richer, first, second).looks()
    assert len(second.asked) == 1
    await enters(ira)


async def test_while_all_pause_codes_wait_and_go_when_it_ends(world: World) -> None:
    paused = world.with_sending(paused=True)
    ira = await asks(world)
    first = Scripted("first")
    for _ in range(3):
        await Process(paused, first).looks()
        world.clock.move(seconds=5)
    assert (first.asked, await states(world)) == ([], ["queued"])
    await Process(world, first).looks()
    assert len(first.asked) == 1
    assert (await ira.tries(first.asked[0].code)).confirmed_now


async def reroute(world: World, offers: list[Offer]) -> None:
    """Give the code that waits another route, as another version of the settings would have."""
    (row,) = await world.rows(outbox, outbox.c.kind == "code")
    payload = {**row.payload, "route": [offer.written() for offer in offers]}
    async with connected(world.database) as conn:
        await conn.execute(outbox.update().where(outbox.c.id == row.id).values(payload=payload))
