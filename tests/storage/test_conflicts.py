"""An account that the CRM refuses: what it holds, what its person may do, and how that ends."""

from __future__ import annotations

from storage.event_letters import EventLetters
from storage.event_queue import EventQueue
from storage.events import EventType
from storage.models import AccountStatus, Progress
from storage.tables import accounts, outbox
from tests.storage.told import events, next_event, queue, world
from tests.storage.world import NUMBER, OTHER_NUMBER, THIRD_NUMBER, World

__all__ = ["queue", "world"]


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
