"""The queue of events: each account's in order, whoever takes them, and none is lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from storage.event_letters import EventLetters
from storage.event_queue import EventQueue
from storage.events import EventType
from storage.tables import event_stops, outbox
from tests.sql import connected
from tests.storage.told import events, next_event, queue, world
from tests.storage.world import DAY, NUMBER, OTHER_NUMBER, World

__all__ = ["queue", "world"]


async def test_one_accounts_events_go_in_order_whatever_the_clock_says(world: World, queue: EventQueue) -> None:
    ira = world.person(1)
    await ira.registers()
    # Another replica's clock is behind.
    world.clock.move(seconds=-30)
    await world.accounts.erase(ira.update(), world.now)
    assert await queue.take("one", world.now, 10) == [], "the earlier event is not due by this clock, and is first"
    world.clock.move(seconds=30)
    event = await next_event(queue, world)
    assert event.type is EventType.CONFIRMED
    assert await queue.take("two", world.now, 10) == []
    await queue.retry(event.id, "one", world.now + DAY, "HTTP 500")
    assert await queue.take("two", world.now, 10) == []
    world.clock.move(days=1)
    event = await next_event(queue, world)
    assert (event.type, event.attempts) == (EventType.CONFIRMED, 2)
    await queue.delivered(event, "one", world.now)
    event = await next_event(queue, world)
    assert event.type is EventType.DELETED
    await queue.delivered(event, "one", world.now)
    assert await events(world) == []
    assert NUMBER not in await world.everything(), "what was told is not kept"


async def test_what_was_given_up_is_not_overtaken_either(world: World, queue: EventQueue) -> None:
    ira, oleg = world.person(1), world.person(2)
    await ira.registers()
    event = await next_event(queue, world)
    await queue.give_up(event, "one", "HTTP 500", world.now)
    await world.accounts.erase(ira.update(), world.now)
    await oleg.registers(OTHER_NUMBER)
    other = await next_event(queue, world)
    assert other.payload["data"]["telegram_id"] == 2, "others go on"
    letters = EventLetters(world.database)
    first, second, third = [letter async for letter in letters.all()]
    assert (first.dead, first.waits, first.error) == (True, False, "HTTP 500")
    assert (second.type, second.waits) == ("registration.deleted", True)
    assert (third.dead, third.waits) == (False, False)
    assert [letter.id async for letter in letters.all(dead=True)] == [event.id]
    assert await letters.replay(None, world.now) == 1
    again = await next_event(queue, world)
    assert (again.id, again.attempts, again.payload) == (event.id, 1, event.payload)
    await queue.delivered(again, "one", world.now)
    assert (await next_event(queue, world)).type is EventType.DELETED


async def test_f23_two_workers_share_the_queue_and_f22_a_lease_ends(world: World, queue: EventQueue) -> None:
    for n in range(20):
        await world.person(100 + n).registers(f"+79160{n:02}0000")
    taken = await asyncio.gather(*(queue.take(f"worker {n}", world.now, 4) for n in range(5)))
    ids = [event.id for part in taken for event in part]
    assert len(ids) == len(set(ids))
    rest = await queue.take("late", world.now, 100)
    assert len(ids) + len(rest) == 20
    world.clock.move(seconds=60)
    assert len(await queue.take("heir", world.now, 100)) == 20
    # The first worker comes to life again: what it holds is another's by now.
    await queue.retry(ids[0], "worker 0", world.now, "late")
    await queue.give_up(taken[0][0], "worker 0", "late", world.now)
    assert await queue.take("late", world.now, 100) == []


async def test_events_are_not_the_other_couriers(world: World, queue: EventQueue) -> None:
    ira = world.person(1)
    await ira.registers()
    assert await world.outbox.take("courier", world.now) == []
    assert await world.outbox.next_due() is None
    await world.outbox.put("thing", {}, world.now)
    assert [item.kind for item in await queue.take("events", world.now, 10)] == ["event"]


async def test_a_stop_keeps_everything_and_costs_no_try(world: World, queue: EventQueue) -> None:
    for n in range(3):
        await world.person(n + 1).registers(f"+79160{n:02}0000")
    first, second, _ = await queue.take("one", world.now, 10)
    await queue.stop(first, "one", world.now)
    await queue.stop(second, "one", world.now)
    world.clock.move(hours=1)
    assert await queue.take("one", world.now, 10) == []
    assert await EventLetters(world.database).stopped_at() == world.now - timedelta(hours=1)
    alerts = await world.rows(outbox, outbox.c.kind == "alert")
    assert [row.payload["text"] for row in alerts] == ["alert-events-stopped"]
    assert await queue.resume()
    assert not await queue.resume()
    assert sorted(event.attempts for event in await queue.take("one", world.now, 10)) == [1, 1, 2]
    assert await world.rows(event_stops) == []


async def test_neither_queue_is_read_past_the_other(world: World) -> None:
    """By its index: a backlog of a million events costs a look for a code nothing."""
    plans = {}
    for kind, index in (("event", "ix_outbox_status_run_at_n"), ("!event", "ix_outbox_status_run_at")):
        condition = f"kind {'=' if kind == 'event' else '!='} 'event'"
        query = f"SELECT id FROM outbox WHERE {condition} AND status = 'new' AND run_at <= '2026-01-01' ORDER BY run_at"
        explain = "EXPLAIN " if world.database.is_postgresql else "EXPLAIN QUERY PLAN "
        async with connected(world.database) as conn:
            if world.database.is_postgresql:
                await conn.exec_driver_sql("SET LOCAL enable_seqscan = off")
            plans[index] = " ".join(str(row) for row in (await conn.exec_driver_sql(explain + query)).all())
        assert f"{index} " in plans[index].replace("'", " ").replace('"', " "), plans[index]
