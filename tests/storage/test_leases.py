"""Leases on a real Valkey and on a cluster."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from storage.leases import Leases
from storage.redis import Client
from tests.waiting import until

MINUTE = timedelta(minutes=1)
MOMENT = timedelta(milliseconds=50)


async def test_of_many_callers_one_is_first(any_redis: Client) -> None:
    leases = Leases(any_redis)
    assert sorted(await asyncio.gather(*(leases.once("cleanup", MINUTE) for _ in range(20)))) == [False] * 19 + [True]
    assert await leases.once("reminder", MINUTE)


async def test_the_next_period_has_a_first_again(any_redis: Client) -> None:
    leases = Leases(any_redis)
    assert await leases.once("group:-5", MOMENT)
    assert not await leases.once("group:-5", MOMENT)
    await until(lambda: leases.once("group:-5", MOMENT))


async def test_a_lease_has_one_holder_who_may_prolong_it(any_redis: Client) -> None:
    leases = Leases(any_redis)
    assert await leases.hold("polling", "a", MOMENT)
    assert await leases.hold("polling", "a", MINUTE)
    assert not await leases.hold("polling", "b", MINUTE)
    assert await any_redis.pttl("held:polling") > 50_000


async def test_only_the_holder_gives_a_lease_back(any_redis: Client) -> None:
    leases = Leases(any_redis)
    await leases.hold("polling", "a", MINUTE)
    await leases.release("polling", "b")
    assert not await leases.hold("polling", "b", MINUTE)
    await leases.release("polling", "a")
    assert await leases.hold("polling", "b", MINUTE)


async def test_f22_a_killed_holder_loses_its_lease_in_time(any_redis: Client) -> None:
    leases = Leases(any_redis)
    await leases.hold("polling", "killed", MOMENT)
    assert not await leases.hold("polling", "b", MINUTE)
    await until(lambda: leases.hold("polling", "b", MINUTE))


async def test_leases_of_a_dead_predecessor_are_dropped_and_marks_stay(any_redis: Client) -> None:
    leases = Leases(any_redis)
    await leases.hold("polling", "dead", MINUTE)
    await leases.once("cleanup", MINUTE)
    await leases.drop_held()
    assert await leases.hold("polling", "alive", MINUTE)
    assert not await leases.once("cleanup", MINUTE)
