"""The outbox: leased, at least once, nothing lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from storage.outbox import Outbox
from storage.tables import outbox
from tests.storage.world import LIMITS, World

LEASE = LIMITS.outbox_lease


async def put(world: World, count: int = 1) -> None:
    for n in range(count):
        await world.outbox.put("thing", {"n": n}, world.now + timedelta(seconds=n))


async def test_due_rows_are_taken_oldest_first_and_once(world: World) -> None:
    await put(world, 5)
    world.clock.move(seconds=2)
    items = await world.outbox.take("a", world.now)
    assert [(item.kind, item.payload["n"], item.attempts) for item in items] == [
        ("thing", 0, 1),
        ("thing", 1, 1),
        ("thing", 2, 1),
    ]
    assert await world.outbox.take("b", world.now) == []
    world.clock.move(seconds=2)
    assert [item.payload["n"] for item in await world.outbox.take("b", world.now, batch=1)] == [3]


async def test_f22_a_row_of_a_killed_worker_comes_back_after_the_lease(world: World) -> None:
    await put(world)
    (item,) = await world.outbox.take("killed", world.now)
    world.clock.move(seconds=59)
    assert await world.outbox.take("heir", world.now) == []
    world.clock.move(seconds=1)
    (again,) = await world.outbox.take("heir", world.now)
    assert (again.id, again.attempts) == (item.id, 2)
    # The one believed dead wakes up late: the row is not its own any more.
    await world.outbox.done(item.id, "killed")
    await world.outbox.retry(item.id, "killed", world.now, "late")
    await world.outbox.dead(item.id, "killed", "late")
    (row,) = await world.rows(outbox)
    assert (row.status, row.lease_owner, row.error) == ("new", "heir", None)
    await world.outbox.done(item.id, "heir")
    assert await world.rows(outbox) == []


async def test_f23_many_workers_share_one_queue(world: World) -> None:
    await put(world, 100)
    world.clock.move(minutes=5)
    taken: list[int] = []

    async def work(owner: str) -> None:
        mine = Outbox(world.database, LIMITS)
        while items := await mine.take(owner, world.now, batch=7):
            for item in items:
                taken.append(item.payload["n"])
                await mine.done(item.id, owner)

    await asyncio.gather(*(work(f"worker {n}") for n in range(8)))
    assert sorted(taken) == list(range(100))
    assert await world.rows(outbox) == []


async def test_a_row_given_back_is_due_later(world: World) -> None:
    await put(world)
    (item,) = await world.outbox.take("a", world.now)
    later = world.now + timedelta(seconds=8)
    await world.outbox.retry(item.id, "a", later, "unavailable")
    assert await world.outbox.next_due() == later
    assert await world.outbox.take("a", world.now) == []
    world.clock.move(seconds=8)
    assert [item.attempts for item in await world.outbox.take("a", world.now)] == [2]


async def test_a_row_given_up_stays_for_the_operator(world: World) -> None:
    await put(world)
    (item,) = await world.outbox.take("a", world.now)
    await world.outbox.dead(item.id, "a", "refused")
    world.clock.move(days=1)
    assert await world.outbox.take("a", world.now) == []
    assert await world.outbox.next_due() is None
    assert [(row.status, row.error) for row in await world.rows(outbox)] == [("dead", "refused")]


async def test_next_due_looks_past_leases(world: World) -> None:
    assert await world.outbox.next_due() is None
    await put(world)
    assert await world.outbox.next_due() == world.now
    await world.outbox.take("a", world.now)
    assert await world.outbox.next_due() == world.now + LEASE


async def test_a_dedupe_key_lets_one_in_even_when_it_is_done(world: World) -> None:
    results = await asyncio.gather(
        *(world.outbox.notice(7, "ru", "notice-reminder", world.now, dedupe="once:7") for _ in range(12))
    )
    assert sorted(results) == [False] * 11 + [True]
    (item,) = await world.outbox.take("a", world.now)
    await world.outbox.done(item.id, "a")
    (row,) = await world.rows(outbox)
    assert (row.status, row.payload, row.telegram_id) == ("done", {}, None)
    assert not await world.outbox.notice(7, "ru", "notice-reminder", world.now, dedupe="once:7")
    assert await world.outbox.take("a", world.now + LEASE) == []
