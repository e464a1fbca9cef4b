"""F41, F43, F44: events on their way to a CRM that verifies, refuses and does not answer. Real SQL, real HTTP."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from bot.crm_settings import CrmSettings
from bot.event_delivery import telling_crm
from bot.gateways.crm import CrmWebhook
from storage.database import Database
from storage.event_letters import EventLetters
from storage.event_queue import EventQueue
from storage.tables import OutboxStatus, event_stops
from tests.bot.crm_office import Office, office
from tests.fakes.crm import NEW_SECRET, SECRET, Answer, FakeCrm
from tests.sql import connected
from tests.storage.world import NUMBER, OTHER_NUMBER, World
from tests.waiting import until

__all__ = ["office"]


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
