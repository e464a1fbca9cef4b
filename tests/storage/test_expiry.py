"""The 24 hours: the reminder, the deletion, and everything that must stay."""

from __future__ import annotations

import asyncio
from datetime import datetime
from itertools import chain

import sqlalchemy as sa

from storage.errors import NoAccount
from storage.models import AccountStatus, CodeSent, Progress
from storage.tables import accounts, applied_updates, challenges, outbox, sends, terms_acceptances
from tests.sql import connected
from tests.storage.world import DAY, NUMBER, OTHER_NUMBER, World


async def ids(world: World) -> list[int]:
    return sorted(row.telegram_id for row in await world.rows(accounts))


async def test_a_reminder_comes_once_four_hours_before(world: World) -> None:
    await world.person(1).accepts()
    await world.person(2).registers()
    await world.person(3).accepts()
    await world.accounts.mark_blocked(3, blocked=True, now=world.now)
    end = world.now + DAY
    world.clock.move(hours=19, minutes=59)
    await world.person(4).accepts()
    assert await world.expiry.remind_due(world.now) == 0
    world.clock.move(minutes=1)
    assert await world.expiry.remind_due(world.now) == 1
    assert await world.expiry.remind_due(world.now) == 0
    (row,) = await world.rows(outbox)
    assert (row.payload["telegram_id"], row.payload["text"]) == (1, "notice-reminder")
    assert datetime.fromisoformat(row.payload["values"]["until"]) == end


async def test_pending_accounts_are_deleted_at_their_end_and_others_stay(world: World) -> None:
    gone, done, young = (world.person(telegram_id) for telegram_id in (1, 2, 3))
    await gone.accepts()
    await gone.asks()
    await world.outbox.notice(1, "ru", "notice-reminder", world.now)
    await done.registers(OTHER_NUMBER)
    world.clock.move(hours=1)
    await young.accepts()
    world.clock.move(hours=22, minutes=59)
    assert await world.expiry.expire_due(world.now) == []
    world.clock.move(minutes=1)
    assert await world.expiry.expire_due(world.now) == [1]
    assert await ids(world) == [2, 3]
    left = await world.everything()
    assert NUMBER not in left
    assert gone.email not in left
    assert OTHER_NUMBER in left
    assert young.email in left
    assert [(row.state, row.number) for row in await world.rows(challenges)] == [("dead", None)]
    assert [row.state for row in await world.rows(sends)] == ["failed"]
    assert len(await world.rows(terms_acceptances)) == 3
    assert await world.notices() == [(1, "notice-expired")]
    # At once again, with the same address and number.
    assert (await gone.registers()).confirmed_now


async def test_who_blocked_the_bot_is_not_written_to(world: World) -> None:
    await world.person(1).accepts()
    await world.accounts.mark_blocked(1, blocked=True, now=world.now)
    world.clock.move(days=1)
    assert await world.expiry.expire_due(world.now) == [1]
    assert await world.notices() == []


async def test_deletion_goes_in_batches(world: World) -> None:
    for telegram_id in range(1, 8):
        await world.person(telegram_id).accepts()
    world.clock.move(days=1)
    batches = [await world.expiry.expire_due(world.now, batch=3) for _ in range(4)]
    assert [len(batch) for batch in batches] == [3, 3, 1, 0]
    assert sorted(chain(*batches)) == list(range(1, 8))
    assert await world.expiry.remind_due(world.now, batch=3) == 0


async def test_two_cleaners_delete_nobody_twice(world: World) -> None:
    for telegram_id in range(1, 41):
        await world.person(telegram_id).accepts()
    world.clock.move(days=1)
    batches = await asyncio.gather(*(world.expiry.expire_due(world.now, batch=10) for _ in range(8)))
    while more := await world.expiry.expire_due(world.now, batch=10):
        batches.append(more)
    assert sorted(chain(*batches)) == list(range(1, 41))
    assert len(await world.notices()) == 40


async def test_t29_the_deletion_raced_by_the_confirmation(world: World) -> None:
    """Twenty people confirm in the second they expire: each is either confirmed and stays, or is deleted whole."""
    people = [world.person(telegram_id) for telegram_id in range(1, 21)]
    for person in people:
        await person.accepts()
    world.clock.move(hours=23, minutes=55)
    for person in people:
        assert isinstance(await person.asks(f"+79160{person.id:02}0000"), CodeSent)
    codes = [(await person.codes())[0] for person in people]
    world.clock.move(minutes=5)
    tries = [person.tries(code) for person, code in zip(people, codes, strict=True)]
    cleaners = [world.expiry.expire_due(world.now, batch=5) for _ in range(4)]
    mixed = [*tries[:5], cleaners[0], *tries[5:10], cleaners[1], *tries[10:15], cleaners[2], *tries[15:], cleaners[3]]
    results = await asyncio.gather(*mixed, return_exceptions=True)
    confirmed = {result.account.telegram_id for result in results if isinstance(result, Progress)}
    deleted = [telegram_id for result in results if isinstance(result, list) for telegram_id in result]
    assert sum(isinstance(result, NoAccount) for result in results) == len(deleted) == len(set(deleted))
    assert confirmed.isdisjoint(deleted)
    assert confirmed | set(deleted) == set(range(1, 21))
    assert await ids(world) == sorted(confirmed)
    assert {row.status for row in await world.rows(accounts)} <= {AccountStatus.CONFIRMED}
    left = await world.everything()
    for person in people:
        assert (f"+79160{person.id:02}0000" in left) == (person.id in confirmed)
        assert (person.email in left) == (person.id in confirmed)
    assert len(await world.rows(sends)) == 20
    assert await world.expiry.expire_due(world.now) == []
    for telegram_id in deleted:
        assert (await world.person(telegram_id).registers(f"+79160{telegram_id:02}0000")).confirmed_now


async def test_t29_a_row_confirmed_in_that_second_stays(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    world.clock.move(hours=24)
    result = await ira.asks(contact=True, needs_code=False)
    assert isinstance(result, Progress)
    assert result.confirmed_now
    assert await world.expiry.expire_due(world.now) == []
    assert await ids(world) == [1]


async def test_applied_updates_are_forgotten_after_48_hours(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await world.outbox.put("thing", {}, world.now, dedupe="old")
    await world.outbox.put("thing", {}, world.now, dedupe="waits")
    for item in await world.outbox.take("a", world.now, batch=1):
        await world.outbox.done(item.id, "a")
    async with connected(world.database) as conn:
        await conn.execute(sa.update(applied_updates).values(at=world.now))
    world.clock.move(hours=48)
    assert await world.expiry.prune_applied(world.now) == 0
    world.clock.move(seconds=1)
    assert await world.expiry.prune_applied(world.now) == 1
    assert await world.rows(applied_updates) == []
    assert [row.status for row in await world.rows(outbox)] == ["new"]
    assert await ids(world) == [1]
