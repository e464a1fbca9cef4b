"""Promo codes: exactly as many uses as there are, dates, one per person and number, no guessing (T21)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from datetime import datetime, timedelta

import pytest

from storage.database import Database
from storage.errors import (
    Limit,
    LimitReached,
    PromoNotNow,
    PromoTooLate,
    PromoUnknown,
    PromoUsedBefore,
    PromoUsedUp,
    Refusal,
)
from storage.models import Progress, UpdateRef
from storage.partner_tables import promo_uses
from storage.promo_codes import PromoCode
from storage.tables import lookups, outbox
from tests.storage.world import NUMBER, OTHER_NUMBER, THIRD_NUMBER, Actor, World

MANY = 50


async def made(world: World, code: str = "SUMMER", **facts: int | datetime | None) -> None:
    assert await world.promo_codes.add(PromoCode(code, **facts), world.now)  # type: ignore[arg-type]


async def takes(actor: Actor, code: str = "SUMMER", update: UpdateRef | None = None) -> bool:
    return await actor.world.promo_codes.take(update or actor.update(), code, actor.world.now)


async def used(world: World, code: str = "SUMMER") -> int:
    """How often the code was used: as it is counted, which is as often as there are rows."""
    (counted,) = [promo.used for promo in await world.promo_codes.all() if promo.code == code]
    rows = await world.rows(promo_uses, promo_uses.c.code == code, promo_uses.c.used_at.is_not(None))
    assert len(rows) == counted
    return counted


@pytest.fixture
async def other(database_url: str, world: World) -> AsyncIterator[World]:
    """The same world as another process has it, at the same moment."""
    other = World(Database(database_url, pool_size=12))
    other.clock = world.clock
    yield other
    await other.database.dispose()


async def test_a_code_is_held_from_before_the_account_and_used_by_completing_it(world: World) -> None:
    await made(world, "Summer")
    ira = world.person(1)
    assert await takes(ira, "sUMMER")
    assert await used(world) == 0
    progress = await ira.registers()
    assert progress.account.promo == "SUMMER"
    assert await used(world) == 1
    assert not await world.promo_codes.add(PromoCode("summer"), world.now)


async def test_a_code_given_in_the_middle_takes_the_place_of_another(world: World) -> None:
    await made(world, "SUMMER", max_uses=1)
    await made(world, "AUTUMN")
    ira = world.person(1)
    await takes(ira, "SUMMER")
    await ira.accepts()
    await takes(ira, "AUTUMN")
    assert (await ira.account()).promo == "AUTUMN"
    assert await takes(world.person(2), "SUMMER"), "what was held is free again"
    assert (await ira.registers()).account.promo == "AUTUMN"
    assert (await used(world, "AUTUMN"), await used(world, "SUMMER")) == (1, 0)


async def test_a_code_counts_within_its_dates_alone(world: World) -> None:
    begin, end = world.now + timedelta(hours=1), world.now + timedelta(hours=2)
    await made(world, valid_from=begin, valid_until=end)
    people = [world.person(n) for n in range(1, 5)]
    with pytest.raises(PromoNotNow):
        await takes(people[0])
    world.clock.moment = begin
    assert await takes(people[1])
    world.clock.moment = end - timedelta(seconds=1)
    assert await takes(people[2])
    world.clock.moment = end
    with pytest.raises(PromoNotNow):
        await takes(people[3])
    # Its dates are those of the moment it was given: who was in time finishes with it.
    assert (await people[2].registers()).account.promo == "SUMMER"


async def test_a_code_is_for_registering(world: World) -> None:
    await made(world)
    ira = world.person(1)
    await ira.registers()
    with pytest.raises(PromoTooLate):
        await takes(ira)
    assert await world.rows(lookups, lookups.c.kind == "promo") == []


@pytest.mark.parametrize("again", ["the same person", "the same number"])
async def test_one_person_and_one_number_use_a_code_once(world: World, again: str) -> None:
    await made(world)
    ira = world.person(1)
    await takes(ira)
    await ira.registers(NUMBER)
    await world.accounts.erase(ira.update(), world.now)
    if again == "the same person":
        with pytest.raises(PromoUsedBefore):
            await takes(ira)
        assert (await ira.registers(OTHER_NUMBER)).account.promo is None
    else:
        oleg = world.person(2)
        await takes(oleg)
        assert (await oleg.registers(NUMBER)).account.promo is None
    assert await used(world) == 1


async def test_a_code_for_two_of_one_person_is_used_twice_and_no_more(world: World) -> None:
    await made(world, per_person=2)
    ira = world.person(1)
    for expected in ("SUMMER", "SUMMER"):
        await takes(ira)
        assert (await ira.registers()).account.promo == expected
        await world.accounts.erase(ira.update(), world.now)
        world.clock.move(seconds=1)
    with pytest.raises(PromoUsedBefore):
        await takes(ira)


async def test_proving_another_number_after_the_first_moved_uses_it_once(world: World) -> None:
    await made(world, max_uses=1)
    ira = world.person(1)
    await takes(ira)
    await ira.registers(NUMBER)
    world.clock.move(days=91)
    await world.person(2).registers(NUMBER)
    assert (await ira.registers(OTHER_NUMBER)).account.promo == "SUMMER"
    assert await used(world) == 1


async def test_a_hold_ends_with_the_day_and_is_taken_all_the_same_while_there_is_one(world: World) -> None:
    await made(world, max_uses=1)
    ira, oleg = world.person(1), world.person(2)
    await ira.accepts()
    await takes(ira)
    with pytest.raises(PromoUsedUp):
        await takes(oleg)
    world.clock.move(hours=24)
    # Before the cleanup came: whoever finishes now has what nobody else took.
    assert (await ira.registers()).account.promo == "SUMMER"
    assert await used(world) == 1


async def test_a_lapsed_hold_that_somebody_else_took_is_gone(world: World) -> None:
    await made(world, max_uses=1)
    ira, oleg = world.person(1), world.person(2)
    await ira.accepts()
    await takes(ira)
    world.clock.move(hours=24)
    await takes(oleg)
    progress = await ira.registers(NUMBER)
    assert (progress.confirmed_now, progress.account.promo) == (True, None)
    assert (await oleg.registers(OTHER_NUMBER)).account.promo == "SUMMER"
    assert await used(world) == 1


async def test_a_promise_from_before_the_account_lasts_as_long_as_the_account(world: World) -> None:
    await made(world, max_uses=1)
    ira = world.person(1)
    await takes(ira)
    world.clock.move(hours=23)
    await ira.accepts()
    world.clock.move(hours=23)
    with pytest.raises(PromoUsedUp):
        await takes(world.person(2))
    assert (await ira.registers()).account.promo == "SUMMER"


async def test_a_repeated_update_takes_nothing_more(world: World) -> None:
    await made(world, max_uses=2)
    ira = world.person(1)
    update = ira.update()
    assert await takes(ira, update=update)
    assert await takes(ira, update=update)
    assert len(await world.rows(promo_uses)) == 1
    missing = ira.update()
    for _ in range(3):
        with pytest.raises(PromoUnknown):
            await takes(ira, "NONE", missing)
    assert len(await world.rows(lookups)) == 1


async def test_t21_guessing_ends_after_five_and_a_restart_does_not_help(world: World, other: World) -> None:
    await made(world)
    ira = world.person(1)
    began = world.now
    for guess in range(5):
        with pytest.raises(PromoUnknown):
            await takes(ira, f"GUESS{guess}")
        world.clock.move(minutes=1)
    assert world.now == began + timedelta(minutes=5)
    world.clock.move(seconds=-1)
    for place in (world, other):
        # The right one too: nothing is looked up any more.
        with pytest.raises(LimitReached) as reached:
            await takes(place.person(1))
        assert (reached.value.limit, reached.value.retry_at) == (Limit.PROMO_GUESSES, began + timedelta(minutes=5))
    assert await takes(world.person(2)), "others are not concerned"
    assert (await world.person(3).registers(THIRD_NUMBER)).confirmed_now
    world.clock.move(seconds=1)
    assert await takes(other.person(1))
    assert "GUESS0" not in await world.everything()


async def test_t21_guesses_at_once_are_counted_one_by_one(world: World, other: World) -> None:
    outcomes = await asyncio.gather(
        *((world, other)[n % 2].promo_codes.take(UpdateRef(1, n), f"GUESS{n}", world.now) for n in range(1, 21)),
        return_exceptions=True,
    )
    assert Counter(type(outcome) for outcome in outcomes) == {PromoUnknown: 5, LimitReached: 15}


async def at_once(*tasks: Awaitable[str | None]) -> list[str | None]:
    """Wait for all; a refusal is an outcome, told by its name, any other exception is none."""
    outcomes: list[str | None] = []
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert outcome is None or isinstance(outcome, (str, Refusal)), repr(outcome)
        outcomes.append(type(outcome).__name__ if isinstance(outcome, Refusal) else outcome)
    return outcomes


@pytest.mark.parametrize("most", [1, 7])
async def test_t21_a_code_with_so_many_uses_gives_exactly_so_many_to_fifty_at_once(
    world: World, other: World, most: int
) -> None:
    """By two processes: everybody takes it and everybody registers, all in one go."""
    await made(world, max_uses=most)

    async def goes(n: int) -> str | None:
        actor = (world, other)[n % 2].person(n)
        try:
            await takes(actor)
        except PromoUsedUp:
            assert (await actor.registers(f"+7903{n:07}")).account.promo is None
            raise
        return (await actor.registers(f"+7903{n:07}")).account.promo

    outcomes = await at_once(*(goes(n) for n in range(1, MANY + 1)))
    assert Counter(outcomes) == {"SUMMER": most, "PromoUsedUp": MANY - most}
    assert await used(world) == most


async def test_t21_lapsed_holds_and_late_comers_at_once_use_no_more_than_there_is(world: World, other: World) -> None:
    """Ten held it and let their day pass; they finish while forty others take it."""
    most = 10
    await made(world, max_uses=most)
    late = [(world, other)[n % 2].person(n) for n in range(1, most + 1)]
    for actor in late:
        await actor.accepts()
        await takes(actor)
    world.clock.move(hours=24)

    async def finishes(actor: Actor) -> str | None:
        progress: Progress = await actor.registers(f"+7903{actor.id:07}")
        return progress.account.promo

    async def comes(n: int) -> str | None:
        actor = (world, other)[n % 2].person(n)
        await takes(actor)
        return await finishes(actor)

    outcomes = await at_once(*(finishes(actor) for actor in late), *(comes(n) for n in range(most + 1, MANY + 1)))
    assert Counter(outcomes)["SUMMER"] == most == await used(world)
    # All of them are registered, with the code or without.
    assert all(outcome in ("SUMMER", None) for outcome in outcomes[:most])


async def test_the_crm_is_told_the_code_that_was_used(database: Database) -> None:
    world = World(database, told=True)
    await made(world, max_uses=1)
    ira, oleg = world.person(1), world.person(2)
    await takes(ira)
    await ira.registers(NUMBER)
    with pytest.raises(PromoUsedUp):
        await takes(oleg)
    await oleg.registers(OTHER_NUMBER)
    rows = sorted(await world.rows(outbox, outbox.c.kind == "event"), key=lambda row: row.id)
    assert [row.payload["data"]["promo"] for row in rows] == ["SUMMER", None]
