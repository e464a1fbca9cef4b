"""TEST_NUMBERS: a reviewer's number gets nothing and has a known code, until a day; then it is like any other."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from bot.routing import reviewers
from bot.settings import Settings
from storage.database import Database
from storage.errors import Limit, LimitReached, TooManyTries, WrongCode
from storage.limits import Window
from storage.models import Channel, CodeSent, SendState
from storage.sending import FixedRoutes, Offer, ReviewerNumbers
from storage.tables import code_attempts, outbox, prefix_blocks, sends
from tests.storage.crowd import alerts, ask_at_once, enters, left, people
from tests.storage.world import DAY, OTHER_NUMBER, Actor, World

REVIEWED, CODE = "+79990000001", "123456"
PAID = FixedRoutes((Offer("smsc", Channel.SMS, 300), Offer("smsc", Channel.VOICE, 900)))


@pytest.fixture
def world(database: Database) -> World:
    world = World(database)
    numbers = ReviewerNumbers({REVIEWED: CODE}, until=world.now + DAY)
    return world.with_sending(routes=PAID, daily_budget=1000, test_numbers=numbers)


async def asks(world: World, telegram_id: int = 1, number: str = REVIEWED) -> Actor:
    (ira,) = await people(world, [telegram_id])
    sent = await ira.asks(number)
    assert isinstance(sent, CodeSent)
    assert sent.queued
    return ira


async def an_honest_person_registers(world: World) -> None:
    ira = await asks(world, 500, OTHER_NUMBER)
    await enters(ira)


async def test_the_known_code_registers_and_nothing_is_sent(world: World) -> None:
    reviewer = await asks(world)
    assert await world.rows(outbox) == []
    (row,) = await world.rows(sends)
    assert (row.state, row.channel, row.price, row.provider_id) == ("accepted", "test", 0, None)
    progress = await reviewer.tries(CODE)
    assert progress.confirmed_now
    assert progress.account.phone == REVIEWED
    await an_honest_person_registers(world)


async def test_the_code_of_a_reviewers_number_opens_no_other(world: World) -> None:
    ira = await asks(world, 2, OTHER_NUMBER)
    assert await ira.codes() != [CODE]
    with pytest.raises(WrongCode):
        await ira.tries(CODE)
    await enters(ira)


async def test_a_wrong_code_counts_as_everywhere(world: World) -> None:
    reviewer = await asks(world)
    (derived,) = await reviewer.codes()
    assert derived != CODE
    for left_over in (4, 3, 2, 1, 0):
        with pytest.raises(WrongCode) as wrong:
            await reviewer.tries(derived)
        assert wrong.value.tries_left == left_over
    with pytest.raises(TooManyTries):
        await reviewer.tries(CODE)
    assert [row.outcome for row in await world.rows(code_attempts)] == ["wrong"] * 5
    world.clock.move(minutes=1)
    assert (await reviewer.resends()).is_new
    for _ in range(5):
        with pytest.raises((WrongCode, LimitReached)):
            await reviewer.tries(derived)
    with pytest.raises(LimitReached) as refusal:
        await reviewer.tries(CODE)
    assert refusal.value.limit is Limit.WRONG_CODES
    world.clock.moment = refusal.value.retry_at - timedelta(seconds=1)
    await an_honest_person_registers(world)


@pytest.mark.parametrize("channel", [None, Channel.SMS, Channel.VOICE])
async def test_asking_again_by_any_channel_sends_nothing_either(world: World, channel: Channel | None) -> None:
    reviewer = await asks(world)
    world.clock.move(minutes=1)
    assert (await world.challenges.resend(reviewer.update(), "ru", world.now, channel)).queued
    assert await world.rows(outbox) == []
    assert (await reviewer.tries(CODE)).confirmed_now


async def test_a_reviewers_number_uses_no_limit_and_no_budget_up_and_closes_no_range(world: World) -> None:
    numbers = {f"{REVIEWED[:-4]}{n:04}": CODE for n in range(1, 41)}
    world = world.with_sending(test_numbers=ReviewerNumbers(numbers, until=world.now + DAY))
    actors = await people(world, range(1, 41))
    assert all(isinstance(sent, CodeSent) for sent in await ask_at_once(actors, REVIEWED[:-4]))
    assert sum(row.price for row in await left(world)) == 0
    ira = await asks(world, 600, f"{REVIEWED[:-4]}0600")
    assert (await world.rows(prefix_blocks), await alerts(world)) == ([], [])
    await enters(ira)


async def test_while_sending_is_paused_a_reviewer_registers(world: World) -> None:
    paused = world.with_sending(paused=True)
    reviewer = await asks(paused)
    assert (await reviewer.tries(CODE)).confirmed_now


async def test_at_the_end_it_is_a_number_like_any_other(world: World) -> None:
    world.clock.move(hours=24, seconds=-1)
    reviewer = await asks(world)
    assert await world.rows(outbox) == []
    world.clock.move(seconds=1)
    # Its code was never sent, so nobody knows it; the known one is wrong from this second.
    with pytest.raises(WrongCode):
        await reviewer.tries(CODE)
    world.clock.move(minutes=1)
    assert (await reviewer.resends()).queued
    (item,) = await world.rows(outbox)
    (row,) = await left(world, channel="sms")
    assert (UUID(item.payload["send_id"]), row.state, row.price) == (row.id, SendState.QUEUED, 300)
    with pytest.raises(WrongCode):
        await reviewer.tries(CODE)
    await enters(reviewer)


async def test_after_the_end_its_limits_are_those_of_everybody(world: World) -> None:
    world = world.with_limits(sends_per_number=(Window(1, DAY),))
    for telegram_id in (1, 2, 3):
        await asks(world, telegram_id)
    world.clock.move(hours=24)
    # None of what was not sent counts.
    ira = await asks(world, 4)
    (oleg,) = await people(world, [5])
    with pytest.raises(LimitReached):
        await oleg.asks(REVIEWED)
    await enters(ira)


def settings(**values: Any) -> Settings:
    return Settings(secret_key="a secret of the tests, long enough for them", **values)


def test_without_a_last_day_they_are_refused() -> None:
    with pytest.raises(ValidationError, match="TEST_NUMBERS_UNTIL"):
        settings(test_numbers=f"{REVIEWED}={CODE}")


def test_the_last_day_is_whole_where_the_operator_lives() -> None:
    given = settings(
        test_numbers=f"{REVIEWED}={CODE}", test_numbers_until=date(2026, 12, 31), time_zone="Europe/Moscow"
    )
    numbers = reviewers(given)
    assert numbers.until == datetime(2026, 12, 31, 21, 0, tzinfo=UTC)
    assert numbers.code(REVIEWED, numbers.until - timedelta(seconds=1)) == CODE
    assert numbers.code(REVIEWED, numbers.until) is None
    assert numbers.code(OTHER_NUMBER, numbers.until - DAY) is None
    assert CODE not in repr(given)
    assert reviewers(settings()).code(REVIEWED, datetime(2020, 1, 1, tzinfo=UTC)) is None
