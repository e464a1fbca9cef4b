"""The way of one code through the gateways: which is asked, which is passed over, and what waits."""

from __future__ import annotations

import logging

import pytest

from handlers.ports import Accepted, InvalidNumber, Misconfigured, Refused, SendResult, Unavailable, Unknown
from storage.limits import Window
from storage.models import Channel, SendState
from storage.sending import FixedRoutes, Offer
from storage.tables import outbox, sends
from tests.bot.code_process import FIRST, SECOND, TELEGRAM, Process, Scripted, asks, states, world
from tests.sql import connected
from tests.storage.crowd import enters, left, refusals
from tests.storage.world import DAY, World

__all__ = ["world"]


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
