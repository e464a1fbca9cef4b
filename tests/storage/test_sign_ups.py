"""What a sign-up keeps between its pages, on one server and on a cluster."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from storage.identities import Identity
from storage.limits import Window
from storage.redis import Client
from storage.sign_ups import Arrival, Attempt, ForeignArrival, SignUps
from storage.web_limit import WebLimit
from tests.storage.world import MovableClock

TEN_MINUTES = timedelta(minutes=10)
ATTEMPT = Attempt("google", 7, "ru", "hash", "nonce", "verifier", "ticket")
ARRIVAL = Arrival(7, Identity("google", "https://accounts.google.com", "1", "ira@example.org", True, "Ира"))


async def test_t18_a_state_is_given_out_once(any_redis: Client) -> None:
    clock, sign_ups = MovableClock(), SignUps(any_redis, TEN_MINUTES)
    state = await sign_ups.begin(ATTEMPT, clock.now())
    found = await asyncio.gather(*(sign_ups.take(state, clock.now()) for _ in range(12)))
    assert [one for one in found if one is not None] == [ATTEMPT]
    assert await sign_ups.take("nobody's", clock.now()) is None
    assert await sign_ups.take("", clock.now()) is None


async def test_names_are_all_different_and_fit_a_payload(any_redis: Client) -> None:
    clock, sign_ups = MovableClock(), SignUps(any_redis, TEN_MINUTES)
    names = [await sign_ups.arrive(ARRIVAL, clock.now()) for _ in range(20)]
    assert len(set(names)) == 20
    # Bot API: 64 characters at most, "o_" before them.
    assert all(len(name) == 32 for name in names)


async def test_t18_who_came_back_is_told_to_the_same_telegram_id_alone(any_redis: Client) -> None:
    clock, sign_ups = MovableClock(), SignUps(any_redis, TEN_MINUTES)
    name = await sign_ups.arrive(ARRIVAL, clock.now())
    assert await sign_ups.arrived(name, 7, clock.now()) == ARRIVAL
    with pytest.raises(ForeignArrival):
        await sign_ups.arrived(name, 8, clock.now())
    assert await sign_ups.arrived(name, 7, clock.now()) is None


async def test_both_end_by_our_clock_and_by_redis(any_redis: Client) -> None:
    clock, sign_ups = MovableClock(), SignUps(any_redis, TEN_MINUTES)
    state, name = await sign_ups.begin(ATTEMPT, clock.now()), await sign_ups.arrive(ARRIVAL, clock.now())
    for key in (f"oauth:state:{state}", f"oauth:once:{name}"):
        assert 0 < await any_redis.pttl(key) <= 600_000
    clock.move(minutes=10)
    assert await sign_ups.take(state, clock.now()) is None
    assert await sign_ups.arrived(name, 7, clock.now()) is None


async def test_an_arrival_without_address_or_name(any_redis: Client) -> None:
    clock, sign_ups = MovableClock(), SignUps(any_redis, TEN_MINUTES)
    bare = Arrival(7, replace(ARRIVAL.identity, email=None, email_verified=False, name=""))
    assert await sign_ups.arrived(await sign_ups.arrive(bare, clock.now()), 7, clock.now()) == bare


async def test_pages_are_counted_together(any_redis: Client) -> None:
    """Thirty at once by several replicas: exactly as many as allowed get in."""
    limits = [WebLimit(any_redis, Window(5, timedelta(minutes=5))) for _ in range(3)]
    waits = await asyncio.gather(*(limits[n % 3].wait("somebody") for n in range(30)))
    assert sum(wait == 0 for wait in waits) == 5
    assert all(0 < wait <= 300 for wait in waits if wait)
    assert await limits[0].wait("somebody else") == 0
