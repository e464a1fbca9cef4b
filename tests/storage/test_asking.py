"""Asking for a code: what is sent, what is not, and which limit says so."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from storage.errors import (
    Limit,
    LimitReached,
    NoAccount,
    NothingToResend,
    NumberTaken,
    ResendTooEarly,
    WrongCode,
)
from storage.keys import Keys
from storage.limits import Window
from storage.models import AccountStatus, CodeSent, Progress, SendState
from storage.tables import challenges, lookups, outbox, sends
from tests.storage.world import DAY, HOUR, NUMBER, OTHER_NUMBER, SECRET, THIRD_NUMBER, World


async def refused(world: World) -> list[str]:
    return [row.refused_by for row in await world.rows(sends, sends.c.state == SendState.REFUSED)]


async def test_a_code_is_queued_with_its_ledger_row(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    sent = await ira.asks()
    assert isinstance(sent, CodeSent)
    assert (sent.number, sent.queued, sent.resend_at) == (NUMBER, True, world.now + timedelta(seconds=60))
    assert sent.account.asked_number == NUMBER
    (row,) = await world.rows(sends)
    assert (row.state, row.code_n, row.country, row.channel, row.at) == ("queued", 1, "RU", "sms", world.now)
    (item,) = await world.rows(outbox)
    assert (item.kind, item.payload, item.telegram_id) == (
        "code", {"send_id": row.id.hex, "route": [["console", "sms", 0]]}, 1,
    )  # fmt: skip


async def test_without_an_account_nothing_is_asked(world: World) -> None:
    ira = world.person(1)
    with pytest.raises(NoAccount):
        await ira.asks()
    with pytest.raises(NoAccount):
        await ira.resends()
    with pytest.raises(NoAccount):
        await ira.tries("123456")
    assert await world.rows(sends) == []


async def test_the_same_number_again_keeps_the_live_code(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await ira.asks()
    world.clock.move(seconds=30)
    again = await ira.asks()
    assert isinstance(again, CodeSent)
    assert (again.queued, again.resend_at) == (False, world.now + timedelta(seconds=30))
    world.clock.move(seconds=30)
    again = await ira.asks()
    assert isinstance(again, CodeSent)
    assert again.queued
    assert [row.code_n for row in await world.rows(sends)] == [1, 2]
    assert len(await world.rows(challenges)) == 1


async def test_resend_delays_grow_and_a_challenge_ends(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await ira.asks()
    for wait in (60, 120):
        world.clock.move(seconds=wait - 1)
        with pytest.raises(ResendTooEarly) as early:
            await ira.resends()
        assert early.value.retry_at == world.now + timedelta(seconds=1)
        world.clock.move(seconds=1)
        sent = await ira.resends()
        assert sent.queued
    assert sent.resend_at is None
    with pytest.raises(LimitReached) as limit:
        await ira.resends()
    # The number's hour allows three, so the next challenge waits for the first code's hour to pass.
    hour_is_over = world.now + HOUR - timedelta(minutes=3)
    assert (limit.value.limit, limit.value.retry_at) == (Limit.SENDS_PER_CHALLENGE, hour_is_over)
    assert await refused(world) == ["sends_per_challenge"]
    world.clock.moment = limit.value.retry_at
    assert (await ira.resends()).queued
    assert [row.state for row in await world.rows(challenges)] == ["replaced", "open"]


async def test_nothing_to_resend(world: World) -> None:
    ira = world.person(1)
    await ira.accepts(email=None)
    with pytest.raises(NothingToResend):
        await ira.resends()
    with pytest.raises(NothingToResend):
        await ira.tries("123456")
    await ira.asks(contact=True, needs_code=False)
    with pytest.raises(NothingToResend):
        await ira.resends()


async def test_another_number_replaces_the_old_one_only_when_it_is_accepted(world: World) -> None:
    world = world.with_limits(numbers_per_person=Window(2, DAY))
    ira = world.person(1)
    await ira.accepts()
    await ira.asks(NUMBER)
    await ira.asks(OTHER_NUMBER)
    assert (await ira.account()).asked_number == OTHER_NUMBER
    with pytest.raises(LimitReached) as limit:
        await ira.asks(THIRD_NUMBER)
    assert (limit.value.limit, limit.value.retry_at) == (Limit.NUMBERS_PER_PERSON, world.now + DAY)
    assert (await ira.account()).asked_number == OTHER_NUMBER
    assert await refused(world) == ["numbers_per_person"]
    world.clock.move(hours=24)
    await ira.accepts()
    assert isinstance(await ira.asks(THIRD_NUMBER), CodeSent)


async def test_numbers_are_counted_once_and_own_contacts_never(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    for number in (NUMBER, OTHER_NUMBER, NUMBER, OTHER_NUMBER):
        world.clock.move(minutes=30)
        await ira.asks(number)
    assert len(await world.rows(lookups)) == 2
    await ira.asks("+79990000001", contact=True)
    assert len(await world.rows(lookups)) == 2


async def test_t04_a_number_gets_three_an_hour_and_five_a_day_whoever_asks(world: World) -> None:
    people = [world.person(telegram_id) for telegram_id in range(1, 13)]
    for person in people:
        await person.accepts()
    results = await asyncio.gather(*(person.asks() for person in people), return_exceptions=True)
    assert sum(isinstance(result, CodeSent) for result in results) == 3
    limits = [result for result in results if isinstance(result, LimitReached)]
    assert [limit.limit for limit in limits] == [Limit.SENDS_PER_NUMBER] * 9
    assert {limit.retry_at for limit in limits} == {world.now + HOUR}
    assert await refused(world) == ["sends_per_number"] * 9
    world.clock.move(hours=1)
    results = await asyncio.gather(*(person.asks() for person in people[3:]), return_exceptions=True)
    assert sum(isinstance(result, CodeSent) for result in results) == 2
    limits = [result for result in results if isinstance(result, LimitReached)]
    assert {limit.retry_at for limit in limits} == {world.now + 23 * HOUR}
    world.clock.move(hours=23)
    honest = world.person(100)
    await honest.accepts()
    assert isinstance(await honest.asks(), CodeSent)


async def test_t05_an_owner_registers_by_contact_when_the_numbers_limit_is_used_up(world: World) -> None:
    for telegram_id in (1, 2, 3):
        attacker = world.person(telegram_id)
        await attacker.accepts()
        await attacker.asks()
    owner = world.person(10)
    await owner.accepts()
    with pytest.raises(LimitReached):
        await owner.asks()
    result = await owner.asks(contact=True)
    assert isinstance(result, Progress)
    assert result.confirmed_now
    assert (result.account.phone, result.account.status) == (NUMBER, AccountStatus.CONFIRMED)
    assert sorted(result.displaced) == [1, 2, 3]
    assert len(await world.rows(outbox, outbox.c.kind == "code")) == 3


async def test_t05_an_own_contact_helps_when_a_challenge_has_no_code_left(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await ira.asks()
    for seconds in (60, 120):
        world.clock.move(seconds=seconds)
        await ira.resends()
    typed = await ira.asks()
    assert isinstance(typed, CodeSent)
    assert (typed.queued, typed.resend_at) == (False, None)
    result = await ira.asks(contact=True)
    assert isinstance(result, Progress)
    assert result.confirmed_now
    assert await refused(world) == ["sends_per_challenge"]


async def test_t05_an_own_contact_helps_after_too_many_wrong_codes(world: World) -> None:
    world = world.with_limits(wrong_codes=Window(2, DAY))
    ira = world.person(1)
    await ira.accepts()
    await ira.asks()
    for _ in range(2):
        with pytest.raises(WrongCode):
            await ira.tries(await ira.wrong())
    with pytest.raises(LimitReached):
        await ira.tries((await ira.codes())[0])
    result = await ira.asks(contact=True)
    assert isinstance(result, Progress)
    assert result.confirmed_now
    assert await refused(world) == ["wrong_codes"]


async def test_a_persons_sends_are_limited(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    for n in range(4):
        await ira.asks(f"+7916000000{n}", contact=True)
    # The fifth own contact proves itself, since no SMS may leave.
    result = await ira.asks("+79160000004", contact=True)
    assert isinstance(result, Progress)
    assert result.confirmed_now
    assert await refused(world) == ["sends_per_person"]


async def test_a_send_that_failed_gives_its_allowance_back(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    for _ in range(6):
        sent = await ira.asks()
        assert isinstance(sent, CodeSent)
        assert sent.queued
        (row,) = await world.rows(sends, sends.c.state == SendState.QUEUED)
        await world.settle(row.id, SendState.FAILED)
    assert await refused(world) == []


async def test_a_contact_that_needs_no_code_proves_the_number(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await ira.asks(OTHER_NUMBER)
    result = await ira.asks(NUMBER, contact=True, needs_code=False)
    assert isinstance(result, Progress)
    assert result.confirmed_now
    assert (result.account.phone, result.account.asked_number) == (NUMBER, None)
    assert [row.state for row in await world.rows(challenges)] == ["replaced"]
    assert await world.deliver() == []


async def test_a_number_proven_already_costs_no_second_sms(world: World) -> None:
    ira = world.person(1)
    await ira.accepts(email=None)
    first = await ira.asks(contact=True, needs_code=False)
    assert isinstance(first, Progress)
    assert not first.confirmed_now
    await ira.asks(OTHER_NUMBER)
    back = await ira.asks(NUMBER)
    assert isinstance(back, Progress)
    assert (back.account.phone, back.account.asked_number) == (NUMBER, None)
    assert len(await world.rows(sends)) == 1
    done = await ira.gives("ira@example.org")
    assert done is not None
    assert done.confirmed_now


async def test_a_confirmed_person_is_asked_nothing(world: World) -> None:
    ira = world.person(1)
    await ira.registers()
    result = await ira.asks(OTHER_NUMBER)
    assert isinstance(result, Progress)
    assert not result.confirmed_now
    assert result.account.phone == NUMBER
    assert await world.rows(sends) == []


async def test_a_registered_number_is_named_at_once_or_only_after_proof(world: World) -> None:
    await world.person(1).registers()
    petr = world.person(2)
    await petr.accepts()
    with pytest.raises(NumberTaken):
        await petr.asks()
    assert len(await world.rows(lookups)) == 1
    assert isinstance(await petr.asks(reveal=False), CodeSent)
    with pytest.raises(NumberTaken):
        await petr.tries((await petr.codes())[0])
    account = await petr.account()
    assert (account.phone, account.asked_number, account.status) == (None, None, AccountStatus.PENDING)
    assert [row.state for row in await world.rows(challenges)] == ["taken"]
    assert isinstance(await petr.asks(OTHER_NUMBER), CodeSent)
    assert (await petr.tries((await petr.codes())[0])).confirmed_now


async def test_this_is_my_number_starts_the_proof(world: World) -> None:
    await world.person(1).registers()
    petr = world.person(2)
    await petr.accepts()
    assert isinstance(await petr.asks(claim=True), CodeSent)


async def test_the_timeline_tells_what_became_of_the_codes(world: World) -> None:
    ira = world.person(1)
    assert (await world.challenges.timeline(1, world.now)).events == ()
    await ira.accepts()
    await ira.asks()
    start = world.now
    await world.deliver()
    world.clock.move(seconds=60)
    await ira.resends()
    timeline = await world.challenges.timeline(1, world.now)
    assert [(event.at, event.state, event.refused_by) for event in timeline.events] == [
        (start, SendState.ACCEPTED, None),
        (world.now, SendState.QUEUED, None),
    ]
    assert timeline.resend_at == world.now + timedelta(seconds=120)
    world.clock.move(seconds=120)
    await ira.resends()
    with pytest.raises(LimitReached):
        await ira.resends()
    timeline = await world.challenges.timeline(1, world.now)
    assert (timeline.limited, timeline.resend_at) == (True, start + timedelta(hours=1))
    assert timeline.events[-1].refused_by == "sends_per_challenge"
    # No code is live any more, but the number's hour is not over.
    world.clock.move(minutes=11)
    timeline = await world.challenges.timeline(1, world.now)
    assert (timeline.limited, timeline.resend_at) == (True, start + timedelta(hours=1))
    world.clock.move(hours=1)
    timeline = await world.challenges.timeline(1, world.now)
    assert (timeline.limited, timeline.resend_at) == (False, world.now)


async def test_a_rotated_secret_resets_no_limit(world: World) -> None:
    for telegram_id in (1, 2, 3):
        person = world.person(telegram_id)
        await person.accepts()
        await person.asks()
    kept = World(world.database, Keys("another secret, just as long as the first", previous=SECRET))
    kept.clock = world.clock
    late = kept.person(4)
    await late.accepts()
    with pytest.raises(LimitReached):
        await late.asks()
    assert (await kept.person(1).tries((await world.person(1).codes())[0])).confirmed_now
