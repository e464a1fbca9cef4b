"""In which order gateways are asked, and how that is learnt."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.failures import StartFailed
from bot.routing import LearnedRoutes, routes_of, sending_of
from bot.settings import Settings
from storage.conversion import Conversion, Converted, Figures
from storage.database import Database
from storage.errors import StorageAway
from storage.models import Channel, SendState
from storage.sending import Offer, Sending
from tests.bot.test_prices import Named
from tests.numbers import mobile
from tests.storage.world import World

SMS, VOICE, TELEGRAM = Channel.SMS, Channel.VOICE, Channel.TELEGRAM
NOW = datetime(2026, 5, 4, 12, 25, tzinfo=UTC)
LIFETIME, HOUR, DAY = timedelta(minutes=10), timedelta(hours=1), timedelta(days=1)
A, B, C = Offer("a", SMS, 300), Offer("b", SMS, 300), Offer("c", SMS, 300)


class Book:
    """A ledger that the test writes: how many codes left at a moment, and how many of them were entered."""

    def __init__(self) -> None:
        self.rows: list[tuple[datetime, str, Channel, str, int, int]] = []
        self.reads: list[tuple[datetime, datetime]] = []

    def add(
        self, gateway: str, sent: int, entered: int, *, ago: timedelta = DAY, channel: Channel = SMS, to: str = "RU"
    ) -> None:
        self.rows.append((NOW - ago, gateway, channel, to, sent, entered))

    async def of(self, since: datetime, until: datetime) -> Figures:
        self.reads.append((since, until))
        found = [
            Converted(gateway, channel, to, {SendState.ACCEPTED: sent}, entered, 0)
            for at, gateway, channel, to, sent, entered in self.rows
            if since < at <= until
        ]
        return Figures(tuple(found), {})


def learned(*offers: Offer, pin: str | None = None, seed: int = 1) -> LearnedRoutes:
    return LearnedRoutes({"RU": offers}, {"RU": pin} if pin else {}, random.Random(seed), LIFETIME)


def firsts(routes: LearnedRoutes, channel: Channel | None = None, asked: int = 1000) -> Mapping[str, float]:
    """How often each gateway comes first, as a share."""
    found = Counter(routes.offers("RU", channel)[0].gateway for _ in range(asked))
    return {gateway: n / asked for gateway, n in found.items()}


async def test_the_operators_order_holds_while_little_is_known() -> None:
    """One code in five goes by the gateway least is known of."""
    routes, book = learned(A, B, C), Book()
    assert firsts(routes) == {"a": 1.0}
    book.add("a", 5000, 100)
    book.add("b", 29, 29)
    book.add("c", 3, 3)
    await routes.refresh(book, NOW)
    shares = firsts(routes, asked=5000)
    assert shares.keys() == {"a", "c"}
    assert shares["c"] == pytest.approx(0.2, abs=0.02)
    explored = next(offers for offers in iter(lambda: routes.offers("RU", None), ()) if offers[0] == C)
    assert explored == (C, A, B)


async def test_what_is_known_of_some_stays_known_when_another_comes() -> None:
    routes, book = learned(A, C, B), Book()
    book.add("a", 100, 30)
    book.add("b", 100, 95)
    await routes.refresh(book, NOW)
    # The new one stands where the operator put it; the others share the places left.
    assert Counter(routes.offers("RU", None) for _ in range(200)).most_common(1)[0][0] == (B, C, A)


async def test_the_gateway_whose_codes_are_entered_comes_first() -> None:
    routes, book = learned(A, B), Book()
    book.add("a", 100, 60)
    book.add("b", 100, 90)
    await routes.refresh(book, NOW)
    assert firsts(routes)["b"] > 0.99


async def test_what_counts_is_the_price_of_a_confirmed_registration() -> None:
    routes, book = learned(Offer("a", SMS, 400), Offer("b", SMS, 250)), Book()
    book.add("a", 200, 180)
    book.add("b", 200, 150)
    await routes.refresh(book, NOW)
    # 400 / 0.9 against 250 / 0.75.
    assert firsts(routes)["b"] > 0.99


async def test_of_two_that_cost_nothing_the_one_that_arrives_comes_first() -> None:
    routes, book = learned(Offer("a", SMS, 0), Offer("b", SMS, 0)), Book()
    book.add("a", 100, 10)
    book.add("b", 100, 90)
    await routes.refresh(book, NOW)
    assert firsts(routes)["b"] > 0.99


async def test_who_is_about_as_good_is_asked_too() -> None:
    routes, book = learned(A, B), Book()
    book.add("a", 100, 80)
    book.add("b", 100, 80)
    await routes.refresh(book, NOW)
    assert firsts(routes)["b"] == pytest.approx(0.5, abs=0.1)


async def test_each_country_is_learnt_by_itself() -> None:
    routes = LearnedRoutes({"RU": (A, B), "KZ": (A, B)}, {}, random.Random(1), LIFETIME)
    book = Book()
    for gateway, entered in (("a", 10), ("b", 90)):
        book.add(gateway, 100, entered, to="KZ")
        book.add(gateway, 100, 100 - entered, to="RU")
    await routes.refresh(book, NOW)
    assert (routes.offers("KZ", None), routes.offers("RU", None)) == ((B, A), (A, B))
    assert routes.offers("US", None) == ()
    assert routes.channels("US") == frozenset()


async def test_a_verification_message_keeps_its_place_and_a_call_is_asked_for() -> None:
    message, call, other_call = Offer("telegram", TELEGRAM, 900), Offer("a", VOICE, 300), Offer("b", VOICE, 300)
    routes, book = learned(A, call, message, B, other_call), Book()
    for channel in (SMS, VOICE):
        book.add("a", 100, 10, channel=channel)
        book.add("b", 100, 90, channel=channel)
    book.add("telegram", 100, 1, channel=TELEGRAM)
    await routes.refresh(book, NOW)
    assert routes.offers("RU", None) == (B, message, A)
    assert routes.offers("RU", SMS) == (B, A)
    assert routes.offers("RU", VOICE) == (other_call, call)
    assert routes.offers("RU", TELEGRAM) == (message,)
    assert routes.channels("RU") == {SMS, VOICE, TELEGRAM}


@pytest.mark.parametrize("pin", ["a", "telegram"])
async def test_a_pinned_gateway_is_first_always(pin: str) -> None:
    message = Offer("telegram", TELEGRAM, 900)
    routes, book = learned(B, A, message, C, pin=pin), Book()
    assert firsts(routes) == {pin: 1.0}
    book.add("a", 100, 1)
    book.add("b", 100, 99)
    await routes.refresh(book, NOW)
    assert firsts(routes) == {pin: 1.0}


async def test_a_gateway_that_gets_worse_is_left_soon() -> None:
    """Its newest two hundred codes count, whatever thousands say of the week before."""
    routes, book = learned(Offer("a", SMS, 250), Offer("b", SMS, 400)), Book()
    for hours in range(4, 160):
        book.add("a", 50, 43, ago=HOUR * hours)
    book.add("b", 60, 51, ago=2 * DAY)
    await routes.refresh(book, NOW - 3 * HOUR)
    assert firsts(routes)["a"] > 0.95
    book.add("a", 140, 14, ago=HOUR * 2)
    await routes.refresh(book, NOW)
    assert firsts(routes)["b"] > 0.8


async def test_a_gateway_that_was_left_is_tried_again_after_a_week() -> None:
    routes, book = learned(A, B), Book()
    book.add("a", 500, 5, ago=6 * DAY)
    book.add("b", 500, 450, ago=HOUR)
    await routes.refresh(book, NOW)
    assert firsts(routes).get("a", 0) < 0.02
    book.add("b", 500, 450, ago=-DAY)
    await routes.refresh(book, NOW + 2 * DAY)
    # The operator's order again, as nothing is known of it any more.
    assert firsts(routes)["a"] > 0.9


async def test_what_is_older_weighs_less() -> None:
    """So a gateway that was left is asked now and then: it may have got better."""
    routes, book = learned(A, B), Book()
    book.add("a", 200, 60, ago=5 * DAY)
    book.add("b", 200, 100, ago=HOUR)
    await routes.refresh(book, NOW)
    assert 0.05 < firsts(routes)["a"] < 0.3


async def test_a_code_that_may_still_be_entered_says_nothing_yet() -> None:
    routes, book = learned(A, B), Book()
    book.add("a", 100, 0, ago=timedelta(minutes=9))
    book.add("b", 100, 90)
    await routes.refresh(book, NOW)
    assert firsts(routes) == {"a": pytest.approx(1.0)}, "a is not known at all"
    await routes.refresh(book, NOW + timedelta(minutes=1))
    assert firsts(routes)["b"] > 0.99


async def test_what_ended_is_read_once_and_nothing_where_there_is_no_choice() -> None:
    routes, book = learned(A, B), Book()
    await routes.refresh(book, NOW)
    tiles = sorted(book.reads)
    assert len(tiles) == 7 * 24
    assert all(until == since for (_, until), (since, _) in itertools.pairwise(tiles))
    assert tiles[-1][1] == NOW - LIFETIME
    assert NOW - tiles[0][0] == pytest.approx(7 * DAY, abs=HOUR)
    await routes.refresh(book, NOW + timedelta(minutes=1))
    assert len(book.reads) == len(tiles) + 1
    await routes.refresh(book, NOW + HOUR)
    assert len(book.reads) == len(tiles) + 3

    alone, unread = learned(A, Offer("a", VOICE, 300), Offer("telegram", TELEGRAM, 100)), Book()
    await alone.refresh(unread, NOW)
    assert unread.reads == []


async def test_f25_what_was_learnt_stays_while_the_database_is_away() -> None:
    class Away(Book):
        is_away = False

        async def of(self, since: datetime, until: datetime) -> Figures:
            if self.is_away:
                raise StorageAway(ConnectionRefusedError("away"))
            return await super().of(since, until)

    routes, book = learned(A, B), Away()
    book.add("a", 100, 10)
    book.add("b", 100, 90)
    await routes.refresh(book, NOW)
    book.is_away = True
    with pytest.raises(StorageAway):
        await routes.refresh(book, NOW + HOUR)
    assert firsts(routes)["b"] > 0.99
    book.is_away = False
    await routes.refresh(book, NOW + HOUR)
    assert firsts(routes)["b"] > 0.99


OFFERS = st.lists(
    st.builds(
        Offer, st.sampled_from("abcd"), st.sampled_from([SMS, VOICE, TELEGRAM]), st.integers(min_value=0, max_value=900)
    ),
    unique_by=lambda offer: (offer.gateway, offer.channel),
)
SEEN = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from([SMS, VOICE, TELEGRAM]),
        st.integers(min_value=0, max_value=400),
        st.floats(min_value=0, max_value=1.1),
        st.integers(min_value=1, max_value=170),
    ),
    max_size=12,
)


@given(OFFERS, SEEN, st.sampled_from([None, "a", "d"]), st.integers())
async def test_whatever_is_known_nothing_is_lost_and_channels_keep_their_places(
    offers: list[Offer], seen: list[tuple[str, Channel, int, float, int]], pin: str | None, seed: int
) -> None:
    routes, book = learned(*offers, pin=pin, seed=seed), Book()
    for gateway, channel, sent, share, hours in seen:
        # More entered than left is a row that a crash left behind.
        book.add(gateway, sent, round(sent * share), ago=HOUR * hours, channel=channel)
    await routes.refresh(book, NOW)
    asked: tuple[Channel | None, ...] = (None, SMS, VOICE, TELEGRAM)
    for asked_for in asked:
        wanted = {SMS, TELEGRAM} if asked_for is None else {asked_for}
        given_order = [offer for offer in offers if offer.channel in wanted]
        found = routes.offers("RU", asked_for)
        assert Counter(found) == Counter(given_order)
        if pin is None:
            assert [offer.channel for offer in found] == [offer.channel for offer in given_order]
        else:
            pinned = [offer.gateway == pin for offer in found]
            assert pinned == sorted(pinned, reverse=True)


def settings(**values: Any) -> Settings:
    return Settings(**{"countries": "RU,KZ", **values})


def test_the_settings_say_by_whom_and_for_how_much() -> None:
    speaking = Named("smsc", frozenset({SMS, VOICE}))
    gateways = [Named("telegram", frozenset({TELEGRAM})), speaking, Named("vonage")]
    ours = settings(gateway_pins="KZ=vonage", sms_paused="true")
    routes = routes_of(ours, gateways, random.Random(1))
    assert routes.offers("RU", None) == (
        Offer("telegram", TELEGRAM, 100),
        Offer("smsc", SMS, 400),
        Offer("vonage", SMS, 5000),
    )
    assert routes.offers("RU", VOICE) == (Offer("smsc", VOICE, 300),)
    assert routes.offers("KZ", None)[0] == Offer("vonage", SMS, 2000)
    sending = sending_of(ours, routes)
    assert (sending.routes, sending.paused, sending.daily_budget) == (routes, True, None)


def test_a_pin_to_a_gateway_that_is_not_there_is_refused() -> None:
    with pytest.raises(StartFailed, match=r"^GATEWAY_PINS: KZ=vonage, but SMS_GATEWAYS has no vonage; "):
        routes_of(settings(gateway_pins="KZ=vonage"), [Named("console")], random.Random(1))


async def test_the_bots_own_ledger_teaches_it(database: Database) -> None:
    """Codes asked for, sent and entered through the engine; then the engine itself takes the better gateway first."""
    routes = learned(A, B)
    world = World(database, sending=Sending(routes=routes, daily_budget=10**9))
    for n in range(64):
        person, number = world.person(n + 1), mobile(n)
        await person.accepts()
        await person.asks(number)
        (item,) = [item for item in await world.outbox.take("courier", world.now) if item.kind == "code"]
        by_first = n % 2 == 0
        dispatch = await world.begins(UUID(item.payload["send_id"]), "a" if by_first else "b", 300)
        assert dispatch is not None
        await world.sends.settle(dispatch, SendState.ACCEPTED, world.now, held=(item.id, "courier"))
        if not by_first or n % 8 == 0:
            await person.tries(dispatch.code)
        world.clock.move(minutes=20)
    conversion = Conversion(database)
    await routes.refresh(conversion, world.now)
    assert firsts(routes)["b"] > 0.99

    newcomer = world.person(1000)
    await newcomer.accepts()
    await newcomer.asks(mobile(1000))
    (item,) = [item for item in await world.outbox.take("courier", world.now) if item.kind == "code"]
    assert item.payload["route"] == [["b", "sms", 300], ["a", "sms", 300]]
    replica = learned(A, B, seed=2)
    await replica.refresh(conversion, world.now)
    assert replica._known == routes._known
