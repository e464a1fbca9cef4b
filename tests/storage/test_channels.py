"""Codes by other channels than SMS: asked for by the person, or a verification message that an SMS follows."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from storage.database import Database
from storage.errors import Limit, LimitReached, NothingIsSent, ResendTooEarly, WrongCode
from storage.limits import Window
from storage.models import Channel, CodeSent, Progress, SendState
from storage.outbox import OutboxItem
from storage.sending import FixedRoutes, Offer
from storage.sends import Dispatch, NotNow
from storage.tables import outbox
from tests.storage.crowd import ByCountry, enters, left, people, refusals
from tests.storage.world import DAY, HOUR, NUMBER, OTHER_NUMBER, Actor, World

SMS, VOICE = Offer("smsc", Channel.SMS, 300), Offer("smsc", Channel.VOICE, 900)
TELEGRAM = Offer("telegram", Channel.TELEGRAM, 100)
TTL = timedelta(seconds=60)


@pytest.fixture
def world(database: Database) -> World:
    return World(database).with_sending(routes=FixedRoutes((TELEGRAM, SMS, VOICE)))


async def resends(actor: Actor, channel: Channel | None) -> CodeSent:
    return await actor.world.challenges.resend(actor.update(), "en", actor.world.now, channel)


async def carried(world: World, *offers: Offer, becomes: SendState = SendState.ACCEPTED) -> Dispatch:
    """Play the courier with the only code that waits: the last of these gateways does with it what is said."""
    (row,) = await left(world, state=SendState.QUEUED)
    dispatch: Dispatch | NotNow = NotNow.OVER
    for offer in offers:
        dispatch = await world.sends.begin(UUID(str(row.id)), offer, world.now)
        assert isinstance(dispatch, Dispatch)
        state = becomes if offer is offers[-1] else SendState.QUEUED
        provider_id = row.id.hex if state is SendState.ACCEPTED else None
        await world.sends.settle(dispatch, state, world.now, provider_id=provider_id)
    assert isinstance(dispatch, Dispatch)
    return dispatch


async def due(world: World, kind: str = "fall_back") -> list[OutboxItem]:
    return [item for item in await world.outbox.take("courier", world.now, batch=100) if item.kind == kind]


async def test_a_call_is_made_when_it_is_asked_for_and_never_by_itself(world: World) -> None:
    (ira,) = await people(world, [1])
    await ira.asks()
    (row,) = await world.rows(outbox, outbox.c.kind == "code")
    assert row.payload["route"] == [["telegram", "telegram", 100], ["smsc", "sms", 300]]
    await carried(world, TELEGRAM, becomes=SendState.UNDELIVERED)
    world = world.with_sending(routes=FixedRoutes((SMS, VOICE)))
    ira = world.person(1)
    await resends(ira, Channel.VOICE)
    (row,) = await left(world, state=SendState.QUEUED)
    assert (row.channel, row.gateway, row.price) == ("voice", "smsc", 900)
    dispatch = await carried(world, VOICE)
    assert (dispatch.channel, dispatch.language) == (Channel.VOICE, "en")
    assert (await ira.tries(dispatch.code)).confirmed_now


@pytest.mark.parametrize("channel", [Channel.VOICE, Channel.TELEGRAM])
async def test_a_channel_that_no_gateway_has_for_the_country_is_none(world: World, channel: Channel) -> None:
    world = world.with_sending(routes=ByCountry({"RU": (SMS,), "KZ": (TELEGRAM, SMS, VOICE)}))
    (ira,) = await people(world, [1])
    await ira.asks()
    await carried(world, SMS)
    world.clock.move(minutes=1)
    assert (await world.challenges.timeline(1, world.now)).channels == frozenset()
    with pytest.raises(NothingIsSent) as refusal:
        await resends(ira, channel)
    assert refusal.value.limit is Limit.NO_GATEWAY
    assert await refusals(world) == ["no_gateway"]
    assert (await resends(ira, None)).queued
    await enters(ira)


async def test_f07_a_country_that_no_gateway_serves_gets_no_code_and_owners_go_on(world: World) -> None:
    world = world.with_sending(routes=ByCountry({"KZ": (SMS,)}))
    (ira,) = await people(world, [1])
    with pytest.raises(NothingIsSent) as refusal:
        await ira.asks()
    assert (refusal.value.limit, await refusals(world)) == (Limit.NO_GATEWAY, ["no_gateway"])
    result = await ira.asks(contact=True)
    assert isinstance(result, Progress)
    assert result.confirmed_now


async def test_the_delay_between_codes_holds_for_every_channel(world: World) -> None:
    world = world.with_sending(routes=FixedRoutes((SMS, VOICE)))
    (ira,) = await people(world, [1])
    await ira.asks()
    await carried(world, SMS)
    world.clock.move(seconds=59)
    for channel in (None, Channel.SMS, Channel.VOICE):
        with pytest.raises(ResendTooEarly):
            await resends(ira, channel)
    world.clock.move(seconds=1)
    assert (await resends(ira, Channel.VOICE)).queued
    await enters(ira)


async def test_a_call_helps_when_the_challenge_has_no_sms_left(world: World) -> None:
    world = world.with_sending(routes=FixedRoutes((SMS, VOICE)))
    (ira,) = await people(world, [1])
    await ira.asks()
    await carried(world, SMS)
    for minutes in (1, 2):
        world.clock.move(minutes=minutes)
        await resends(ira, None)
        await carried(world, SMS)
    world.clock.move(minutes=5)
    with pytest.raises(LimitReached) as refusal:
        await resends(ira, None)
    assert refusal.value.limit is Limit.SENDS_PER_CHALLENGE
    assert (await world.challenges.timeline(1, world.now)).channels == frozenset({Channel.VOICE})
    await resends(ira, Channel.VOICE)
    assert (await ira.tries((await carried(world, VOICE)).code)).confirmed_now


async def test_codes_of_all_channels_are_right_and_share_the_tries(world: World) -> None:
    (ira,) = await people(world, [1])
    await ira.asks()
    await carried(world, TELEGRAM)
    world.clock.move(minutes=1)
    await resends(ira, None)
    first, second = await ira.codes()
    assert [row.channel for row in await left(world)] == ["telegram", "sms"]
    with pytest.raises(WrongCode) as wrong:
        await ira.tries(await ira.wrong())
    assert wrong.value.tries_left == 4
    assert first != second
    assert (await ira.tries(first)).confirmed_now
    assert [row.entered_at is not None for row in await left(world)] == [True, False]


async def test_an_sms_follows_a_verification_message_that_is_not_there_in_time(world: World) -> None:
    (ira,) = await people(world, [1])
    await ira.asks()
    dispatch = await carried(world, TELEGRAM)
    world.clock.moment += TTL - timedelta(seconds=1)
    assert await due(world) == []
    world.clock.move(seconds=1)
    (item,) = await due(world)
    assert item.payload == {"send_id": dispatch.send_id.hex}
    assert await world.challenges.fall_back(dispatch.send_id, world.now)
    assert [(row.channel, row.code_n) for row in await left(world)] == [("telegram", 1), ("sms", 2)]
    (row,) = await world.rows(outbox, outbox.c.kind == "code", outbox.c.status == "new", outbox.c.attempts == 0)
    assert row.payload["route"] == [["smsc", "sms", 300]]
    # Again: two reports, two lookers, one SMS.
    assert not await world.challenges.fall_back(dispatch.send_id, world.now)
    # The late message is right all the same.
    assert (await ira.tries(dispatch.code)).confirmed_now


async def test_twelve_who_fall_back_at_once_queue_one_sms(world: World) -> None:
    (ira,) = await people(world, [1])
    await ira.asks()
    dispatch = await carried(world, TELEGRAM)
    world.clock.moment += TTL
    falls = [world.challenges.fall_back(dispatch.send_id, world.now) for _ in range(12)]
    assert sorted(await asyncio.gather(*falls)) == [False] * 11 + [True]
    assert [row.channel for row in await left(world)] == ["telegram", "sms"]
    await enters(ira)


@pytest.mark.parametrize("why", ["delivered", "entered", "asked anew", "another number", "dead", "expired", "erased"])
async def test_no_sms_follows_when_there_is_no_need(world: World, why: str) -> None:
    (ira,) = await people(world, [1])
    await ira.asks()
    dispatch = await carried(world, TELEGRAM)
    world.clock.moment += TTL
    match why:
        case "delivered":
            await world.sends.report("telegram", dispatch.send_id.hex, SendState.DELIVERED, world.now)
        case "entered":
            assert (await ira.tries(dispatch.code)).confirmed_now
        case "asked anew":
            await resends(ira, None)
        case "another number":
            await ira.asks(OTHER_NUMBER)
        case "dead":
            for _ in range(5):
                with pytest.raises(WrongCode):
                    await ira.tries(await ira.wrong())
        case "expired":
            world.clock.move(minutes=10)
        case "erased":
            await world.accounts.erase(ira.update(), world.now)
    before = len(await left(world))
    assert not await world.challenges.fall_back(dispatch.send_id, world.now)
    assert (len(await left(world)), await refusals(world)) == (before, [])
    if why == "erased":
        await ira.accepts()
    result = await ira.asks(NUMBER, contact=True, needs_code=False)
    assert isinstance(result, Progress)
    assert result.account.phone == NUMBER


@pytest.mark.parametrize("limit", ["sends_per_number", "sends_per_person", "sends_per_challenge", "paused"])
async def test_an_sms_that_may_not_follow_is_kept_as_refused(world: World, limit: str) -> None:
    (ira,) = await people(world, [1])
    await ira.asks()
    dispatch = await carried(world, TELEGRAM)
    match limit:
        case "sends_per_number":
            world = world.with_limits(sends_per_number=(Window(1, DAY),))
            (other,) = await people(world.with_sending(routes=FixedRoutes((SMS,))), [2])
            await other.asks()
        case "sends_per_person":
            world = world.with_limits(sends_per_person=(Window(1, HOUR),))
        case "sends_per_challenge":
            world = world.with_limits(sends_per_challenge=0)
        case "paused":
            world = world.with_sending(paused=True)
    world.clock.moment += TTL
    with pytest.raises((LimitReached, NothingIsSent)) as refusal:
        await world.challenges.fall_back(dispatch.send_id, world.now)
    assert (refusal.value.limit, await refusals(world)) == (limit, [limit])  # type: ignore[attr-defined]
    assert await world.notices() == []
    assert (await world.person(1).tries(dispatch.code)).confirmed_now


async def test_an_unknown_verification_message_is_followed_too(world: World) -> None:
    (ira,) = await people(world, [1])
    await ira.asks()
    dispatch = await carried(world, TELEGRAM, becomes=SendState.UNKNOWN)
    world.clock.moment += TTL
    assert len(await due(world)) == 1
    assert await world.challenges.fall_back(dispatch.send_id, world.now)
    await enters(ira)


async def test_an_sms_in_place_of_a_verification_message_is_followed_by_none(world: World) -> None:
    (ira,) = await people(world, [1])
    await ira.asks()
    dispatch = await carried(world, TELEGRAM, SMS)
    assert (dispatch.channel, dispatch.gateway) == (Channel.SMS, "smsc")
    (row,) = await left(world)
    assert (row.channel, row.gateway, row.price, row.state) == ("sms", "smsc", 300, "accepted")
    world.clock.moment += TTL
    assert await due(world) == []
    await enters(ira)


async def test_while_sending_is_paused_nothing_that_was_queued_leaves(world: World) -> None:
    (ira,) = await people(world, [1])
    await ira.asks()
    (row,) = await left(world)
    send_id = UUID(str(row.id))
    paused = world.with_sending(paused=True)
    assert await paused.sends.begin(send_id, SMS, world.now) is NotNow.CLOSED
    assert [row.state for row in await left(world)] == ["queued"]
    # Neither does what a process that died was sending; once it goes on, both do.
    assert isinstance(await world.sends.begin(send_id, SMS, world.now), Dispatch)
    assert await paused.sends.begin(send_id, SMS, world.now) is NotNow.CLOSED
    dispatch = await world.sends.begin(send_id, SMS, world.now)
    assert isinstance(dispatch, Dispatch)
    assert (await ira.tries(dispatch.code)).confirmed_now


async def test_what_waits_through_a_pause_is_given_up_when_it_expires(world: World) -> None:
    world = world.with_sending(paused=True)
    before = world.with_sending(paused=False)
    (ira,) = await people(before, [1])
    await ira.asks()
    (row,) = await left(world)
    world.clock.move(minutes=10)
    assert await world.sends.begin(UUID(str(row.id)), SMS, world.now) is NotNow.OVER
    assert await world.notices() == [(1, "notice-code-failed")]
    assert await left(world) == []
    result = await world.person(1).asks(contact=True)
    assert isinstance(result, Progress)
    assert result.confirmed_now
