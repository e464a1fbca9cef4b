"""F42: a CRM that is away for days, or hangs, with thousands waiting: nothing is lost, and no code is late."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot.courier import Courier
from bot.crm_settings import CrmSettings
from storage.event_letters import EventLetters
from storage.outbox import CODE, EVENT, OutboxItem
from storage.tables import outbox
from tests.bot.crm_office import Office, office
from tests.fakes.crm import Answer
from tests.sql import connected
from tests.waiting import until

__all__ = ["office"]

SCHEDULE = CrmSettings().crm_webhook_retries


async def test_f42_days_of_outage_then_back(office: Office) -> None:
    """The schedule of Standard Webhooks, to the last try, which is the first that is taken."""
    await office.someone(1)
    office.crm.always = Answer(503)
    await office.opens()
    for tries, pause in enumerate(SCHEDULE, start=1):
        row = await office.tried(tries)
        assert 0.9 * pause <= row.run_at - office.world.now <= 1.1 * pause
        await office.moves(0.89 * pause)
        assert (await office.tried(tries)).run_at == row.run_at
        if tries == len(SCHEDULE):
            office.crm.always = Answer(204)
        await office.moves(0.22 * pause)
    await office.is_empty()
    assert len(office.crm.calls) == 10
    assert len(office.crm.tries()) == 1
    outage = office.crm.calls[-1].at - office.crm.calls[0].at
    assert outage > timedelta(days=3)
    assert await office.alerts() == []


async def test_f42_what_outlasts_the_schedule_is_put_aside_and_replayed(office: Office) -> None:
    ira = await office.someone(1)
    office.crm.always = Answer(503)
    await office.opens()
    for tries in range(1, 10):
        await office.tried(tries)
        await office.moves(timedelta(hours=27))
    row = await office.tried(10, "dead")
    assert row.error == "HTTP 503"
    assert await office.alerts() == ["alert-event-dead"]
    assert office.woken
    await office.moves(timedelta(days=30))
    # The person leaves while their registration is still untold, and others come.
    await office.world.accounts.erase(ira.update(), office.world.now)
    office.crm.always = Answer(204)
    await office.someone(2)
    await office.crm.has_taken(1)
    assert [call.event["data"].get("telegram_id") for call in office.crm.taken] == [2]
    assert len(office.crm.calls) == 11, "what is put aside is tried no more"

    assert await EventLetters(office.world.database).replay(row.id, office.world.now) == 1
    await office.moves(timedelta(0))
    await office.crm.has_taken(3)
    account = str(row.account_id)
    learnt = [kind for kind, whose in office.crm.learnt if whose == account]
    assert learnt == ["registration.confirmed", "registration.deleted"], "in order, days later"
    assert office.crm.taken[1].id == str(row.id), "a replay is the same event"
    await office.is_empty()


async def test_f42_an_outage_with_many_loses_none_and_doubles_none(office: Office) -> None:
    chance = random.Random(3)
    people = [await office.someone(person) for person in range(1, 31)]
    office.crm.decide = lambda event: Answer(chance.choice([204, 204, 500, 503])) if chance.random() < 0.9 else None
    await office.opens()
    await office.opens(owner="two")
    for person in people[::3]:
        await office.world.accounts.erase(person.update(), office.world.now)

    async def passes() -> bool:
        rows = await office.rows()
        # A call under way was signed by the present time, perhaps since these were read: a step is shorter than the
        # five minutes for which a signature is good.
        if rows and all(row.lease_owner is None for row in rows):
            await office.moves(timedelta(minutes=4))
        return not rows

    await until(passes, 60)
    learnt = office.crm.learnt
    assert len(learnt) == len(set(learnt)) == 40
    for person_account in {whose for _, whose in learnt}:
        kinds = [kind for kind, whose in learnt if whose == person_account]
        assert kinds in (["registration.confirmed"], ["registration.confirmed", "registration.deleted"])
    assert max(office.crm.tries().values()) > 1


class Sent:
    """A delivery that only says when a code came by."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    async def deliver(self, item: OutboxItem) -> None:
        self.moments.append(asyncio.get_running_loop().time())


async def test_ten_thousand_events_nobody_takes_do_not_delay_a_code(
    office: Office,
) -> None:
    """The CRM hangs, every event is due, and codes go out as they do without any."""
    world = office.world
    loop = asyncio.get_running_loop()
    codes = Sent()
    courier = Courier(world.outbox, {CODE: codes}, world.clock, "codes")
    courier.start()

    async def delay(count: int) -> float:
        """Return the longest time a code took, of so many."""
        worst = 0.0
        for _ in range(count):
            sent = len(codes.moments)
            began = loop.time()
            await world.outbox.put(CODE, {}, world.now)
            courier.wake()
            await until(lambda sent=sent: len(codes.moments) > sent)  # type: ignore[misc]
            worst = max(worst, codes.moments[-1] - began)
        return worst

    try:
        before = await delay(20)
        rows = [
            {
                "id": world.database.new_id(), "kind": EVENT, "payload": _event(n), "run_at": world.now,
                "attempts": 0, "status": "new", "account_id": UUID(int=n + 1), "n": 1,
            }
            for n in range(10_000)
        ]  # fmt: skip
        async with connected(world.database) as conn:
            await conn.execute(sa.insert(outbox), rows)
        office.crm.answering.clear()
        await office.opens()
        await until(lambda: office.crm.waiting == 8)
        during = await delay(20)
    finally:
        await courier.stop()
    print(f"slowest of 20 codes: {before * 1000:.1f} ms without events, {during * 1000:.1f} ms with 10,000 waiting")
    assert during < before + 0.2
    assert office.crm.waiting == 8, "a CRM that hangs holds so many calls and no more"


def _event(n: int) -> dict[str, Any]:
    moment = "2026-05-04T12:00:00.000Z"
    account = str(UUID(int=n + 1))
    data = {"account_id": account, "created_at": moment, "expired_at": moment}
    return {"type": "registration.expired", "timestamp": moment, "data": data}
