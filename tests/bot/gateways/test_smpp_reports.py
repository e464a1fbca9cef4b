"""Receipts of the SMS centre: what each says, that none is lost, and that what is no receipt changes nothing."""

from __future__ import annotations

import asyncio
import logging

import pytest

from bot.gateways import smpp_pdu
from bot.gateways.smpp import Smpp
from handlers.ports import Accepted, Report
from storage.models import SendState
from tests.bot.gateways.smpp_stage import Kept, centre, gateway, make, message
from tests.fakes import smpp_wire
from tests.fakes.smpp import FakeSmpp
from tests.fakes.vendor import Fault
from tests.waiting import until

__all__ = ["centre", "gateway", "make"]


async def taken(gateway: Smpp) -> str:
    result = await gateway.send(message())
    assert isinstance(result, Accepted)
    return str(result.provider_id)


@pytest.fixture
async def kept(gateway: Smpp) -> Kept:
    keeper = Kept()
    gateway.on_report = keeper
    return keeper


STATES = [
    ("DELIVRD", SendState.DELIVERED),
    ("EXPIRED", SendState.UNDELIVERED),
    ("DELETED", SendState.UNDELIVERED),
    ("UNDELIV", SendState.UNDELIVERED),
    ("REJECTD", SendState.UNDELIVERED),
    ("ENROUTE", None),
    ("ACCEPTD", None),
    ("UNKNOWN", None),
]


@pytest.mark.parametrize("form", [{}, {"parameters": True}, {"parameters": True, "written": False}])
@pytest.mark.parametrize(("state", "expected"), STATES)
async def test_each_state_of_a_receipt(
    centre: FakeSmpp, gateway: Smpp, kept: Kept, state: str, expected: SendState | None, form: dict[str, bool]
) -> None:
    message_id = await taken(gateway)
    assert await centre.report(message_id, state, error="029", **form) == 0
    if expected is None:
        assert kept.reports == []
        return
    said = f"{state} 029" if form.get("written", True) else state
    detail = "" if expected is SendState.DELIVERED else said
    assert kept.reports == [Report(message_id, expected, detail)]


async def test_t14_a_repeated_receipt_says_the_same(centre: FakeSmpp, gateway: Smpp, kept: Kept) -> None:
    message_id = await taken(gateway)
    for _ in range(3):
        assert await centre.report(message_id, "DELIVRD") == 0
    assert kept.reports == [Report(message_id, SendState.DELIVERED)] * 3


async def test_a_receipt_that_could_not_be_kept_comes_again(centre: FakeSmpp, gateway: Smpp, kept: Kept) -> None:
    message_id = await taken(gateway)
    kept.away = True
    assert await centre.report(message_id, "DELIVRD") == smpp_pdu.Status.TEMPORARY_ERROR
    kept.away = False
    assert await centre.report(message_id, "DELIVRD") == 0
    assert kept.reports == [Report(message_id, SendState.DELIVERED)]


async def test_without_anybody_to_keep_it_a_receipt_comes_again(centre: FakeSmpp, gateway: Smpp) -> None:
    assert gateway.on_report is None
    message_id = await taken(gateway)
    assert await centre.report(message_id, "DELIVRD") == smpp_pdu.Status.TEMPORARY_ERROR


async def test_receipts_come_without_a_message_being_sent_and_after_a_loss(
    centre: FakeSmpp, gateway: Smpp, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.gateways.smpp._FIRST_PAUSE", 0.01)
    await until(lambda: centre.seen.count(("bind", 0)) == 1 and bool(centre._esmes))
    assert await centre.report("AB12", "EXPIRED") == 0
    await centre.drop()
    await until(lambda: centre.seen.count(("bind", 0)) == 2 and bool(centre._esmes))
    assert await centre.report("AB13", "DELIVRD") == 0
    assert [report.provider_id for report in kept.reports] == ["AB12", "AB13"]


async def test_a_centre_that_is_away_is_asked_again_and_told_of_once(
    centre: FakeSmpp, gateway: Smpp, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.gateways.smpp._FIRST_PAUSE", 0.01)
    monkeypatch.setattr("bot.gateways.smpp._LONGEST_PAUSE", 0.02)
    caplog.set_level(logging.INFO)
    centre.always = Fault(error_code=0x0E)
    gateway.on_report = Kept()
    await until(lambda: centre.seen.count(("bind", 0)) >= 4)
    # Setting it anew makes no second keeper.
    gateway.on_report = Kept()
    centre.always = None
    await until(lambda: "bound to the SMS centre\n" in caplog.text)
    assert caplog.text.count("so no receipts come: bind refused with status 0xe: see SMPP_SYSTEM_ID") == 1
    await until(lambda: len(centre._links) == 1)
    assert centre.connections == centre.seen.count(("bind", 0))


@pytest.mark.parametrize(
    ("text", "esm_class"),
    [
        (b"id:AB12 sub:001 dlvrd:001 stat:DELIVRD err:000 text:", 0),
        (b"id:AB12 sub:001 dlvrd:001 stat:DELIVRD err:000 text:", 0x20),
        (b"id:AB12 sub:001 dlvrd:001 err:000 text:", 4),
        (b"id:AB12 stat:NEWSTAT", 4),
        (b"id: stat:DELIVRD", 4),
        (b"sub:001 stat:DELIVRD text: id:AB12", 4),
        (b"\xff\xfe", 4),
        (b"", 4),
    ],
)
async def test_t14_what_is_no_receipt_is_acknowledged_and_nothing_more(
    centre: FakeSmpp, gateway: Smpp, kept: Kept, text: bytes, esm_class: int
) -> None:
    await taken(gateway)
    assert await centre.deliver_sm(text, esm_class=esm_class) == 0
    assert kept.reports == []


@pytest.mark.parametrize("body", [b"", b"\0" * 8, b"\xff" * 300])
async def test_t14_a_malformed_deliver_sm_ends_nothing(
    centre: FakeSmpp, gateway: Smpp, kept: Kept, body: bytes
) -> None:
    await taken(gateway)
    await centre.say(smpp_wire.DELIVER, body=body)
    await until(lambda: ("answer", 0) in centre.seen)
    message_id = await taken(gateway)
    assert await centre.report(message_id, "DELIVRD") == 0
    assert len(kept.reports) == 1


async def test_more_receipts_than_can_wait_are_told_to_come_again(
    centre: FakeSmpp, gateway: Smpp, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = asyncio.Event()

    async def slow(report: Report) -> None:
        await may_go_on.wait()

    monkeypatch.setattr("bot.gateways.smpp_session._RECEIPTS", 2)
    gateway.on_report = slow
    await taken(gateway)
    tasks = [asyncio.create_task(centre.report(f"AB{n}", "DELIVRD")) for n in range(6)]
    await until(lambda: centre.seen.count(("answer", 0x14)) >= 3)
    # A message is answered meanwhile: keeping receipts does not hold up the connection.
    assert isinstance(await gateway.send(message()), Accepted)
    may_go_on.set()
    answers = await asyncio.gather(*tasks)
    assert set(answers) == {0, 0x14}


async def test_each_message_has_a_receipt_of_its_own(centre: FakeSmpp, gateway: Smpp, kept: Kept) -> None:
    ids = [await taken(gateway) for _ in range(20)]
    await asyncio.gather(*(centre.report(message_id, "DELIVRD") for message_id in ids))
    assert sorted(report.provider_id for report in kept.reports) == sorted(ids)
    assert len(set(ids)) == 20
