"""The limits on sends over any sliding window (T4), whoever asks, by whichever channel, however it left in the end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.database import Database
from storage.errors import Limit, LimitReached, Refusal
from storage.limits import Window
from storage.models import Channel, CodeSent, Progress, SendState
from storage.sending import FixedRoutes, Offer
from storage.sends import Dispatch, NotNow
from storage.tables import challenges, sends
from tests.storage.crowd import enters, finishes, left, most_within, people, refusals
from tests.storage.world import DAY, HOUR, NUMBER, OTHER_NUMBER, THIRD_NUMBER, Actor, World

SMS, VOICE = Offer("smsc", Channel.SMS, 0), Offer("smsc", Channel.VOICE, 0)
TELEGRAM = Offer("telegram", Channel.TELEGRAM, 0)
ROUTES = FixedRoutes((TELEGRAM, SMS, VOICE))
# No number, person or range of one example is met in another: all share one database.
_examples = itertools.count(1)


@pytest.fixture
def world(database: Database) -> World:
    return World(database).with_sending(routes=ROUTES)


@dataclass(frozen=True)
class Leaving:
    """What a gateway was handed."""

    at: datetime
    number: str
    person: int
    channel: Channel
    send_id: UUID


@dataclass
class Town:
    """A few people and a few numbers: whoever wants to asks, and the couriers send what they are let send."""

    world: World
    actors: list[Actor]
    numbers: list[str]
    leaving: list[Leaving] = field(default_factory=list)
    looked_up: list[tuple[datetime, int, str]] = field(default_factory=list)
    did_not_arrive: set[UUID] = field(default_factory=set)

    async def ask(self, who: int, number: int, own_contact: bool) -> None:
        actor = self.actors[who]
        await actor.accepts()
        try:
            await actor.asks(self.numbers[number], contact=own_contact)
        except LimitReached as refusal:
            if refusal.limit is Limit.NUMBERS_PER_PERSON:
                return
        except Refusal:
            pass
        if not own_contact:
            self.looked_up.append((self.world.now, who, self.numbers[number]))

    async def resend(self, who: int, channel: Channel | None) -> None:
        actor = self.actors[who]
        with contextlib.suppress(Refusal):
            await self.world.challenges.resend(actor.update(), "ru", self.world.now, channel)

    async def erase(self, who: int) -> None:
        await self.world.accounts.erase(self.actors[who].update(), self.world.now)

    async def send(self, refusing: set[Channel], becomes: SendState) -> None:
        """Offer each waiting code to the gateways in turn; those of the `refusing` channels take nothing."""
        for item in await self.world.outbox.take("courier", self.world.now, batch=100):
            if item.kind == "code":
                await self._offer(UUID(item.payload["send_id"]), item.payload["route"], refusing, becomes)
            elif item.kind == "fall_back":
                with contextlib.suppress(LimitReached):
                    await self.world.challenges.fall_back(UUID(item.payload["send_id"]), self.world.now)
            await self.world.outbox.done(item.id, "courier")

    async def _offer(
        self, send_id: UUID, route: list[tuple[str, str, int]], refusing: set[Channel], becomes: SendState
    ) -> None:
        sends, now, last = self.world.sends, self.world.now, None
        for gateway, channel, price in route:
            begun = await sends.begin(send_id, Offer(gateway, Channel(channel), price), now)
            if begun is NotNow.OVER:
                return
            if not isinstance(begun, Dispatch):
                continue
            if begun.channel not in refusing:
                self.leaving.append(Leaving(now, begun.number, begun.telegram_id, begun.channel, send_id))
                if becomes is SendState.UNDELIVERED:
                    self.did_not_arrive.add(send_id)
                await sends.settle(begun, becomes, now, provider_id=send_id.hex)
                return
            await sends.settle(begun, SendState.QUEUED, now)
            last = begun
        if last is not None:
            await sends.settle(last, SendState.FAILED, now)

    async def report(self) -> None:
        """The vendors say of everything that it did not arrive."""
        for gone in self.leaving:
            gateway = "telegram" if gone.channel is Channel.TELEGRAM else "smsc"
            if await self.world.sends.report(gateway, gone.send_id.hex, SendState.UNDELIVERED, self.world.now):
                self.did_not_arrive.add(gone.send_id)

    def moments(self, wanted: Callable[[Leaving], bool]) -> list[datetime]:
        return [gone.at for gone in self.leaving if wanted(gone)]

    def check(self) -> None:
        """No window anywhere holds more than its limit."""
        for number in self.numbers:
            sms = self.moments(to(number, is_sms=True))
            rung = [gone.at for gone in filter(to(number, is_sms=False), self.leaving) if not self.was_lost(gone)]
            assert most_within(sms, HOUR) <= 3
            assert most_within(sms, DAY) <= 5
            assert most_within(rung, HOUR) <= 1
        for who, actor in enumerate(self.actors):
            caused = [gone.at for gone in self.leaving if gone.person == actor.id]
            assert most_within(caused, HOUR) <= 4
            assert most_within(caused, DAY) <= 8
            mine = [(at, number) for at, person, number in self.looked_up if person == who]
            for first, _ in mine:
                assert len({number for at, number in mine if first <= at < first + DAY}) <= 3

    def was_lost(self, gone: Leaving) -> bool:
        return gone.send_id in self.did_not_arrive


def to(number: str, *, is_sms: bool) -> Callable[[Leaving], bool]:
    return lambda gone: gone.number == number and (gone.channel is Channel.SMS) == is_sms


WHO, WHICH = st.integers(0, 5), st.integers(0, 4)
STEPS = st.one_of(
    st.tuples(st.just("ask"), WHO, WHICH, st.booleans()),
    st.tuples(st.just("ask"), WHO, st.just(0), st.just(False)),
    st.tuples(st.just("resend"), WHO, st.sampled_from([None, None, Channel.VOICE, Channel.TELEGRAM])),
    st.tuples(
        st.just("send"),
        st.sets(st.sampled_from([Channel.SMS, Channel.TELEGRAM, Channel.VOICE])),
        st.sampled_from([SendState.ACCEPTED, SendState.UNKNOWN, SendState.UNDELIVERED]),
    ),
    st.tuples(st.just("report")),
    st.tuples(st.just("erase"), WHO),
    st.tuples(st.just("wait"), st.sampled_from([1, 60, 61, 125, 599, 1800, 3540, 3600, 39_600, 86_400])),
)


async def town(world: World, many_people: int = 6) -> Town:
    example = next(_examples)
    fresh = world.with_limits()
    fresh.clock.moment += timedelta(days=3)
    return Town(
        fresh,
        [fresh.person(example * 100 + n) for n in range(many_people)],
        [f"+7{9_000_000_000 + example * 100_000 + n * 10_000}" for n in range(5)],
    )


@given(steps=st.lists(STEPS, min_size=10, max_size=40))
@settings(
    max_examples=25,
    deadline=None,
    # One database for all examples; each has people and numbers of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_t04_no_window_ever_holds_more_than_its_limit(
    world: World, steps: list[tuple[str, *tuple[object, ...]]]
) -> None:
    here = await town(world)
    for name, *facts in steps:
        if name == "wait":
            here.world.clock.move(seconds=facts[0])  # type: ignore[arg-type]
        else:
            await getattr(here, name)(*facts)
        # What was asked leaves in the same second, by whichever channel is let.
        if name != "send":
            await here.send(set(), SendState.ACCEPTED)
    here.check()
    # Whatever they did, a neighbour who shares the own contact registers.
    ira = here.world.person(next(_examples) * 100 + 99)
    await ira.accepts()
    await finishes(ira, await ira.asks(f"{here.numbers[0][:-4]}9999", contact=True))


async def test_t04_a_crowd_that_asks_resends_and_waits_for_a_day_gets_no_more_out(world: World) -> None:
    here = await town(world, many_people=8)
    refusing: list[set[Channel]] = [set(), {Channel.TELEGRAM}, {Channel.SMS}, {Channel.TELEGRAM, Channel.SMS}]
    for turn in range(60):
        await asyncio.gather(*(here.ask(who, 0, own_contact=False) for who in range(8)))
        await asyncio.gather(*(here.resend(who, (None, Channel.VOICE)[turn % 2]) for who in range(8)))
        await here.send(refusing[turn % 4], SendState.ACCEPTED)
        if turn % 5 == 4:
            await here.report()
        here.world.clock.move(minutes=25)
    here.check()
    sms = here.moments(lambda gone: gone.channel is Channel.SMS)
    assert (most_within(sms, HOUR), most_within(sms, DAY)) == (3, 5)
    owner = here.world.person(next(_examples) * 100)
    await owner.accepts()
    await finishes(owner, await owner.asks(here.numbers[0], contact=True))


async def test_t04_an_sms_instead_of_a_verification_message_counts_as_one(world: World) -> None:
    world = world.with_limits(sends_per_number=(Window(1, HOUR),))
    first, second = await people(world, (1, 2))
    await first.asks()
    await second.asks()
    assert [row.channel for row in await left(world)] == ["telegram", "sms"]
    (row,) = await left(world, channel="telegram")
    begun = await world.sends.begin(UUID(str(row.id)), TELEGRAM, world.now)
    assert isinstance(begun, Dispatch)
    await world.sends.settle(begun, SendState.QUEUED, world.now)
    # The number's only SMS of this hour is the second person's.
    assert await world.sends.begin(UUID(str(row.id)), SMS, world.now) is NotNow.CLOSED
    await enters(second)


async def test_t04_two_verification_messages_at_once_leave_one_sms_each_way(world: World) -> None:
    world = world.with_limits(sends_per_number=(Window(1, HOUR),), calls_per_number=Window(3, HOUR))
    actors = await people(world, (1, 2, 3))
    await asyncio.gather(*(actor.asks() for actor in actors))
    ids = [UUID(str(row.id)) for row in await left(world)]
    begun = await asyncio.gather(*(world.sends.begin(send_id, SMS, world.now) for send_id in ids))
    assert sorted(isinstance(each, Dispatch) for each in begun) == [False, False, True]
    await enters(actors[0])


async def test_one_call_or_verification_message_an_hour_and_one_that_did_not_arrive_is_given_back(
    world: World,
) -> None:
    (ira,) = await people(world, [1])
    await ira.asks()
    (row,) = await left(world)
    assert row.channel == "telegram"
    begun = await world.sends.begin(UUID(str(row.id)), TELEGRAM, world.now)
    assert isinstance(begun, Dispatch)
    await world.sends.settle(begun, SendState.ACCEPTED, world.now, provider_id="1")
    start = world.now
    world.clock.move(minutes=1)
    with pytest.raises(LimitReached) as refusal:
        await world.challenges.resend(ira.update(), "ru", world.now, Channel.VOICE)
    assert (refusal.value.limit, refusal.value.retry_at) == (Limit.CALLS_PER_NUMBER, start + HOUR)
    assert await refusals(world) == ["calls_per_number"]
    (row,) = await world.rows(sends, sends.c.state == SendState.REFUSED)
    assert row.channel == "voice"
    await world.sends.report("telegram", "1", SendState.UNDELIVERED, world.now)
    await world.challenges.resend(ira.update(), "ru", world.now, Channel.VOICE)
    assert [row.channel for row in await left(world)] == ["telegram", "voice"]
    await enters(ira)


async def test_an_sms_that_did_not_arrive_is_not_given_back(world: World) -> None:
    world = world.with_sending(routes=FixedRoutes((SMS,)))
    (ira,) = await people(world, [1])
    for _ in range(3):
        assert isinstance(await ira.asks(), CodeSent)
        (row,) = await left(world, state=SendState.QUEUED)
        begun = await world.sends.begin(UUID(str(row.id)), SMS, world.now)
        assert isinstance(begun, Dispatch)
        await world.sends.settle(begun, SendState.ACCEPTED, world.now, provider_id=str(row.code_n))
        assert await world.sends.report("smsc", str(row.code_n), SendState.UNDELIVERED, world.now)
    (oleg,) = await people(world, [2])
    with pytest.raises(LimitReached) as refusal:
        await oleg.asks()
    assert (refusal.value.limit, refusal.value.retry_at) == (Limit.SENDS_PER_NUMBER, world.now + HOUR)
    result = await oleg.asks(contact=True)
    assert isinstance(result, Progress)
    assert result.confirmed_now


async def test_calls_count_for_the_person_who_causes_them(world: World) -> None:
    world = world.with_limits(sends_per_person=(Window(2, HOUR),), calls_per_number=Window(9, HOUR))
    (ira,) = await people(world, [1])
    await ira.asks()
    world.clock.move(minutes=1)
    await world.challenges.resend(ira.update(), "ru", world.now, Channel.VOICE)
    world.clock.move(minutes=2)
    for channel in (None, Channel.SMS, Channel.TELEGRAM, Channel.VOICE):
        with pytest.raises(LimitReached) as refusal:
            await world.challenges.resend(ira.update(), "ru", world.now, channel)
        assert refusal.value.limit is Limit.SENDS_PER_PERSON
    assert await refusals(world) == ["sends_per_person"] * 4
    await enters(ira)


@pytest.mark.parametrize(
    ("limit", "who", "number"),
    [
        ("sends_per_person", 1, THIRD_NUMBER),
        ("numbers_per_person", 1, THIRD_NUMBER),
        ("sends_per_number", 2, NUMBER),
        ("sends_per_prefix", 2, OTHER_NUMBER),
    ],
)
async def test_each_refusal_is_kept_with_the_limit_that_made_it(
    world: World, limit: str, who: int, number: str
) -> None:
    is_list = isinstance(getattr(world.limits, limit), tuple)
    world = world.with_sending(routes=FixedRoutes((SMS,)))
    world = world.with_limits(**{limit: (Window(1, DAY),) if is_list else Window(1, DAY)})
    await (await people(world, [1]))[0].asks(NUMBER)
    (actor,) = await people(world, [who])
    with pytest.raises(LimitReached) as refusal:
        await actor.asks(number)
    assert (refusal.value.limit, refusal.value.retry_at) == (limit, world.now + DAY)
    (row,) = await world.rows(sends, sends.c.state == SendState.REFUSED)
    assert (row.refused_by, row.channel, row.code_n, row.price, row.gateway) == (limit, "sms", None, None, None)
    assert (row.number_hmac, row.person_hmac) == (world.keys.number(number), world.keys.person(who))
    assert [challenge.number for challenge in await world.rows(challenges)] == [NUMBER]
    await finishes(actor, await actor.asks(number, contact=True))


async def test_t04_what_leaves_late_counts_from_when_it_left(world: World) -> None:
    """Three codes wait nine minutes for gateways that are away: the number's hour begins when they leave."""
    world = world.with_sending(routes=FixedRoutes((SMS,)))
    for telegram_id in (1, 2, 3):
        person = world.person(telegram_id)
        await person.accepts()
        assert isinstance(await person.asks(NUMBER), CodeSent)
    world.clock.move(minutes=9, seconds=59)
    assert len(await world.deliver()) == 3
    world.clock.move(minutes=50, seconds=1)
    late = world.person(4)
    await late.accepts()
    with pytest.raises(LimitReached) as refused:
        await late.asks(NUMBER)
    assert refused.value.retry_at == world.now + timedelta(minutes=9, seconds=59)
    world.clock.moment = refused.value.retry_at
    assert isinstance(await late.asks(NUMBER), CodeSent)
    (code,) = await world.deliver()
    assert (await late.tries(code)).confirmed_now
