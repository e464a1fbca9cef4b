"""The timeline a person is shown: their own codes, for the number being proven, of the last 24 hours."""

from __future__ import annotations

from storage.models import CodeSent
from tests.storage.world import DAY, NUMBER, OTHER_NUMBER, World


async def events(world: World, telegram_id: int) -> int:
    return len((await world.challenges.timeline(telegram_id, world.now)).events)


async def test_it_shows_nothing_of_anybody_else_who_asks_for_the_same_number(world: World) -> None:
    for telegram_id in (1, 2):
        person = world.person(telegram_id)
        await person.accepts()
        assert isinstance(await person.asks(NUMBER), CodeSent)
    assert (await events(world, 1), await events(world, 2)) == (1, 1)


async def test_it_shows_nothing_of_the_number_given_before(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await ira.asks(OTHER_NUMBER)
    await ira.asks(NUMBER)
    assert await events(world, 1) == 1
    await ira.asks(OTHER_NUMBER)
    assert await events(world, 1) == 2


async def test_it_goes_back_24_hours(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await ira.asks()
    world.clock.move(hours=23, minutes=59)
    assert await events(world, 1) == 1
    await ira.resends()
    world.clock.move(minutes=1)
    assert await events(world, 1) == 1
    assert (await world.challenges.timeline(1, world.now)).events[0].at > world.now - DAY
