"""The budget (T3): whatever is asked for, and by whichever gateway it leaves, no 24 hours cost more."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from storage.database import Database
from storage.errors import Limit, LimitReached
from storage.models import Channel, CodeSent, Progress, SendState
from storage.sending import FixedRoutes, Offer
from storage.sends import Dispatch, NotNow
from storage.statements import Prepared
from storage.tables import outbox, sends
from tests.storage.crowd import ByCountry, alerts, enters, left, people, refusals
from tests.storage.world import DAY, Actor, World

CHEAP, DEAR = Offer("cheap", Channel.SMS, 300), Offer("dear", Channel.SMS, 500)
PRICES = ByCountry(
    {
        "RU": (CHEAP, DEAR),
        "KZ": (Offer("cheap", Channel.SMS, 700), Offer("dear", Channel.SMS, 900)),
        "*": (Offer("dear", Channel.SMS, 1100),),
    }
)


@pytest.fixture
def world(database: Database) -> World:
    """Nobody here enters a code: how many of a country's are entered is looked at in `test_country_guard.py`."""
    return World(database).with_limits(country_unconfirmed_percent=100)


async def asks(actor: Actor, country: str = "RU") -> CodeSent | Progress | LimitReached:
    """Ask for a code to a number that shares nothing with anybody else's."""
    world, number = actor.world, f"+7{9_000_000_000 + actor.id * 10_007}"
    try:
        return await world.challenges.ask_code(
            actor.update(), number, country, "ru",
            own_contact=False, contact_needs_code=True, claim=False, reveal=True, now=world.now,
        )  # fmt: skip
    except LimitReached as refusal:
        return refusal


async def spent(world: World) -> int:
    """What the ledger says that the last 24 hours cost."""
    return sum(row.price or 0 for row in await world.rows(sends, sends.c.at > world.now - DAY))


async def registers_by_contact(world: World, telegram_id: int = 9000) -> None:
    (ira,) = await people(world, [telegram_id])
    result = await ira.asks("+79031112233", contact=True)
    assert isinstance(result, Progress)
    assert result.confirmed_now


async def test_t03_fifty_at_once_at_mixed_prices_never_exceed_the_budget(world: World) -> None:
    world = world.with_sending(routes=PRICES, daily_budget=10_000)
    actors = await people(world, range(1, 51))
    countries = [("RU", "KZ", "AM")[n % 3] for n in range(50)]
    outcomes = await asyncio.gather(*map(asks, actors, countries))
    assert sum(isinstance(outcome, CodeSent) for outcome in outcomes) == len(await left(world))
    # Nothing affordable was refused: what is left buys not even the cheapest code.
    assert 10_000 - 300 < await spent(world) <= 10_000
    refused = [outcome for outcome in outcomes if isinstance(outcome, LimitReached)]
    assert {refusal.limit for refusal in refused} == {Limit.DAILY_BUDGET}
    assert await refusals(world) == ["daily_budget"] * len(refused)
    await registers_by_contact(world)
    sent = next(actor for actor, outcome in zip(actors, outcomes, strict=True) if isinstance(outcome, CodeSent))
    await enters(sent)


async def test_t03_fifty_at_once_while_others_fail_over_to_a_dearer_gateway(world: World) -> None:
    world = world.with_sending(routes=FixedRoutes((CHEAP, DEAR)), daily_budget=12_500)
    early = await people(world, range(1, 21))
    await asyncio.gather(*map(asks, early))
    ids = [UUID(str(row.id)) for row in await left(world)]
    late = await people(world, range(21, 71))
    begun = asyncio.gather(*(world.sends.begin(send_id, DEAR, world.now) for send_id in ids))
    await asyncio.gather(*map(asks, late))
    dearer = sum(isinstance(outcome, Dispatch) for outcome in await begun)
    assert dearer == len(await left(world, gateway="dear"))
    assert 12_500 - 300 < await spent(world) <= 12_500
    await registers_by_contact(world)


async def test_fail_over_to_a_dearer_gateway_takes_the_difference_first(world: World) -> None:
    world = world.with_sending(routes=FixedRoutes((CHEAP, DEAR)), daily_budget=1000)
    first, second, third = await people(world, (1, 2, 3))
    assert isinstance(await asks(first), CodeSent)
    assert isinstance(await asks(second), CodeSent)
    one, two = [UUID(str(row.id)) for row in await left(world)]
    assert isinstance(await world.sends.begin(one, CHEAP, world.now), Dispatch)
    assert await world.settle(one, SendState.QUEUED)
    assert isinstance(await world.sends.begin(one, DEAR, world.now), Dispatch)
    assert await spent(world) == 800
    # 200 are left: enough for the difference, and then for nothing more.
    assert isinstance(await world.sends.begin(two, DEAR, world.now), Dispatch)
    assert await spent(world) == 1000
    assert isinstance(await asks(third), LimitReached)
    # Back to the cheaper one: the difference is back too, but it buys no whole code.
    assert await world.settle(two, SendState.QUEUED)
    assert isinstance(await world.sends.begin(two, CHEAP, world.now), Dispatch)
    assert await spent(world) == 800
    assert await world.sends.begin(two, CHEAP, world.now) is not NotNow.CLOSED
    assert isinstance(await asks(third), LimitReached)
    await enters(first)


async def test_a_gateway_too_dear_for_what_is_left_is_passed_over(world: World) -> None:
    world = world.with_sending(routes=FixedRoutes((DEAR, CHEAP)), daily_budget=850)
    first, second = await people(world, (1, 2))
    await asks(first)
    await asks(second)
    assert [(row.gateway, row.price) for row in await left(world)] == [("dear", 500), ("cheap", 300)]
    send_id = UUID(str((await left(world))[1].id))
    assert await world.sends.begin(send_id, DEAR, world.now) is NotNow.CLOSED
    assert isinstance(await world.sends.begin(send_id, CHEAP, world.now), Dispatch)
    await enters(second)


@pytest.mark.parametrize("how", ["failed", "expired", "erased"])
async def test_what_never_left_gives_its_money_back(world: World, how: str) -> None:
    world = world.with_sending(routes=FixedRoutes((CHEAP,)), daily_budget=300)
    first, second = await people(world, (1, 2))
    await asks(first)
    send_id = UUID(str((await left(world))[0].id))
    assert isinstance(await asks(second), LimitReached)
    match how:
        case "failed":
            await world.sends.begin(send_id, CHEAP, world.now)
            await world.settle(send_id, SendState.FAILED)
        case "expired":
            world.clock.move(minutes=10)
            assert await world.sends.begin(send_id, CHEAP, world.now) is NotNow.OVER
        case "erased":
            await world.accounts.erase(first.update(), world.now)
    assert await spent(world) == 0
    assert isinstance(await asks(second), CodeSent)
    await enters(second)


@pytest.mark.parametrize("state", [SendState.UNKNOWN, SendState.UNDELIVERED])
async def test_what_may_have_left_is_paid_for(world: World, state: SendState) -> None:
    world = world.with_sending(routes=FixedRoutes((CHEAP,)), daily_budget=300)
    first, second = await people(world, (1, 2))
    await asks(first)
    send_id = UUID(str((await left(world))[0].id))
    await world.sends.begin(send_id, CHEAP, world.now)
    await world.settle(send_id, state)
    refusal = await asks(second)
    assert refusal == LimitReached(Limit.DAILY_BUDGET, world.now + DAY)
    world.clock.moment = refusal.retry_at
    await second.accepts()
    assert isinstance(await asks(second), CodeSent)
    await enters(second)


async def test_what_was_repeated_after_a_crash_is_paid_for_whatever_becomes_of_the_repeat(world: World) -> None:
    world = world.with_sending(routes=FixedRoutes((CHEAP,)), daily_budget=600)
    first, second = await people(world, (1, 2))
    await asks(first)
    send_id = UUID(str((await left(world))[0].id))
    await world.sends.begin(send_id, CHEAP, world.now)
    # Here the process died; the gateway may have the message. Then it takes nothing more.
    world.clock.move(minutes=1)
    again = await world.sends.begin(send_id, CHEAP, world.now)
    assert isinstance(again, Dispatch)
    await world.sends.settle(again, SendState.QUEUED, world.now)
    last = await world.sends.begin(send_id, CHEAP, world.now)
    assert isinstance(last, Dispatch)
    await world.sends.settle(last, SendState.FAILED, world.now, text="notice-code-failed")
    assert [row.state for row in await left(world)] == ["unknown"]
    assert isinstance(await asks(second), LimitReached)
    assert await world.notices() == [(1, "notice-code-unknown")]
    await enters(first)


async def test_what_was_repeated_after_a_crash_and_expired_in_the_queue_is_paid_for(world: World) -> None:
    world = world.with_sending(routes=FixedRoutes((CHEAP,)), daily_budget=600)
    first, second = await people(world, (1, 2))
    await asks(first)
    send_id = UUID(str((await left(world))[0].id))
    await world.sends.begin(send_id, CHEAP, world.now)
    again = await world.sends.begin(send_id, CHEAP, world.now)
    assert isinstance(again, Dispatch)
    await world.sends.settle(again, SendState.QUEUED, world.now)
    world.clock.move(minutes=10)
    assert await world.sends.begin(send_id, CHEAP, world.now) is NotNow.OVER
    assert [(row.state, row.price) for row in await left(world)] == [("unknown", 600)]
    assert isinstance(await asks(second), LimitReached)
    await registers_by_contact(world)


async def test_t03_a_repeat_that_the_budget_does_not_hold_is_not_made(world: World) -> None:
    world = world.with_sending(routes=FixedRoutes((CHEAP,)), daily_budget=599)
    (first,) = await people(world, (1,))
    await asks(first)
    send_id = UUID(str((await left(world))[0].id))
    await world.sends.begin(send_id, CHEAP, world.now)
    assert await world.sends.begin(send_id, CHEAP, world.now) is NotNow.OVER
    assert [(row.state, row.price) for row in await left(world)] == [("unknown", 300)]
    assert await world.notices() == [(1, "notice-code-unknown")]
    await enters(first)


async def test_the_vendors_own_price_counts(world: World) -> None:
    world = world.with_sending(routes=FixedRoutes((CHEAP,)), daily_budget=1000)
    actors = await people(world, range(1, 6))
    for actor, price in zip(actors, (100, 650), strict=False):
        await asks(actor)
        (row,) = await left(world, state=SendState.QUEUED)
        await world.sends.begin(UUID(str(row.id)), CHEAP, world.now)
        await world.settle(UUID(str(row.id)), SendState.ACCEPTED, price=price)
    assert await spent(world) == 750
    assert isinstance(await asks(actors[2]), LimitReached)
    await enters(actors[0])


async def test_alerts_at_half_at_four_fifths_and_at_the_end_each_once(world: World) -> None:
    world = world.with_sending(routes=FixedRoutes((Offer("cheap", Channel.SMS, 100),)), daily_budget=1000)
    actors = await people(world, range(1, 21))
    told = []
    for actor in actors[:12]:
        await asks(actor)
        told.append([(text, values.get("percent")) for text, values in await alerts(world)])
    half, most, end = ("alert-budget", 50), ("alert-budget", 80), ("alert-budget-spent", None)
    assert told == [[]] * 4 + [[half]] * 3 + [[half, most]] * 3 + [[half, most, end]] * 2
    await enters(actors[0])


@pytest.mark.parametrize("by", ["a dearer gateway", "the vendor's own price"])
async def test_a_line_crossed_after_the_code_was_queued_is_told_with_the_next_code(world: World, by: str) -> None:
    cheap = Offer("cheap", Channel.SMS, 100)
    world = world.with_sending(routes=FixedRoutes((cheap, DEAR)), daily_budget=1000)
    first, second, third = await people(world, (1, 2, 3))
    await asks(first)
    send_id = UUID(str((await left(world))[0].id))
    if by == "a dearer gateway":
        await world.sends.begin(send_id, DEAR, world.now)
    else:
        await world.sends.begin(send_id, cheap, world.now)
        await world.settle(send_id, SendState.ACCEPTED, price=500)
    assert await alerts(world) == []
    await asks(second)
    await asks(third)
    assert await alerts(world) == [("alert-budget", {"percent": 50})]
    await enters(first)


async def test_parallel_senders_alert_once(world: World) -> None:
    world = world.with_sending(routes=FixedRoutes((CHEAP,)), daily_budget=3000)
    actors = await people(world, range(1, 31))
    await asyncio.gather(*map(asks, actors))
    # Sorted, since ids of the same moment have no order.
    assert sorted((text, values.get("percent", 100)) for text, values in await alerts(world)) == [
        ("alert-budget", 50),
        ("alert-budget", 80),
        ("alert-budget-spent", 100),
    ]
    rows = await world.rows(outbox, outbox.c.kind == "alert")
    assert all(row.telegram_id is None for row in rows)
    await registers_by_contact(world)


@pytest.mark.parametrize("seed", range(3))
async def test_t03_no_24_hours_cost_more_and_the_moment_told_is_right(world: World, seed: int) -> None:
    budget = 4000
    world = world.with_sending(routes=PRICES, daily_budget=budget)
    chance, told = random.Random(seed), 0
    for telegram_id in range(1, 41):
        world.clock.move(seconds=chance.randrange(9000))
        (actor,) = await people(world, [telegram_id])
        country = chance.choice(("RU", "KZ", "AM"))
        outcome = await asks(actor, country)
        if isinstance(outcome, LimitReached):
            told += 1
            world.clock.moment = outcome.retry_at - timedelta(seconds=1)
            await actor.accepts()
            assert isinstance(await asks(actor, country), LimitReached)
            world.clock.moment = outcome.retry_at
            outcome = await asks(actor, country)
        assert isinstance(outcome, CodeSent)
    assert told
    rows = await left(world)
    for first in rows:
        assert sum(row.price for row in rows if first.at <= row.at < first.at + DAY) <= budget
    await enters(actor)


async def test_without_a_budget_what_is_free_is_sent_and_own_contacts_go_on_at_its_end(world: World) -> None:
    free = world.with_sending(daily_budget=0)
    (first,) = await people(free, [1])
    assert isinstance(await asks(first), CodeSent)
    await enters(first)
    spent_up = world.with_sending(routes=FixedRoutes((CHEAP,)), daily_budget=0)
    (second,) = await people(spent_up, [2])
    refusal = await asks(second)
    assert isinstance(refusal, LimitReached)
    assert refusal.retry_at > world.now
    result = await second.asks("+79035550002", contact=True)
    assert isinstance(result, Progress)
    assert result.confirmed_now


async def test_t03_what_the_budget_refuses_costs_little_however_much_was_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is refused all day slows nobody down: when to ask again is told from a few rows, not from the whole day's."""
    world = world.with_sending(routes=FixedRoutes((CHEAP,)), daily_budget=60 * CHEAP.price)
    actors = await people(world, range(1, 63))
    assert sum(isinstance(outcome, CodeSent) for outcome in await asyncio.gather(*map(asks, actors[:60]))) == 60
    read, rows = [0], Prepared.rows

    def counted(prepared: Prepared, raw: Any) -> list[Any]:
        found = rows(prepared, raw)
        read[0] += len(found)
        return found

    monkeypatch.setattr(Prepared, "rows", counted)
    refusal = await asks(actors[60])
    assert refusal == LimitReached(Limit.DAILY_BUDGET, world.now + DAY)
    assert read[0] <= 30
    monkeypatch.undo()
    await registers_by_contact(world)
