"""What does not open a limit early: another window, an erasure, a rotation of the secret."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from storage.errors import Limit, LimitReached, WrongCode
from storage.keys import Keys
from storage.limits import Window
from storage.models import CodeSent, SendState
from storage.tables import lookups
from storage.tables import sends as table
from tests.storage.world import DAY, HOUR, NUMBER, SECRET, World

# Of the same range.
OTHER = f"{NUMBER[:-4]}0001"


async def sends(world: World, telegram_id: int, number: str = NUMBER) -> None:
    person = world.person(telegram_id)
    await person.accepts()
    assert isinstance(await person.asks(number), CodeSent)
    await world.deliver()


async def test_with_two_windows_full_the_later_end_is_told(world: World) -> None:
    first = world.now
    await sends(world, 1)
    await sends(world, 2)
    world.clock.move(hours=23, minutes=30)
    for telegram_id in (3, 4, 5):
        await sends(world, telegram_id)
    ira = world.person(6)
    await ira.accepts()
    with pytest.raises(LimitReached) as refusal:
        await ira.asks()
    # The day opens half an hour from now, the hour half an hour later.
    assert (refusal.value.limit, refusal.value.retry_at) == (Limit.SENDS_PER_NUMBER, world.now + HOUR)
    world.clock.moment = first + DAY
    with pytest.raises(LimitReached):
        await ira.asks()
    world.clock.moment = refusal.value.retry_at - timedelta(seconds=1)
    with pytest.raises(LimitReached):
        await ira.asks()
    world.clock.move(seconds=1)
    assert isinstance(await ira.asks(), CodeSent)


async def test_a_limit_that_was_lowered_counts_from_the_newest_sends(world: World) -> None:
    world = world.with_limits(sends_per_number=(Window(3, HOUR),))
    for telegram_id in (1, 2, 3):
        await sends(world, telegram_id)
        world.clock.move(minutes=10)
    stricter = world.with_limits(sends_per_number=(Window(1, HOUR), Window(3, 2 * HOUR)))
    ira = stricter.person(4)
    await ira.accepts()
    with pytest.raises(LimitReached) as refusal:
        await ira.asks()
    # The newest send is ten minutes old; the third newest leaves the longer window at the end of its two hours.
    assert refusal.value.retry_at == world.now + timedelta(minutes=90)
    only_hour = world.with_limits(sends_per_number=(Window(1, HOUR), Window(4, HOUR)))
    with pytest.raises(LimitReached) as refusal:
        await only_hour.person(4).asks()
    assert refusal.value.retry_at == world.now + timedelta(minutes=50)


@pytest.mark.parametrize(
    ("limit", "who", "number", "changes"),
    [
        (Limit.SENDS_PER_NUMBER, 2, NUMBER, {"sends_per_number": (Window(1, HOUR),)}),
        (Limit.SENDS_PER_PERSON, 1, OTHER, {"sends_per_person": (Window(1, HOUR),)}),
        (Limit.SENDS_PER_PREFIX, 2, OTHER, {"sends_per_prefix": Window(1, HOUR), "prefix_evidence": Window(9, HOUR)}),
    ],
)
async def test_a_code_that_left_late_counts_from_when_it_left(
    world: World, limit: Limit, who: int, number: str, changes: dict[str, Any]
) -> None:
    """Its gateways were away: it was asked for before the window begins, and left inside of it."""
    world = world.with_limits(**changes)
    ira = world.person(1)
    await ira.accepts()
    await ira.asks()
    (queued,) = await world.rows(table)
    world.clock.move(minutes=9)
    left_at = world.now
    assert await world.begins(queued.id) is not None
    await world.settle(queued.id, SendState.ACCEPTED)
    world.clock.move(minutes=59)
    person = world.person(who)
    await person.accepts()
    with pytest.raises(LimitReached) as refusal:
        await person.asks(number)
    assert (refusal.value.limit, refusal.value.retry_at) == (limit, left_at + HOUR)
    world.clock.move(minutes=1)
    assert isinstance(await person.asks(number), CodeSent)


async def test_an_address_looked_up_a_day_ago_counts_anew(world: World) -> None:
    ira = world.person(1)
    await ira.gives("ira@example.org")
    world.clock.move(hours=23, minutes=59)
    await ira.gives("ira@example.org")
    assert len(await world.rows(lookups)) == 1
    world.clock.move(minutes=1)
    await ira.gives("ira@example.org")
    assert len(await world.rows(lookups)) == 2


async def test_erasing_an_account_gives_no_sms_back(world: World) -> None:
    ira = world.person(1)
    for _ in range(3):
        await sends(world, 1)
        assert await world.accounts.erase(ira.update(), world.now)
    await ira.accepts()
    with pytest.raises(LimitReached) as refusal:
        await ira.asks()
    assert refusal.value.limit is Limit.SENDS_PER_NUMBER
    world.clock.move(hours=1)
    assert isinstance(await ira.asks(), CodeSent)


async def test_expiry_gives_no_sms_back(world: World) -> None:
    world = world.with_limits(sends_per_number=(Window(1, 2 * DAY),))
    await sends(world, 1)
    world.clock.move(hours=24)
    assert await world.expiry.expire_due(world.now) == [1]
    await world.person(1).accepts()
    with pytest.raises(LimitReached):
        await world.person(1).asks()


async def test_a_rotated_secret_resets_neither_wrong_codes_nor_look_ups_nor_a_persons_sends(world: World) -> None:
    world = world.with_limits(
        wrong_codes=Window(1, DAY), numbers_per_person=Window(1, DAY), sends_per_person=(Window(1, DAY),)
    )
    await sends(world, 1)
    with pytest.raises(WrongCode):
        await world.person(1).tries(await world.person(1).wrong())
    rotated = World(world.database, Keys("another secret, just as long as the first", previous=SECRET), world.limits)
    rotated.clock = world.clock
    ira = rotated.person(1)
    with pytest.raises(LimitReached) as refusal:
        await ira.tries("000000")
    assert refusal.value.limit is Limit.WRONG_CODES
    with pytest.raises(LimitReached) as refusal:
        await ira.asks("+79035550001")
    assert refusal.value.limit is Limit.NUMBERS_PER_PERSON
    only_sends = rotated.with_limits(wrong_codes=Window(9, DAY), numbers_per_person=Window(9, DAY))
    with pytest.raises(LimitReached) as refusal:
        await only_sends.person(1).asks("+79035550001")
    assert refusal.value.limit is Limit.SENDS_PER_PERSON


async def test_a_right_code_is_no_wrong_one(world: World) -> None:
    world = world.with_limits(wrong_codes=Window(1, DAY))
    ira = world.person(1)
    await sends(world, 1)
    assert (await ira.tries((await ira.codes())[0])).confirmed_now
    await world.accounts.erase(ira.update(), world.now)
    await sends(world, 1)
    assert (await ira.tries((await ira.codes())[0])).confirmed_now
