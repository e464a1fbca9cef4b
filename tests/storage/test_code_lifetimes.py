"""How long a code is right, apart from how long its session lasts, and when the next one may be asked for."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from storage.errors import CodeExpired, Limit, LimitReached, ResendTooEarly, TooManyTries, WrongCode
from storage.limits import Window
from storage.tables import code_attempts
from tests.storage.world import DAY, World


async def at_the_code(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await ira.asks()


async def test_a_code_expires_although_its_session_goes_on(world: World) -> None:
    await at_the_code(world)
    ira = world.person(1)
    (code,) = await ira.codes()
    world.clock.move(minutes=9, seconds=59)
    with pytest.raises(WrongCode):
        await ira.tries(await ira.wrong())
    # The session has ten more minutes, the code one second.
    world.clock.move(seconds=1)
    with pytest.raises(CodeExpired):
        await ira.tries(code)
    assert len(await world.rows(code_attempts)) == 1
    await ira.resends()
    assert (await ira.tries((await ira.codes())[0])).confirmed_now


async def test_a_session_ends_although_its_code_is_fresh(world: World) -> None:
    world = world.with_limits(challenge_session=timedelta(minutes=4))
    await at_the_code(world)
    ira = world.person(1)
    (code,) = await ira.codes()
    world.clock.move(minutes=4)
    with pytest.raises(CodeExpired):
        await ira.tries(code)
    await ira.resends()
    world.clock.move(minutes=3, seconds=59)
    assert (await ira.tries((await ira.codes())[0])).confirmed_now


async def test_a_resend_prolongs_the_session(world: World) -> None:
    world = world.with_limits(challenge_session=timedelta(minutes=4))
    await at_the_code(world)
    ira = world.person(1)
    (first,) = await ira.codes()
    world.clock.move(minutes=3)
    await ira.resends()
    world.clock.move(minutes=3)
    assert (await ira.tries(first)).confirmed_now


async def test_the_last_delay_serves_every_later_resend(world: World) -> None:
    world = world.with_limits(
        resend_delays=(timedelta(seconds=30), timedelta(seconds=90)),
        sends_per_challenge=5,
        sends_per_number=(Window(9, DAY),),
        sends_per_person=(Window(9, DAY),),
    )
    await at_the_code(world)
    ira = world.person(1)
    for wait in (30, 90, 90, 90):
        world.clock.move(seconds=wait - 1)
        with pytest.raises(ResendTooEarly) as early:
            await ira.resends()
        assert early.value.retry_at == world.now + timedelta(seconds=1)
        world.clock.move(seconds=1)
        sent = await ira.resends()
        assert sent.queued
    assert sent.resend_at is None


async def test_a_challenge_without_codes_left_opens_anew_when_its_last_code_expires(world: World) -> None:
    world = world.with_limits(
        sends_per_challenge=1, sends_per_number=(Window(9, DAY),), sends_per_person=(Window(9, DAY),)
    )
    await at_the_code(world)
    ira = world.person(1)
    world.clock.move(minutes=1)
    with pytest.raises(WrongCode):
        await ira.tries(await ira.wrong())
    with pytest.raises(LimitReached) as refusal:
        await ira.resends()
    assert (refusal.value.limit, refusal.value.retry_at) == (
        Limit.SENDS_PER_CHALLENGE,
        world.now + timedelta(minutes=9),
    )
    world.clock.move(minutes=9)
    assert (await ira.resends()).queued


async def test_fewer_tries_set_by_the_operator_hold_for_a_challenge_under_way(world: World) -> None:
    await at_the_code(world)
    for _ in range(3):
        with pytest.raises(WrongCode):
            await world.person(1).tries(await world.person(1).wrong())
    stricter = world.with_limits(code_attempts=3)
    ira = stricter.person(1)
    with pytest.raises(TooManyTries):
        await ira.tries((await ira.codes())[0])
    assert len(await world.rows(code_attempts)) == 3


async def test_a_code_is_sent_in_the_language_it_was_last_asked_for_in(world: World) -> None:
    await at_the_code(world)
    await world.deliver()
    world.clock.move(seconds=60)
    await world.challenges.resend(world.person(1).update(), "en", now=world.now)
    (item,) = await world.outbox.take("courier", world.now)
    dispatch = await world.begins(UUID(item.payload["send_id"]), "console")
    assert dispatch is not None
    assert dispatch.language == "en"
