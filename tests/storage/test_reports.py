"""Delivery reports (T14, F10-F14): twice, in any order, too early, too late or never; a state never moves back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from storage.database import Database
from storage.errors import Limit, LimitReached, ResendTooEarly
from storage.limits import Window
from storage.models import Channel, CodeSent, SendState
from storage.rows import insert_unless_there
from storage.sending import FixedRoutes, Offer
from storage.sends import Dispatch
from storage.tables import early_reports, outbox, sends
from tests.sql import connected
from tests.storage.crowd import enters, left, people
from tests.storage.world import DAY, NUMBER, OTHER_NUMBER, Actor, World

SMS = Offer("smsc", Channel.SMS, 300)
VOICE = Offer("smsc", Channel.VOICE, 900)
TELEGRAM = Offer("telegram", Channel.TELEGRAM, 100)
DELIVERED, UNDELIVERED = SendState.DELIVERED, SendState.UNDELIVERED


@pytest.fixture
def world(database: Database) -> World:
    return World(database).with_sending(routes=FixedRoutes((SMS, VOICE)))


async def asks(world: World, telegram_id: int = 1, number: str = NUMBER) -> Actor:
    (ira,) = await people(world, [telegram_id])
    assert isinstance(await ira.asks(number), CodeSent)
    return ira


async def begun(world: World, offer: Offer = SMS) -> Dispatch:
    """The only code that waits is being sent."""
    (row,) = await left(world, state=SendState.QUEUED)
    dispatch = await world.sends.begin(UUID(str(row.id)), offer, world.now)
    assert isinstance(dispatch, Dispatch)
    return dispatch


async def accepted(world: World, provider_id: str = "77", offer: Offer = SMS) -> UUID:
    """A gateway has the only code that waits."""
    dispatch = await begun(world, offer)
    assert await world.sends.settle(dispatch, SendState.ACCEPTED, world.now, provider_id=provider_id)
    return dispatch.send_id


async def reports(world: World, state: SendState, provider_id: str = "77", gateway: str = "smsc") -> bool:
    return await world.sends.report(gateway, provider_id, state, world.now)


async def states(world: World) -> list[str]:
    return [row.state for row in await left(world)]


async def told(world: World) -> list[tuple[int, str, Any]]:
    rows = await world.rows(outbox, outbox.c.kind == "notice")
    return [(row.payload["telegram_id"], row.payload["text"], row.payload["values"]) for row in rows]


async def test_f10_a_report_that_comes_ten_times_at_once_counts_once(world: World) -> None:
    ira = await asks(world)
    await accepted(world)
    assert sorted(await asyncio.gather(*(reports(world, UNDELIVERED) for _ in range(10)))) == [False] * 9 + [True]
    assert await states(world) == ["undelivered"]
    assert await told(world) == [(1, "notice-code-undelivered", {"channels": ["voice"]})]
    assert await world.rows(early_reports) == []
    await ira.resends()
    await enters(ira)


async def test_f11_arrived_stays_arrived_in_whichever_order_it_is_said(world: World) -> None:
    ira = await asks(world)
    await accepted(world)
    assert await reports(world, DELIVERED)
    assert not await reports(world, UNDELIVERED)
    assert not await reports(world, DELIVERED)
    assert (await states(world), await told(world)) == (["delivered"], [])
    other = await asks(world, 2, OTHER_NUMBER)
    await accepted(world, "78")
    assert await reports(world, UNDELIVERED, "78")
    assert await reports(world, DELIVERED, "78")
    assert not await reports(world, UNDELIVERED, "78")
    assert await states(world) == ["delivered", "delivered"]
    await enters(ira)
    await enters(other)


async def test_f12_a_report_for_an_account_that_was_deleted_tells_nobody(world: World) -> None:
    ira = await asks(world)
    await accepted(world)
    assert await world.accounts.erase(ira.update(), world.now)
    assert await reports(world, UNDELIVERED)
    assert (await states(world), await told(world)) == (["undelivered"], [])
    # Nor whoever has the number by now, nor the same person who began anew.
    await ira.accepts()
    await ira.asks()
    assert await reports(world, DELIVERED)
    assert await told(world) == []
    await enters(ira)


@pytest.mark.parametrize("state", [DELIVERED, UNDELIVERED])
async def test_f13_a_report_before_our_own_commit_waits_for_it(world: World, state: SendState) -> None:
    ira = await asks(world)
    dispatch = await begun(world)
    assert not await reports(world, state)
    assert await states(world) == ["sending"]
    assert await world.sends.settle(dispatch, SendState.ACCEPTED, world.now, provider_id="77")
    assert await states(world) == [state]
    assert [text for _, text, _ in await told(world)] == (["notice-code-undelivered"] if state is UNDELIVERED else [])
    assert await world.rows(early_reports) == []
    assert not await reports(world, state)
    await enters(ira)


@pytest.mark.parametrize("order", [(UNDELIVERED, DELIVERED), (DELIVERED, UNDELIVERED)])
async def test_f11_f13_of_two_that_came_too_early_arrived_is_the_last_word(
    world: World, order: tuple[SendState, SendState]
) -> None:
    ira = await asks(world)
    dispatch = await begun(world)
    for state in order:
        assert not await reports(world, state)
    await world.sends.settle(dispatch, SendState.ACCEPTED, world.now, provider_id="77")
    assert (await states(world), await told(world)) == (["delivered"], [])
    await enters(ira)


async def test_f13_a_report_in_the_same_moment_as_our_own_commit_is_not_lost(world: World) -> None:
    for n in range(1, 21):
        actor = await asks(world, n, f"+7903{n:07}")
        dispatch = await begun(world)
        settled = world.sends.settle(dispatch, SendState.ACCEPTED, world.now, provider_id=str(n))
        await asyncio.gather(settled, reports(world, DELIVERED, str(n)))
        assert await left(world, state=DELIVERED, provider_id=str(n))
        await enters(actor)
    assert await world.rows(early_reports) == []


@pytest.fixture
async def on_postgresql(postgresql_url: str) -> AsyncIterator[World]:
    database = Database(postgresql_url)
    yield World(database).with_sending(routes=FixedRoutes((SMS, VOICE)))
    await database.dispose()


async def test_f13_an_answer_between_the_look_and_the_note_of_a_report_waits(
    on_postgresql: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = on_postgresql
    ira = await asks(world)
    dispatch = await begun(world)
    settling: list[asyncio.Task[bool]] = []

    async def slowly(*args: Any, **row: Any) -> bool:
        settle = world.sends.settle(dispatch, SendState.ACCEPTED, world.now, provider_id="77")
        settling.append(asyncio.create_task(settle))
        done, _ = await asyncio.wait(settling, timeout=0.3)
        assert not done
        return await insert_unless_there(*args, **row)

    monkeypatch.setattr("storage.sends.insert_unless_there", slowly)
    assert not await reports(world, DELIVERED)
    assert await settling[0]
    assert await states(world) == ["delivered"]
    await enters(ira)


async def test_f14_without_any_report_the_code_is_right_and_another_may_be_asked_for(world: World) -> None:
    ira = await asks(world)
    await accepted(world)
    with pytest.raises(ResendTooEarly) as early:
        await ira.resends()
    world.clock.moment = early.value.retry_at
    assert (await ira.resends()).queued
    assert await states(world) == ["accepted", "queued"]
    await enters(ira)


async def test_t14_a_report_about_what_nobody_knows_changes_nothing(world: World) -> None:
    ira = await asks(world)
    send_id = await accepted(world)
    before = [await world.rows(table) for table in (sends, outbox)]
    assert not await reports(world, UNDELIVERED, "78")
    assert not await reports(world, UNDELIVERED, gateway="twilio")
    assert not await reports(world, UNDELIVERED, str(send_id))
    assert not await reports(world, UNDELIVERED, "")
    assert [await world.rows(table) for table in (sends, outbox)] == before
    # They are forgotten like everything else that nobody asked for.
    world.clock.move(hours=48, seconds=1)
    await world.expiry.prune_applied(world.now)
    assert await world.rows(early_reports) == []
    await ira.accepts()
    await ira.asks()
    await enters(ira)


MAY_FOLLOW = {
    (before, after) for before in ("sending", "unknown", "accepted") for after in (DELIVERED, UNDELIVERED)
} | {("undelivered", DELIVERED)}


async def test_t14_a_report_never_moves_a_state_back(world: World) -> None:
    ira = await asks(world)
    send_id = await accepted(world)
    for before, after in itertools.product(SendState, (DELIVERED, UNDELIVERED)):
        async with connected(world.database) as conn:
            await conn.execute(sends.update().where(sends.c.id == send_id).values(state=before.value))
        moved = await reports(world, after)
        assert moved == ((before.value, after) in MAY_FOLLOW), (before, after)
        (row,) = await world.rows(sends)
        assert row.state == (after if moved else before)
    assert len(await told(world)) == 1
    assert (await ira.resends()).queued
    await enters(ira)


async def test_a_report_tells_what_became_of_a_send_nobody_knew_of(world: World) -> None:
    ira = await asks(world)
    dispatch = await begun(world)
    assert await world.sends.settle(
        dispatch, SendState.UNKNOWN, world.now, provider_id="own-1", text="notice-code-unknown"
    )
    assert await reports(world, UNDELIVERED, "own-1")
    assert [text for _, text, _ in await told(world)] == ["notice-code-unknown", "notice-code-undelivered"]
    assert (await ira.resends()).queued
    dispatch = await begun(world)
    assert await world.sends.settle(dispatch, SendState.UNKNOWN, world.now, provider_id="own-2")
    assert await reports(world, DELIVERED, "own-2")
    assert await states(world) == ["undelivered", "delivered"]
    await enters(ira)


async def test_what_did_not_arrive_is_told_once_with_the_other_channels_and_opens_the_resend(world: World) -> None:
    ira = await asks(world)
    await accepted(world)
    with pytest.raises(ResendTooEarly):
        await ira.resends()
    assert (await world.challenges.timeline(1, world.now)).resend_at > world.now
    assert await reports(world, UNDELIVERED)
    timeline = await world.challenges.timeline(1, world.now)
    assert (timeline.resend_at, timeline.limited, timeline.channels) == (world.now, False, frozenset({Channel.VOICE}))
    assert [event.state for event in timeline.events] == [UNDELIVERED]
    assert (await ira.resends()).queued
    assert len(await told(world)) == 1
    await accepted(world, "78")
    # The delay of the second code counts again.
    with pytest.raises(ResendTooEarly) as early:
        await ira.resends()
    assert early.value.retry_at == world.now + timedelta(minutes=2)
    await enters(ira)


@pytest.mark.parametrize("why", ["entered", "a newer code", "another number"])
async def test_who_waits_for_it_no_longer_is_not_told(world: World, why: str) -> None:
    ira = await asks(world)
    await accepted(world)
    match why:
        case "entered":
            await enters(ira)
        case "a newer code":
            world.clock.move(minutes=1)
            await ira.resends()
        case "another number":
            await ira.asks(OTHER_NUMBER)
    assert await reports(world, UNDELIVERED)
    assert await told(world) == []
    if why != "entered":
        await enters(ira)


async def test_a_verification_message_that_did_not_arrive_is_followed_by_an_sms_at_once(world: World) -> None:
    world = world.with_sending(routes=FixedRoutes((TELEGRAM, SMS)))
    ira = await asks(world)
    send_id = await accepted(world, offer=TELEGRAM)
    assert await reports(world, UNDELIVERED, gateway="telegram")
    due = [item for item in await world.outbox.take("courier", world.now) if item.kind == "fall_back"]
    assert [item.payload for item in due] == [{"send_id": send_id.hex}]
    assert await told(world) == []
    assert await world.challenges.fall_back(send_id, world.now)
    assert [(row.channel, row.state) for row in await left(world)] == [("telegram", "undelivered"), ("sms", "queued")]
    await enters(ira)


async def test_a_verification_message_that_no_sms_may_follow_is_told(world: World) -> None:
    world = world.with_sending(routes=FixedRoutes((TELEGRAM, SMS, VOICE)))
    world = world.with_limits(sends_per_number=(Window(1, DAY),))
    no_telegram = world.with_sending(routes=FixedRoutes((SMS,)))
    await asks(no_telegram, 2)
    ira = await asks(world)
    (row,) = await left(world, channel="telegram")
    dispatch = await world.sends.begin(UUID(str(row.id)), TELEGRAM, world.now)
    assert isinstance(dispatch, Dispatch)
    await world.sends.settle(dispatch, SendState.ACCEPTED, world.now, provider_id="77")
    # While it may still arrive there is nothing to say.
    with pytest.raises(LimitReached):
        await world.challenges.fall_back(dispatch.send_id, world.now)
    assert await told(world) == []
    assert await reports(world, UNDELIVERED, gateway="telegram")
    for _ in range(2):
        with pytest.raises(LimitReached) as refusal:
            await world.challenges.fall_back(dispatch.send_id, world.now)
        assert refusal.value.limit is Limit.SENDS_PER_NUMBER
    # It did not arrive, so a call is open again.
    assert await told(world) == [(1, "notice-code-undelivered", {"channels": ["telegram", "voice"]})]
    await world.challenges.resend(ira.update(), "ru", world.now, Channel.VOICE)
    await enters(ira)
