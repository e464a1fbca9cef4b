"""F41 to F44: events on their way to a CRM that verifies, refuses, hangs and is away for days. Real SQL, real HTTP."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from bot.courier import Courier
from bot.crm_settings import CrmSettings
from bot.event_delivery import telling_crm
from bot.gateways.crm import CrmWebhook
from storage.database import Database
from storage.event_letters import EventLetters
from storage.event_queue import EventQueue
from storage.outbox import CODE, EVENT, OutboxItem
from storage.tables import OutboxStatus, event_stops, outbox
from tests.fakes.crm import NEW_SECRET, SECRET, Answer, FakeCrm
from tests.sql import connected
from tests.storage.world import NUMBER, OTHER_NUMBER, Actor, World
from tests.waiting import until

SCHEDULE = CrmSettings().crm_webhook_retries


class Office:
    """Registrations, a CRM, and the courier between them."""

    def __init__(self, world: World, crm: FakeCrm, stack: AsyncExitStack) -> None:
        self.world = world
        self.crm = crm
        self.stack = stack
        self.forgotten: list[int] = []
        self.woken = 0
        self.couriers: list[Courier] = []

    async def opens(self, *, owner: str = "one", **settings: Any) -> Courier:
        """Start telling the CRM."""
        values: dict[str, Any] = {"crm_webhook_url": self.crm.url, "crm_webhook_secret": SECRET, **settings}
        courier = await self.stack.enter_async_context(
            telling_crm(
                CrmSettings(**values), self.world.database, self.world.clock,
                owner=owner, forget=self.forget, wake=self.wake,
            )
        )  # fmt: skip
        assert courier is not None
        self.couriers.append(courier)
        return courier

    async def forget(self, telegram_id: int) -> None:
        self.forgotten.append(telegram_id)

    def wake(self) -> None:
        self.woken += 1

    async def moves(self, by: timedelta) -> None:
        self.world.clock.moment += by
        for courier in self.couriers:
            courier.wake()

    async def rows(self) -> list[Any]:
        return await self.world.rows(outbox, outbox.c.kind == "event")

    async def is_empty(self) -> None:
        async def empty() -> bool:
            return await self.rows() == []

        await until(empty)

    async def tried(self, count: int, status: str = "new") -> Any:
        """Wait until the only event was tried so often and was given back (or up); return its row."""
        found: list[Any] = []

        async def settled() -> bool:
            found[:] = await self.rows()
            return [(row.attempts, row.status, row.lease_until) for row in found] == [(count, status, None)]

        await until(settled)
        return found[0]

    async def alerts(self) -> list[str]:
        return [row.payload["text"] for row in await self.world.rows(outbox, outbox.c.kind == "alert")]

    async def someone(self, telegram_id: int, number: str | None = None) -> Actor:
        person = self.world.person(telegram_id)
        assert (await person.registers(number or f"+7916{telegram_id:07}")).confirmed_now
        return person


@pytest.fixture
async def office(database: Database) -> AsyncIterator[Office]:
    world = World(database, told=True)
    crm = FakeCrm(world.clock)
    await crm.start()
    async with AsyncExitStack() as stack:
        yield Office(world, crm, stack)
    await crm.stop()


async def test_an_event_is_told_once_and_nothing_of_it_stays(office: Office) -> None:
    ira = await office.someone(1, NUMBER)
    (row,) = await office.rows()
    await office.opens()
    (call,) = await office.crm.has_taken(1)
    assert call.id == str(row.id)
    assert call.event == row.payload
    await office.is_empty()
    assert office.crm.tries() == {call.id: 1}
    assert (office.forgotten, office.woken) == ([], 0)
    assert await ira.account()


@pytest.mark.parametrize(
    "answer", [Answer(500), Answer(429), Answer(302, {"Location": "/elsewhere"}), Answer(404), Answer(drop=True)]
)
async def test_f41_what_is_no_yes_is_tried_again_and_f44_under_the_same_id(office: Office, answer: Answer) -> None:
    await office.someone(1)
    office.crm.answers.append(answer)
    await office.opens()
    row = await office.tried(1)
    assert row.error
    assert timedelta(seconds=4.5) <= row.run_at - office.world.now <= timedelta(seconds=5.5)
    assert len(office.crm.calls) == 1
    await office.moves(timedelta(seconds=6))
    await office.crm.has_taken(1)
    first, second = office.crm.calls
    assert (first.id, first.body) == (second.id, second.body)
    assert (second.at - first.at) == timedelta(seconds=6), "each try is signed at its own moment"
    await office.is_empty()


async def test_f41_a_timeout_is_tried_again(office: Office) -> None:
    await office.someone(1)
    office.crm.answering.clear()
    await office.opens(crm_webhook_timeout="1s")
    row = await office.tried(1)
    assert row.error == "no answer: TimeoutError"
    office.crm.answering.set()
    await until(lambda: office.crm.waiting == 0)
    await office.moves(timedelta(seconds=6))
    await office.is_empty()
    # It may have taken the first call too: by the id it knows that this is the same.
    assert len(office.crm.learnt) == 1


async def test_f41_a_crm_that_is_not_there_is_tried_again(office: Office) -> None:
    await office.someone(1)
    url = office.crm.url
    await office.crm.stop()
    await office.opens(crm_webhook_url=url)
    row = await office.tried(1)
    assert row.error == "no connection: ConnectionRefusedError"


async def test_f41_410_stops_everything_until_it_is_resumed(office: Office) -> None:
    for person in range(1, 4):
        await office.someone(person)
    office.crm.always = Answer(410)
    await office.opens()
    await until(lambda: bool(office.crm.calls))

    async def stopped() -> bool:
        rows = await office.rows()
        return bool(await office.world.rows(event_stops)) and all(row.lease_until is None for row in rows)

    await until(stopped)
    calls = len(office.crm.calls)
    assert 1 <= calls <= 3
    assert await office.alerts() == ["alert-events-stopped"]
    office.crm.always = Answer(204)
    await office.someone(4)
    await office.moves(timedelta(days=1))
    # Two looks of the courier, and nothing is sent.
    for _ in range(2):
        assert await EventQueue(office.world.database, timedelta(0)).take("test", office.world.now, 10) == []
    assert len(office.crm.calls) == calls
    assert len(await office.rows()) == 4
    assert await EventQueue(office.world.database, timedelta(0)).resume()
    await office.moves(timedelta(0))
    await office.is_empty()
    assert len(office.crm.learnt) == 4


async def test_f41_a_new_start_resumes_too(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    await office.someone(1)
    async with connected(office.world.database) as conn:
        await conn.execute(event_stops.insert().values(receiver="crm", at=office.world.now))
    await office.opens()
    await office.is_empty()
    assert any("wanted none before" in record.getMessage() for record in caplog.records)


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


async def test_f43_a_secret_changes_over_without_a_gap(database: Database) -> None:
    world = World(database, told=True)
    for secrets, receiver in (
        (SECRET, SECRET),
        # Ours is changed first: who still has the old one takes it, and who has the new one already.
        (f"{NEW_SECRET},{SECRET}", SECRET),
        (f"{NEW_SECRET},{SECRET}", NEW_SECRET),
        (NEW_SECRET, NEW_SECRET),
    ):
        crm = FakeCrm(world.clock, receiver)
        await crm.start()
        async with AsyncExitStack() as stack:
            office = Office(world, crm, stack)
            await office.someone(1)
            await office.opens(crm_webhook_secret=secrets)
            (call,) = await crm.has_taken(1)
            assert call.signatures == len(secrets.split(","))
            await office.is_empty()
            await world.accounts.erase(world.person(1).update(), world.now)
            office.couriers[0].wake()
            await office.is_empty()
        await crm.stop()


async def test_f44_a_call_cut_by_a_stop_is_made_again_under_the_same_id(office: Office) -> None:
    await office.someone(1)
    office.crm.answering.clear()
    async with AsyncExitStack() as first:
        dying = Office(office.world, office.crm, first)
        await dying.opens(owner="dying")
        await until(lambda: office.crm.waiting == 1)
    (row,) = await office.rows()
    assert row.lease_until is not None, "nobody knows whether the CRM took it"
    office.crm.answering.set()
    await until(lambda: office.crm.waiting == 0)
    await office.opens(owner="heir")
    await office.moves(timedelta(seconds=61))
    await office.is_empty()
    assert list(office.crm.tries()) == [str(row.id)]


async def test_a_409_is_told_to_the_person_and_to_support(office: Office) -> None:
    await office.someone(1, NUMBER)
    office.crm.always = Answer(409)
    await office.opens()
    await until(lambda: office.forgotten == [1])
    (row,) = await office.rows()
    assert (row.status, row.error) == ("dead", "conflict")
    assert await office.alerts() == ["alert-conflict"]
    assert await office.world.notices() == [(1, "notice-conflict")]
    assert office.woken == 1
    # Support has settled it there.
    office.crm.always = Answer(204)
    await EventLetters(office.world.database).replay(row.id, office.world.now)
    await office.moves(timedelta(0))
    await until(lambda: office.forgotten == [1, 1])
    await office.is_empty()


async def test_a_409_to_anything_else_is_one_more_no(office: Office) -> None:
    ira = office.world.person(1)
    await ira.accepts()
    await office.world.accounts.erase(ira.update(), office.world.now)
    office.crm.answers.append(Answer(409))
    await office.opens()
    assert (await office.tried(1)).error == "HTTP 409"
    await office.moves(timedelta(seconds=6))
    await office.is_empty()


async def test_a_fault_of_ours_is_no_reason_to_give_an_event_up(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("a bug")

    await office.someone(1)
    with monkeypatch.context() as patch:
        patch.setattr(CrmWebhook, "send", fails)
        await office.opens()
        row = await office.tried(1)
    assert (row.error, row.status) == ("fault", OutboxStatus.NEW)
    assert any("could not be sent" in record.getMessage() for record in caplog.records)


async def test_without_an_address_nobody_is_told(database: Database) -> None:
    world = World(database)
    office = Office(world, FakeCrm(world.clock), AsyncExitStack())
    telling = telling_crm(
        CrmSettings(), database, world.clock, owner="one", forget=office.forget, wake=office.wake
    )  # fmt: skip
    async with telling as courier:
        assert courier is None


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


async def test_storage_away_loses_nothing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call was made and its outcome could not be written: it is made again, the same."""
    await office.someone(1, OTHER_NUMBER)
    real, failures = EventQueue.delivered, [1]

    async def away(self: EventQueue, *args: Any) -> int | None:
        if failures:
            failures.pop()
            raise ConnectionRefusedError("the database is away")
        return await real(self, *args)

    monkeypatch.setattr(EventQueue, "delivered", away)
    await office.opens()
    await office.crm.has_taken(1)
    await until(lambda: not failures)
    await office.moves(timedelta(seconds=61))
    await office.is_empty()
    assert len(office.crm.calls) == 2
    assert len(office.crm.learnt) == 1
