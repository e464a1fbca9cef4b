"""T15: whether the CRM is asked, counted before it is."""

from __future__ import annotations

import asyncio

import pytest

from storage.errors import Limit, LimitReached
from storage.look_ups import LookUps
from storage.tables import sends
from tests.storage.world import NUMBER, OTHER_NUMBER, World


@pytest.fixture
def look_ups(world: World) -> LookUps:
    return LookUps(world.database, world.keys, world.limits)


def number(n: int) -> str:
    return f"+7916{n}001234"


async def test_t15_numbers_are_counted_before_anybody_is_asked(look_ups: LookUps, world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    for n in (0, 1, 2, 0, 1, 2):
        assert await look_ups.wants_number(1, number(n), "RU", world.now, counted=True)
    with pytest.raises(LimitReached) as reached:
        await look_ups.wants_number(1, number(3), "RU", world.now, counted=True)
    assert reached.value.limit is Limit.NUMBERS_PER_PERSON
    assert [row.refused_by for row in await world.rows(sends)] == ["numbers_per_person"]
    # An own contact is none of it.
    assert await look_ups.wants_number(1, number(4), "RU", world.now, counted=False)
    # The step that follows counts the same number for free.
    await ira.asks(number(2))
    world.clock.move(hours=24, seconds=1)
    assert await look_ups.wants_number(1, number(3), "RU", world.now, counted=True)


async def test_t15_addresses_are_counted_before_anybody_is_asked(look_ups: LookUps, world: World) -> None:
    for n in (*range(5), *range(5)):
        assert await look_ups.wants_address(1, f"a{n}@example.org", world.now, counted=True)
    with pytest.raises(LimitReached) as reached:
        await look_ups.wants_address(1, "a5@example.org", world.now, counted=True)
    assert reached.value.limit is Limit.ADDRESSES_PER_PERSON
    assert await look_ups.wants_address(1, "a6@example.org", world.now, counted=False)
    assert await world.person(1).gives("a0@example.org") is None


async def test_t15_many_at_once_do_not_slip_past_the_limit(look_ups: LookUps, world: World) -> None:
    await world.person(1).accepts()
    asked = [look_ups.wants_number(1, number(n), "RU", world.now, counted=True) for n in range(10)]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert results.count(True) == 3
    assert sum(isinstance(result, LimitReached) for result in results) == 7


async def test_nobody_is_asked_about_what_is_ones_own(look_ups: LookUps, world: World) -> None:
    ira = world.person(1)
    assert not await look_ups.wants_number(1, NUMBER, "RU", world.now, counted=True)
    await ira.accepts()
    assert not await look_ups.wants_address(1, ira.email, world.now, counted=True)
    assert await look_ups.wants_address(1, "other@example.org", world.now, counted=True)
    await ira.asks(NUMBER, contact=True, needs_code=False)
    for value in (NUMBER, OTHER_NUMBER):
        assert not await look_ups.wants_number(1, value, "RU", world.now, counted=True)
    assert not await look_ups.wants_address(1, "other@example.org", world.now, counted=True)
