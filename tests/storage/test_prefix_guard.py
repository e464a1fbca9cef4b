"""The guard of ranges (T1): few unconfirmed codes an hour, and a range that is pumped is closed for a while."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from storage.errors import Limit, LimitReached
from storage.keys import Keys
from storage.limits import Window
from storage.models import CodeSent, Progress
from storage.tables import prefix_blocks, sends
from tests.storage.crowd import (
    OTHER_RANGE,
    RANGE,
    alerts,
    ask_at_once,
    enters,
    left,
    most_within,
    people,
    refusals,
)
from tests.storage.world import DAY, HOUR, SECRET, Actor, World

CLOSED_FOR = timedelta(hours=12)


async def test_t01_of_a_hundred_people_at_once_ten_get_a_code_of_the_range(world: World) -> None:
    crowd = await people(world, range(1, 101))
    results = await ask_at_once(crowd)
    assert sum(isinstance(result, CodeSent) for result in results) == 10
    refused = [result for result in results if isinstance(result, LimitReached)]
    assert {(refusal.limit, refusal.retry_at) for refusal in refused} == {(Limit.SENDS_PER_PREFIX, world.now + HOUR)}
    assert (len(refused), await refusals(world)) == (90, ["sends_per_prefix"] * 90)
    assert await alerts(world) == []
    await the_others_register(world)


async def the_others_register(world: World) -> None:
    """An owner in the range by the own contact, though each needs a code; a person of another range by a code."""
    owner, stranger = await people(world, (2001, 2002))
    result = await owner.asks(f"{RANGE}{owner.id}", contact=True)
    assert isinstance(result, Progress)
    assert result.confirmed_now
    assert isinstance(await stranger.asks(f"{OTHER_RANGE}{stranger.id}"), CodeSent)
    await enters(stranger)


async def test_t01_a_range_that_is_pumped_is_closed_for_twelve_hours_and_the_operator_told_once(world: World) -> None:
    await pump(world)
    late = await people(world, range(100, 112))
    outcomes = await ask_at_once(late)
    until = world.now + CLOSED_FOR
    assert outcomes == [LimitReached(Limit.PREFIX_BLOCKED, until)] * 12
    assert await refusals(world) == ["prefix_blocked"] * 12
    assert await alerts(world) == [("alert-prefix", {"range": f"{RANGE}****", "until": until.isoformat()})]
    await the_others_register(world)

    world.clock.move(hours=11, minutes=59, seconds=59)
    assert await ask_at_once(late) == [LimitReached(Limit.PREFIX_BLOCKED, until)] * 12
    assert len(await alerts(world)) == 1
    world.clock.move(seconds=1)
    # All that closed the range lies within the last 24 hours still, and is no reason to close it again.
    outcomes = await ask_at_once(late)
    sent = [actor for actor, outcome in zip(late, outcomes, strict=True) if isinstance(outcome, CodeSent)]
    assert (len(sent), len(await alerts(world))) == (10, 1)
    await enters(sent[0])


async def pump(world: World, entered: int = 0, first: int = 1) -> list[Actor]:
    """Twenty codes to the range, as fast as the hourly limit lets them out; so many of each ten are entered."""
    everybody = []
    for start in (first, first + 10):
        actors = await people(world, range(start, start + 10))
        assert all(isinstance(result, CodeSent) for result in await ask_at_once(actors))
        for actor in actors[:entered]:
            await enters(actor)
        everybody += actors
        world.clock.move(hours=1)
    return everybody


@pytest.mark.parametrize(("entered", "is_closed"), [(1, True), (2, False)])
async def test_a_fifth_of_the_codes_entered_keeps_a_range_open(world: World, entered: int, is_closed: bool) -> None:
    await pump(world, entered)
    (ira,) = await people(world, [500])
    (outcome,) = await ask_at_once([ira])
    assert isinstance(outcome, LimitReached if is_closed else CodeSent)
    if is_closed:
        world.clock.move(hours=12)
        assert isinstance((await ask_at_once([ira]))[0], CodeSent)
    await enters(ira)


@pytest.mark.parametrize(("seconds", "is_closed"), [(-1, True), (0, False)])
async def test_nineteen_codes_are_no_evidence_and_a_day_later_twenty_are_none(
    world: World, seconds: int, is_closed: bool
) -> None:
    world = world.with_limits(sends_per_prefix=Window(100, HOUR))
    actors = await people(world, range(1, 21))
    await ask_at_once(actors[:19])
    assert isinstance((await ask_at_once(actors[19:]))[0], CodeSent)
    world.clock.move(days=1, seconds=seconds)
    (ira,) = await people(world, [1000])
    assert isinstance((await ask_at_once([ira]))[0], LimitReached if is_closed else CodeSent)
    if is_closed:
        world.clock.move(hours=12)
        assert isinstance((await ask_at_once([ira]))[0], CodeSent)
    await enters(ira)


async def test_a_range_is_closed_again_by_what_came_after_it_was_opened(world: World) -> None:
    await pump(world)
    (eve,) = await people(world, [900])
    assert isinstance((await ask_at_once([eve]))[0], LimitReached)
    world.clock.move(hours=12)
    await pump(world, first=50)
    (ira,) = await people(world, [901])
    until = world.now + CLOSED_FOR
    assert await ask_at_once([ira]) == [LimitReached(Limit.PREFIX_BLOCKED, until)]
    assert [values["until"] for _, values in await alerts(world)] == [
        (until - timedelta(hours=14)).isoformat(),
        until.isoformat(),
    ]
    assert [row.until for row in await world.rows(prefix_blocks)] == [until]
    result = await ira.asks(f"{RANGE}{ira.id:04}", contact=True)
    assert isinstance(result, Progress)
    assert result.confirmed_now


async def test_a_code_that_was_entered_gives_its_send_back_and_no_other(world: World) -> None:
    world = world.with_limits(sends_per_number=(Window(9, DAY),), sends_per_person=(Window(9, DAY),))
    crowd = await people(world, range(1, 9))
    await ask_at_once(crowd)
    ira, oleg, vera = await people(world, (100, 101, 102))
    await ask_at_once([ira])
    world.clock.move(seconds=60)
    await ira.resends()
    assert isinstance((await ask_at_once([oleg]))[0], LimitReached)
    await enters(ira)
    # Her second code was the right one; the first stays what it is: one that nobody entered.
    assert isinstance((await ask_at_once([oleg]))[0], CodeSent)
    assert isinstance((await ask_at_once([vera]))[0], LimitReached)
    rows = await world.rows(sends, sends.c.entered_at.is_not(None))
    assert [(row.code_n, row.entered_at) for row in rows] == [(2, world.now)]
    await enters(oleg)
    assert isinstance((await ask_at_once([vera]))[0], CodeSent)
    await enters(vera)


@pytest.mark.parametrize("seed", range(3))
async def test_t01_no_hour_holds_more_than_ten_unconfirmed_and_the_moment_told_is_right(
    world: World, seed: int
) -> None:
    world = world.with_limits(prefix_evidence=Window(1000, DAY))
    chance = random.Random(seed)
    told = None
    for telegram_id in range(1, 61):
        world.clock.move(seconds=chance.randrange(400))
        (actor,) = await people(world, [telegram_id])
        (outcome,) = await ask_at_once([actor])
        if isinstance(outcome, LimitReached):
            told = outcome.retry_at
            world.clock.moment = told - timedelta(seconds=1)
            assert isinstance((await ask_at_once([actor]))[0], LimitReached)
            world.clock.moment = told
            (outcome,) = await ask_at_once([actor])
        assert isinstance(outcome, CodeSent)
        if chance.random() < 0.3:
            await enters(actor)
    assert told is not None
    unconfirmed = [row.at for row in await left(world) if row.entered_at is None]
    assert most_within(unconfirmed, HOUR) == 10


async def test_a_rotated_secret_opens_no_closed_range(world: World) -> None:
    await pump(world)
    (eve,) = await people(world, [900])
    assert isinstance((await ask_at_once([eve]))[0], LimitReached)
    rotated = World(world.database, Keys("another secret, just as long as the first", previous=SECRET))
    rotated.clock = world.clock
    (ira,) = await people(rotated, [901])
    world.clock.move(hours=11)
    assert isinstance((await ask_at_once([ira]))[0], LimitReached)
    world.clock.move(hours=1)
    assert isinstance((await ask_at_once([ira]))[0], CodeSent)
    await enters(ira)


async def test_who_only_looks_closes_nothing(world: World) -> None:
    first, *_ = await pump(world)
    timeline = await world.challenges.timeline(first.id, world.now)
    assert (timeline.limited, timeline.resend_at) == (True, world.now + CLOSED_FOR)
    assert (await world.rows(prefix_blocks), await alerts(world)) == ([], [])
    result = await first.asks(f"{RANGE}{first.id:04}", contact=True)
    assert isinstance(result, Progress)
    assert result.confirmed_now
