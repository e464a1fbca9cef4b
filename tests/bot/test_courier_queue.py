"""The courier's queue: no code is lost, and none goes out twice, whoever stops, dies or works beside it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot import courier as courier_module
from storage.keys import Keys
from storage.models import SendState
from storage.sends import Sends
from tests.bot.courier_world import Scripted, World, eventually, world

__all__ = ["world"]


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier_module, "_GRACE", 0.1)


async def test_it_finds_rows_nobody_woke_it_for(world: World) -> None:
    world.courier(Scripted("first"))
    await world.asks_for_a_code()
    await world.becomes(SendState.ACCEPTED)


@pytest.mark.usefixtures("short_grace")
async def test_f21_a_call_cut_by_the_stop_is_repeated_once_after_the_lease_with_the_same_code(world: World) -> None:
    stuck, next_one, third = Scripted("first"), Scripted("first"), Scripted("first")
    stuck.open.clear()
    next_one.open.clear()
    dying = world.courier(stuck)
    await world.asks_for_a_code()
    await eventually(lambda: truth(len(stuck.sent) == 1))
    await dying.stop()
    assert await world.states() == [SendState.SENDING]

    assert await world.outbox.take("two", world.clock.now()) == [], "the lease has not ended"
    second = world.courier(next_one, owner="two")
    world.move(61)
    await eventually(lambda: truth(next_one.sent == stuck.sent))
    await second.stop()

    world.move(61)
    world.courier(third, owner="three")
    await world.becomes(SendState.UNKNOWN)
    assert third.sent == []


async def truth(value: bool) -> bool:
    return value


async def test_stop_lets_an_open_call_end(world: World) -> None:
    gateway = Scripted("first")
    gateway.open.clear()
    courier = world.courier(gateway)
    await world.asks_for_a_code()
    await eventually(lambda: truth(len(gateway.sent) == 1))
    stopping = asyncio.create_task(courier.stop())
    await eventually(lambda: truth(courier._stopping))
    gateway.open.set()
    await stopping
    assert await world.states() == [SendState.ACCEPTED]


async def test_f22_rows_of_a_killed_worker_are_taken_over_after_its_lease(world: World) -> None:
    await world.asks_for_a_code()
    assert len(await world.outbox.take("killed", world.clock.now())) == 1
    gateway = Scripted("first")
    courier = world.courier(gateway)
    courier.wake()
    world.move(61)
    await world.becomes(SendState.ACCEPTED)
    assert len(gateway.sent) == 1


async def test_f23_two_couriers_one_queue_each_code_once(world: World) -> None:
    gateway = Scripted("first")
    people = range(100, 140)
    for person in people:
        await world.asks_for_a_code(person, f"+7916{person}0000")
    couriers = [world.courier(gateway, owner=name) for name in ("one", "two")]
    for courier in couriers:
        courier.wake()
    await world.is_idle()
    assert sorted(number for number, _, _ in gateway.sent) == [f"+7916{person}0000" for person in people]


async def test_what_became_of_a_send_is_written_when_the_database_is_back(world: World) -> None:
    class Away(Sends):
        failures = 2

        async def settle(self, *args: Any, **kwargs: Any) -> bool:
            if self.failures:
                self.failures -= 1
                raise ConnectionRefusedError("the database is away")
            return await super().settle(*args, **kwargs)

    limits = world.settings.limits()
    away = Away(world.sends._database, Keys(world.settings.secret()), limits, world.sending)
    gateway = Scripted("first")
    world.courier(gateway, sends=away)
    await world.asks_for_a_code()
    await world.becomes(SendState.ACCEPTED)
    assert len(gateway.sent) == 1
