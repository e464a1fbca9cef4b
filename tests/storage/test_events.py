"""What the CRM is to learn: one event per fact, in the transaction that makes it one, in order, never lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from storage.database import Database
from storage.event_letters import EventLetters
from storage.event_queue import Event, EventQueue
from storage.events import EventType
from storage.models import AccountStatus, Progress
from storage.statements import Connection
from storage.tables import accounts, event_stops, outbox
from tests.fakes.crm import VALIDATOR
from tests.sql import connected
from tests.storage.world import DAY, NUMBER, OTHER_NUMBER, THIRD_NUMBER, VERSION, World

LEASE = timedelta(seconds=60)


@pytest.fixture
def world(database: Database) -> World:
    """A world with a CRM that wants to be told."""
    return World(database, told=True)


@pytest.fixture
def queue(world: World) -> EventQueue:
    return EventQueue(world.database, LEASE)


async def events(world: World) -> list[Any]:
    rows = await world.rows(outbox, outbox.c.kind == "event")
    for row in rows:
        VALIDATOR.validate(row.payload)
    return sorted(rows, key=lambda row: (row.payload["timestamp"], str(row.account_id), row.n))


async def types(world: World) -> list[str]:
    return [row.payload["type"] for row in await events(world)]


async def next_event(queue: EventQueue, world: World, owner: str = "one") -> Event:
    (event,) = await queue.take(owner, world.now, 10)
    return event


async def test_a_confirmation_is_told_with_everything_known(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    world.clock.move(seconds=2.5)
    await ira.asks()
    assert await events(world) == []
    assert (await ira.tries((await ira.codes())[0])).confirmed_now
    (row,) = await events(world)
    account = await ira.account()
    assert row.payload == {
        "type": "registration.confirmed",
        "timestamp": "2026-05-04T12:00:02.500Z",
        "data": {
            "account_id": str(account.id),
            "telegram_id": 1,
            "language": "ru",
            "email": "person1@example.org",
            "email_verified": False,
            "phone": NUMBER,
            "phone_proof": "code",
            "terms": {"version": VERSION, "accepted_at": "2026-05-04T12:00:00.000Z"},
            "created_at": "2026-05-04T12:00:00.000Z",
            "confirmed_at": "2026-05-04T12:00:02.500Z",
            "promo": None,
            "referral": None,
        },
    }
    assert (row.account_id, row.telegram_id, row.dedupe, row.n, row.status) == (account.id, None, None, 1, "new")


async def test_a_verified_address_and_an_own_contact_are_told_as_such(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await ira.gives("ira@example.org", verified=True)
    await ira.asks(contact=True, needs_code=False)
    (row,) = await events(world)
    data = row.payload["data"]
    assert (data["email"], data["email_verified"], data["phone_proof"]) == ("ira@example.org", True, "contact")


async def test_an_expired_account_is_told_without_anything_personal(world: World) -> None:
    ira, oleg = world.person(1), world.person(2)
    await ira.accepts()
    await ira.asks()
    await oleg.registers(OTHER_NUMBER)
    account = await ira.account()
    world.clock.move(hours=24)
    assert await world.expiry.expire_due(world.now) == [1]
    assert await world.expiry.expire_due(world.now) == []
    confirmed, expired = await events(world)
    assert confirmed.payload["type"] == "registration.confirmed"
    assert expired.payload["data"] == {
        "account_id": str(account.id),
        "created_at": "2026-05-04T12:00:00.000Z",
        "expired_at": "2026-05-05T12:00:00.000Z",
    }
    assert NUMBER not in await world.everything()


async def test_a_deleted_account_is_told_and_takes_no_event_with_it(world: World) -> None:
    ira = world.person(1)
    await ira.registers()
    account = await ira.account()
    assert await world.accounts.erase(ira.update(), world.now)
    confirmed, deleted = await events(world)
    assert confirmed.payload["data"]["phone"] == NUMBER, "the CRM is still to learn who that was"
    assert deleted.payload["data"] == {
        "account_id": str(account.id),
        "created_at": "2026-05-04T12:00:00.000Z",
        "confirmed_at": "2026-05-04T12:00:00.000Z",
        "deleted_at": "2026-05-04T12:00:00.000Z",
    }
    assert (confirmed.n, deleted.n) == (1, 2)


async def test_who_had_not_finished_is_deleted_without_a_moment_of_confirmation(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await world.accounts.erase(ira.update(), world.now)
    (row,) = await events(world)
    assert row.payload["data"]["confirmed_at"] is None


async def test_without_a_crm_nothing_is_written(database: Database) -> None:
    world = World(database)
    ira, oleg = world.person(1), world.person(2)
    await ira.registers()
    await oleg.accepts()
    await world.accounts.erase(ira.update(), world.now)
    world.clock.move(hours=24)
    assert await world.expiry.expire_due(world.now) == [2]
    assert await events(world) == []


async def test_t13_one_update_ten_times_is_one_event(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await ira.asks()
    code, update = (await ira.codes())[0], ira.update()
    await asyncio.gather(*(ira.tries(code, update) for _ in range(10)))
    erased = ira.update()
    await asyncio.gather(*(world.accounts.erase(erased, world.now) for _ in range(10)))
    assert await types(world) == ["registration.confirmed", "registration.deleted"]


async def test_t08_two_right_codes_at_once_are_one_event(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await ira.asks()
    code = (await ira.codes())[0]
    results = await asyncio.gather(ira.tries(code), ira.tries(code))
    assert sorted(result.confirmed_now for result in results) == [False, True]
    assert await types(world) == ["registration.confirmed"]


async def test_what_was_rolled_back_is_not_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ira = world.person(1)
    await ira.accepts()

    async def fails(*_: object) -> None:
        raise RuntimeError("the process dies here")

    monkeypatch.setattr("storage.applied.keep", fails)
    with pytest.raises(RuntimeError):
        await ira.asks(contact=True, needs_code=False)
    monkeypatch.undo()
    assert await events(world) == []
    assert (await ira.account()).status is AccountStatus.PENDING


async def test_whoever_confirms_again_with_another_number_is_told_again(world: World) -> None:
    ira, heir = world.person(1), world.person(2)
    await ira.registers()
    world.clock.move(days=91)
    await heir.registers()
    world.clock.move(hours=1)
    progress = await ira.asks(OTHER_NUMBER, contact=True, needs_code=False)
    assert isinstance(progress, Progress)
    assert progress.confirmed_now
    account = await ira.account()
    first, second = [row for row in await events(world) if row.account_id == account.id]
    assert (first.n, second.n) == (1, 2)
    assert (first.payload["data"]["phone"], second.payload["data"]["phone"]) == (NUMBER, OTHER_NUMBER)


async def test_the_largest_event_is_far_below_20_kb(world: World) -> None:
    long = world.person(10**15, email=f"{'я' * 60}@{'a' * 60}.{'b' * 60}.{'c' * 60}.example.org")
    await long.registers("+799912345678901")
    (row,) = await events(world)
    assert len(str(row.payload).encode()) < 2000


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


async def status(world: World, telegram_id: int) -> str:
    (row,) = await world.rows(accounts, accounts.c.telegram_id == telegram_id)
    return str(row.status)


async def test_a_refused_account_is_in_conflict_and_holds_nothing(world: World, queue: EventQueue) -> None:
    ira, oleg = world.person(1), world.person(2)
    await ira.registers()
    assert await queue.refused(await next_event(queue, world), "one", world.now) == 1
    assert await status(world, 1) == "conflict"
    assert await world.notices() == [(1, "notice-conflict")]
    alerts = await world.rows(outbox, outbox.c.kind == "alert")
    assert [row.payload["text"] for row in alerts] == ["alert-conflict"]

    # Neither its number nor its address stands in anybody's way, and nobody takes them from it.
    oleg.email = ira.email
    await oleg.accepts()
    result = await oleg.asks(NUMBER, contact=True, needs_code=False)
    assert isinstance(result, Progress)
    assert (result.confirmed_now, result.displaced) == (True, ())
    claimed = world.person(3)
    await claimed.accepts(email=None)
    await claimed.gives(ira.email, verified=True)
    account = await ira.account()
    assert (account.status, account.phone, account.email) == (AccountStatus.CONFLICT, NUMBER, ira.email)
    world.clock.move(days=3)
    assert 1 not in await world.expiry.expire_due(world.now)


async def test_an_account_in_conflict_stays_so_whatever_its_person_does(world: World, queue: EventQueue) -> None:
    ira = world.person(1)
    await ira.registers()
    await queue.refused(await next_event(queue, world), "one", world.now)
    for result in (await ira.accepts(), await ira.gives("other@example.org"), await ira.asks(OTHER_NUMBER)):
        assert isinstance(result, Progress)
        assert not result.confirmed_now
        assert result.account.status is AccountStatus.CONFLICT
    assert (await ira.tries("123456")).account.status is AccountStatus.CONFLICT
    assert (await ira.account()).email == ira.email


async def test_a_conflict_is_over_when_the_crm_takes_the_event_after_all(world: World, queue: EventQueue) -> None:
    ira = world.person(1)
    await ira.registers()
    await queue.refused(await next_event(queue, world), "one", world.now)
    assert await EventLetters(world.database).replay(None, world.now) == 1
    # Refused once more: said once is enough.
    assert await queue.refused(await next_event(queue, world), "one", world.now) is None
    assert await EventLetters(world.database).replay(None, world.now) == 1
    assert await queue.delivered(await next_event(queue, world), "one", world.now) == 1
    assert await status(world, 1) == "confirmed"
    assert await world.notices() == [(1, "notice-conflict"), (1, "notice-conflict-over")]
    assert await events(world) == []


async def test_a_conflict_stays_when_somebody_else_has_the_number_by_then(world: World, queue: EventQueue) -> None:
    ira, oleg = world.person(1), world.person(2)
    await ira.registers()
    await queue.refused(await next_event(queue, world), "one", world.now)
    await oleg.registers()
    await EventLetters(world.database).replay(None, world.now)
    for event in await queue.take("one", world.now, 10):
        assert await queue.delivered(event, "one", world.now) is None
    assert (await status(world, 1), await status(world, 2)) == ("conflict", "confirmed")
    assert len(await world.rows(outbox, outbox.c.kind == "alert")) == 2


async def test_deleting_an_account_in_conflict_leaves_nothing_of_it(world: World, queue: EventQueue) -> None:
    ira = world.person(1)
    await ira.registers()
    await queue.refused(await next_event(queue, world), "one", world.now)
    await world.accounts.erase(ira.update(), world.now)
    event = await next_event(queue, world)
    assert event.type is EventType.DELETED
    left = await world.everything()
    assert NUMBER not in left
    assert ira.email not in left
    assert (await ira.registers()).confirmed_now


async def test_a_refusal_for_what_has_changed_since_changes_nothing(world: World, queue: EventQueue) -> None:
    ira, oleg = world.person(1), world.person(2)
    await ira.registers()
    event = await next_event(queue, world)
    world.clock.move(days=91)
    await oleg.registers()
    assert await status(world, 1) == "pending"
    # The lease has ended, and was taken again.
    (again, *_) = [item for item in await queue.take("one", world.now, 10) if item.id == event.id]
    again_confirmed = await ira.asks(THIRD_NUMBER, contact=True, needs_code=False)
    assert isinstance(again_confirmed, Progress)
    assert again_confirmed.confirmed_now
    assert await queue.refused(again, "one", world.now) is None
    assert await status(world, 1) == "confirmed", "it was refused with the number it has lost"
    (row,) = [row for row in await events(world) if row.account_id == event.account_id]
    assert (row.status, row.payload["data"]["phone"]) == ("new", THIRD_NUMBER)
    gone = world.person(3)
    await gone.registers(OTHER_NUMBER)
    (event,) = [item for item in await queue.take("one", world.now, 10) if item.payload["data"]["telegram_id"] == 3]
    await world.accounts.erase(gone.update(), world.now)
    assert await queue.refused(event, "one", world.now) is None
    assert [row.payload["type"] for row in await events(world) if row.account_id == event.account_id] == [
        "registration.deleted"
    ]


async def test_who_has_blocked_the_bot_is_not_written_to(world: World, queue: EventQueue) -> None:
    ira = world.person(1)
    await ira.registers()
    await world.accounts.mark_blocked(1, blocked=True, now=world.now)
    assert await queue.refused(await next_event(queue, world), "one", world.now) == 1
    assert await world.notices() == []


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


async def test_confirming_takes_one_statement_more(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {}
    for told in (False, True):
        world = World(database, told=told)
        ira = world.person(50 + told)
        number = f"+7916000000{told:d}"
        await ira.accepts()
        await ira.asks(number)
        code = (await ira.codes())[0]
        seen: list[object] = []
        real = database.write

        async def counted(update: Any, work: Any, seen: list[object] = seen, real: Any = real) -> Any:
            async def watched(conn: Connection) -> Any:
                return await work(_Counting(conn, seen))

            return await real(update, watched)

        monkeypatch.setattr(database, "write", counted)
        assert (await ira.tries(code)).confirmed_now
        monkeypatch.undo()
        counts[told] = len(seen)
    assert counts[True] == counts[False] + 1


class _Counting:
    def __init__(self, conn: Connection, seen: list[object]) -> None:
        self._conn = conn
        self._seen = seen
        self.is_postgresql = conn.is_postgresql
        self.insert = conn.insert

    async def execute(self, statement: Any, **values: Any) -> Any:
        self._seen.append(statement)
        return await self._conn.execute(statement, **values)
