"""F21: a code that was in a gateway's hands when its process died: who is asked again, and what its person is told."""

from __future__ import annotations

from uuid import UUID

from handlers.ports import Unavailable
from storage.limits import Window
from storage.models import Progress
from storage.sends import Dispatch
from storage.tables import sends
from tests.bot.code_process import SECOND, Process, Scripted, asks, states, world
from tests.storage.crowd import enters, people
from tests.storage.world import DAY, NUMBER, World

__all__ = ["world"]


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
