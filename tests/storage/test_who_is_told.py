"""Notices and the clock: in whose language, when once more, and when not at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from storage.errors import NumberTaken
from storage.models import CodeSent, Progress
from storage.tables import accounts, outbox
from tests.storage.world import DAY, HOUR, NUMBER, OTHER_NUMBER, THIRD_NUMBER, World

SHARED = "shared@example.org"


async def languages(world: World) -> dict[int, Any]:
    rows = await world.rows(outbox, outbox.c.kind == "notice")
    return {row.payload["telegram_id"]: row.payload["language"] for row in rows}


async def test_whoever_loses_something_is_told_in_their_own_language(world: World) -> None:
    claimer, asker = world.person(2), world.person(3)
    await claimer.accepts(email=SHARED)
    await asker.accepts()
    await asker.asks()
    await world.accounts.set_language(claimer.update(), "en")
    winner = world.person(1, SHARED)
    await winner.registers()
    assert await languages(world) == {2: "en", 3: "ru"}
    world.clock.move(days=91)
    await world.accounts.set_language(winner.update(), "en")
    await world.person(4).registers()
    assert (await languages(world))[1] == "en"


async def test_the_language_of_the_acceptance_is_the_accounts(world: World) -> None:
    ira = world.person(1)
    await ira.accepts(version="2025-12")
    await world.accounts.set_language(ira.update(), "en")
    await ira.accepts()
    assert (await ira.account()).language == "ru"


async def test_nobody_is_reminded_of_what_has_ended(world: World) -> None:
    await world.person(1).accepts()
    world.clock.move(hours=24)
    assert await world.expiry.remind_due(world.now) == 0
    assert await world.notices() == []


async def test_who_lost_a_recycled_number_is_reminded_in_the_new_day_too(world: World) -> None:
    old = world.person(1)
    await old.accepts()
    world.clock.move(hours=21)
    assert await world.expiry.remind_due(world.now) == 1
    await old.registers()
    world.clock.move(days=91)
    await world.person(2).registers()
    assert await world.expiry.remind_due(world.now) == 0
    world.clock.move(hours=20)
    assert await world.expiry.remind_due(world.now) == 1
    assert [row.telegram_id for row in await world.rows(accounts, accounts.c.reminded_at == world.now)] == [1]


async def test_a_number_proven_before_it_was_confirmed_is_held_from_the_confirmation_on(world: World) -> None:
    holder = world.person(1)
    await holder.accepts(email=None)
    await holder.asks(NUMBER, contact=True, needs_code=False)
    world.clock.move(hours=20)
    done = await holder.gives("holder@example.org")
    assert done is not None
    assert done.confirmed_now
    world.clock.move(days=90)
    rival = world.person(2)
    await rival.accepts()
    with pytest.raises(NumberTaken):
        await rival.asks(NUMBER, contact=True, needs_code=False, claim=True)
    world.clock.move(seconds=1)
    moved = await rival.asks(NUMBER, contact=True, needs_code=False, claim=True)
    assert isinstance(moved, Progress)
    assert moved.confirmed_now


async def test_a_verified_address_of_an_ended_account_stands_in_nobodys_way(world: World) -> None:
    gone, ira = world.person(1), world.person(2, SHARED)
    await gone.accepts(email=None)
    await gone.gives(SHARED, verified=True)
    world.clock.move(hours=23, minutes=59)
    await ira.accepts(email=None)
    await ira.gives(SHARED)
    await ira.asks(OTHER_NUMBER)
    (code,) = await ira.codes()
    world.clock.move(minutes=1)
    assert (await ira.tries(code)).confirmed_now
    assert await world.expiry.expire_due(world.now) == [1]
    assert (await ira.account()).email == SHARED


async def test_the_oldest_are_reminded_and_deleted_first(world: World) -> None:
    for telegram_id in range(1, 7):
        await world.person(telegram_id).accepts()
        world.clock.move(minutes=1)
    world.clock.move(hours=24)
    assert [await world.expiry.expire_due(world.now, batch=1) for _ in range(6)] == [[n] for n in range(1, 7)]


async def test_an_asked_number_is_the_one_a_replay_names(world: World) -> None:
    ira = world.person(1)
    await ira.accepts(email=None)
    await ira.asks(NUMBER, contact=True, needs_code=False)
    update = ira.update()
    first = await ira.asks(THIRD_NUMBER, update=update)
    assert isinstance(first, CodeSent)
    assert first.number == THIRD_NUMBER
    assert await ira.asks(THIRD_NUMBER, update=update) == first


async def test_a_row_that_is_done_stays_done(world: World) -> None:
    await world.outbox.put("thing", {}, world.now, dedupe="once")
    (item,) = await world.outbox.take("me", world.now)
    await world.outbox.done(item.id, "me")
    await world.outbox.retry(item.id, "me", world.now, "late")
    await world.outbox.dead(item.id, "me", "late")
    assert [(row.status, row.error) for row in await world.rows(outbox)] == [("done", None)]
    assert await world.outbox.take("me", world.now + DAY + HOUR + timedelta(seconds=1)) == []


async def test_accepting_terms_gives_a_confirmed_account_no_unproven_address(world: World) -> None:
    holder, owner = world.person(1, SHARED), world.person(2)
    await holder.registers()
    await owner.accepts(email=None)
    await owner.gives(SHARED, verified=True)
    assert (await holder.account()).email is None
    await holder.accepts(email="typed@example.org")
    assert (await holder.account()).email is None


async def test_a_replay_of_what_sent_no_code_says_so_again(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await ira.asks()
    update = ira.update()
    second = await ira.asks(update=update)
    assert isinstance(second, CodeSent)
    assert not second.queued
    assert await ira.asks(update=update) == second


async def test_t29_a_right_code_at_the_very_end_confirms_until_the_cleanup_came(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    world.clock.move(hours=23, minutes=55)
    await ira.asks()
    (code,) = await ira.codes()
    world.clock.move(minutes=6)
    assert (await ira.tries(code)).confirmed_now
    assert await world.expiry.expire_due(world.now) == []
    assert await world.notices() == []
