"""A gateway that failed is left alone for a while: how long, and what may not be repeated elsewhere meanwhile."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.resting import Resting
from handlers.ports import Accepted, Unavailable, Unknown
from storage.database import Database
from storage.models import Channel
from storage.sending import FixedRoutes
from tests.bot.code_process import FIRST, REST, SECOND, TELEGRAM, Process, Scripted, asks, states, world
from tests.storage.crowd import enters, left
from tests.storage.world import World

__all__ = ["world"]


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
