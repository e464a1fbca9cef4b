"""The guard of countries: who pumps many ranges a little, below the guard of ranges, must not use the budget up."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa

from storage.database import Database
from storage.errors import Limit, LimitReached
from storage.models import Channel, CodeSent, Progress
from storage.sending import FixedRoutes, Offer
from storage.tables import sends
from tests.sql import connected
from tests.storage.crowd import alerts, enters, left, people, refusals
from tests.storage.test_budget import asks, spent
from tests.storage.world import HOUR, Actor, World

PRICE, BUDGET = 100, 30_000
# Codes for a tenth of the budget; for a tenth of that it would be three, but fewer than ten are no evidence.
ALLOWED, DOUBTED = 30, 10
LONGEST = timedelta(hours=6)
SMS = Offer("smsc", Channel.SMS, PRICE)


@pytest.fixture
def world(database: Database) -> World:
    return World(database).with_sending(routes=FixedRoutes((SMS,)), daily_budget=BUDGET)


async def pumps(world: World, count: int, first: int = 1, country: str = "KZ") -> list[Actor]:
    """So many people ask for a code each, to ranges that share nothing; return those who got one."""
    actors = await people(world, range(first, first + count))
    outcomes = await asyncio.gather(*(asks(actor, country) for actor in actors))
    assert {type(outcome) for outcome in outcomes} <= {CodeSent, LimitReached}
    return [actor for actor, outcome in zip(actors, outcomes, strict=True) if isinstance(outcome, CodeSent)]


async def test_t01_t03_fifty_at_once_to_many_ranges_of_a_country_leave_the_budget_to_the_others(world: World) -> None:
    sent = await pumps(world, 50)
    assert len(sent) == len(await left(world)) == ALLOWED + 1
    assert await refusals(world) == ["country_unconfirmed"] * (50 - ALLOWED - 1)
    assert await alerts(world) == [("alert-country", {"country": "KZ"})]
    assert await spent(world) == (ALLOWED + 1) * PRICE
    # An owner there registers by the own contact, and people of another country by a code.
    (owner,) = await people(world, [900])
    result = await world.challenges.ask_code(
        owner.update(), "+77011112233", "KZ", "ru",
        own_contact=True, contact_needs_code=True, claim=False, reveal=True, now=world.now,
    )  # fmt: skip
    assert isinstance(result, Progress)
    assert result.confirmed_now
    for actor in await pumps(world, 5, first=100, country="RU"):
        await enters(actor)


async def test_it_opens_at_the_moment_that_was_told(world: World) -> None:
    await pumps(world, ALLOWED + 1)
    world.clock.move(hours=2)
    (ira,) = await people(world, [900])
    refusal = await asks(ira, "KZ")
    assert refusal == LimitReached(Limit.COUNTRY_UNCONFIRMED, world.now + LONGEST - timedelta(hours=2))
    world.clock.moment = refusal.retry_at - timedelta(seconds=1)
    assert isinstance(await asks(ira, "KZ"), LimitReached)
    world.clock.move(seconds=1)
    assert isinstance(await asks(ira, "KZ"), CodeSent)
    await enters(ira)


@pytest.mark.parametrize(("budget", "within"), [(BUDGET, LONGEST), (50 * BUDGET, HOUR)])
async def test_f14_codes_go_again_soon_after_a_carrier_that_delivered_nothing_for_hours(
    world: World, budget: int, within: timedelta
) -> None:
    """Whatever was taken and never arrived, everybody there who types a number gets a code again, as before."""
    world = world.with_sending(daily_budget=budget)
    await nothing_arrives(world, budget // PRICE // 5, hours=5)
    (ira,) = await people(world, [900])
    refusal = await asks(ira, "KZ")
    assert isinstance(refusal, LimitReached)
    assert world.now < refusal.retry_at <= world.now + within
    world.clock.moment = refusal.retry_at
    for n in range(901, 921):
        (actor,) = await pumps(world, 1, first=n)
        await enters(actor)
    # Who leaves more than those is doubted again.
    assert len(await pumps(world, 30, first=930)) == 21


async def nothing_arrives(world: World, codes: int, hours: int) -> None:
    """So many codes were taken in the last hours, each to a range of its own; a silent vendor reports on none."""
    each = timedelta(hours=hours) / codes
    rows = [
        {
            "id": world.database.new_id(), "challenge_id": None, "code_n": 1, "at": world.now - n * each,
            "number_hmac": f"n{n}", "prefix_hmac": f"r{n}", "person_hmac": f"p{n}", "country": "KZ", "channel": "sms",
            "gateway": "smsc", "price": PRICE, "state": "accepted", "repeated": False, "changed_at": world.now,
        }
        for n in range(codes)
    ]  # fmt: skip
    async with connected(world.database) as conn:
        await conn.execute(sa.insert(sends), rows)
        await conn.commit()


async def test_t01_fifty_at_once_in_ten_ranges_of_a_doubted_country_get_a_code_for_each_range(world: World) -> None:
    await pumps(world, DOUBTED + 1)
    actors = await people(world, range(100, 150))
    outcomes = await asyncio.gather(*(types(actor, f"+7701{actor.id % 10}00{actor.id:04}") for actor in actors))
    assert {type(outcome) for outcome in outcomes} == {CodeSent, LimitReached}
    sent = [actor for actor, outcome in zip(actors, outcomes, strict=True) if isinstance(outcome, CodeSent)]
    assert sorted(actor.id % 10 for actor in sent) == list(range(10))
    assert await refusals(world) == ["country_unconfirmed"] * 40


async def test_a_doubted_country_gets_codes_where_half_are_entered_and_for_who_asks_again(world: World) -> None:
    await pumps(world, DOUBTED + 1)
    ann, bob, cid, dan, eve = await people(world, range(101, 106))
    assert isinstance(await types(ann, "+77010000001"), CodeSent)
    assert isinstance(await types(bob, "+77010000002"), LimitReached)
    world.clock.move(seconds=60)
    assert isinstance(await ann.resends(), CodeSent)
    await enters(ann)
    # One of two was entered, which is evidence for the range; then one of three.
    assert isinstance(await types(cid, "+77010000003"), CodeSent)
    assert isinstance(await types(dan, "+77010000004"), LimitReached)
    await enters(cid)
    assert isinstance(await types(eve, "+77010000005"), CodeSent)
    await enters(eve)


async def types(actor: Actor, number: str) -> CodeSent | Progress | LimitReached:
    """Ask for a code to a number of this country."""
    try:
        return await actor.world.challenges.ask_code(
            actor.update(), number, "KZ", "ru",
            own_contact=False, contact_needs_code=True, claim=False, reveal=True, now=actor.world.now,
        )  # fmt: skip
    except LimitReached as refusal:
        return refusal


async def test_a_country_of_which_half_is_entered_stays_open(world: World) -> None:
    for n in range(1, 80, 2):
        (actor,) = await pumps(world, 1, n)
        await enters(actor)
        assert len(await pumps(world, 1, n + 1)) == 1
    # Eighty codes, forty entered: one more is none too many, and then those that are not are the more.
    (ira,) = await pumps(world, 1, 81)
    assert await pumps(world, 1, 82) == []
    await enters(ira)
    assert len(await pumps(world, 1, 83)) == 1


async def test_few_codes_are_no_evidence_however_small_the_budget(world: World) -> None:
    small = world.with_sending(daily_budget=3000)
    sent = await pumps(small, 25)
    assert len(sent) == 20
    await enters(sent[0])
    assert len(await pumps(small, 1, first=100)) == 1


@pytest.mark.parametrize("how", ["free", "a hundred percent", "no budget"])
async def test_what_costs_nothing_or_is_allowed_whatever_it_costs_is_not_looked_at(world: World, how: str) -> None:
    match how:
        case "free":
            world = world.with_sending(routes=FixedRoutes((Offer("console", Channel.SMS, 0),)))
        case "a hundred percent":
            world = world.with_limits(country_unconfirmed_percent=100)
        case _:
            world = world.with_sending(daily_budget=None)
    sent = await pumps(world, 50)
    assert len(sent) == 50
    await enters(sent[0])


async def test_who_only_looks_alerts_nobody(world: World) -> None:
    sent = await pumps(world, ALLOWED + 1)
    timeline = await world.challenges.timeline(sent[0].id, world.now)
    assert (timeline.limited, await alerts(world)) == (True, [])
    result = await sent[0].asks(f"+7{9_000_000_000 + sent[0].id * 10_007}", contact=True)
    assert isinstance(result, CodeSent | Progress)
    await enters(sent[0])
