"""Codes that do not come: what the person is told, and the way on that is always there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from storage.models import Channel, SendState
from storage.tables import sends
from tests.fakes.smsc import Fault
from tests.fakes.telegram_gateway import FakeTelegramGateway
from tests.fakes.vendor import RawReport
from tests.journeys.stage import NOON, Registrant, Stage, on_stage
from tests.ports import free_port
from tests.sql import connected
from tests.waiting import until

SUPPORT = 4242
DELIVERED, IMPOSSIBLE = 1, 20
REVIEWED, KNOWN_CODE = "+79990000001", "123456"


@dataclass
class Place:
    """Where a bot is started: the same one again with other settings, if need be."""

    database_url: str
    redis_url: str
    folder: Path

    @asynccontextmanager
    async def stage(self, **settings: Any) -> AsyncIterator[Stage]:
        async with on_stage(self.database_url, self.redis_url, self.folder, **settings) as stage:
            yield stage


@pytest.fixture
def place(database_url: str, redis_url: str, tmp_path: Path) -> Place:
    return Place(database_url, redis_url, tmp_path)


@pytest.fixture
async def reporting(place: Place) -> AsyncIterator[Stage]:
    """A bot whose SMSC reports deliveries."""
    async with place.stage(smsc_report_secret="report-secret") as stage:
        yield stage


def report(stage: Stage, person: Registrant, status: int, place: str = "") -> RawReport:
    """What SMSC says of the newest message to this person."""
    newest = [sms for sms in stage.smsc.messages if sms.number == person.phone][-1]
    return stage.smsc.report(place or f"http://127.0.0.1:{stage.app.port}/reports/smsc", newest, status)


async def settled(stage: Stage, state: SendState) -> None:
    """Wait until the newest code is written down so."""

    async def holds() -> bool:
        async with connected(stage.app.stores.database) as connection:
            rows = (await connection.execute(select(sends.c.at, sends.c.state))).all()
        return bool(max(rows).state == state)

    await until(holds)


async def arrives(person: Registrant, text: str, label: str) -> None:
    """Wait until the bot says this by itself, with that button under it."""
    await person.is_told(text)
    newest = next(message for message in reversed(person.person.answers) if person.said(message.text, text))
    assert person.label(label) in newest.labels


async def test_f09_while_sending_is_paused_the_own_contact_goes_on(place: Place, language: str) -> None:
    async with place.stage(sms_paused=True) as stage:
        ira = stage.someone(language)
        await ira.reaches_phone()
        await ira.says(ira.phone)
        ira.expects("registration-phone-paused")
        await ira.taps(ira.label("button-share-contact"))
        ira.expects("registration-done")
        assert stage.smsc.requests == 0


async def test_f09_paused_while_a_person_waits_for_the_code(place: Place, language: str) -> None:
    async with place.stage() as stage:
        ira = stage.someone(language)
        await ira.reaches_code()
        await ira.code()
    async with place.stage(sms_paused=True) as stage:
        ira = stage.again(ira)
        stage.clock.move(minutes=2)
        await ira.says("/start")
        await ira.says(ira.label("button-code-missing"))
        ira.expects("code-help")
        ira.expects("registration-code-paused")
        assert not ira.said(ira.last(), "code-help-resend-now")
        await ira.says(ira.label("button-resend"))
        ira.expects("registration-code-paused")
        await ira.presses(ira.label("button-change-number"))
        await ira.taps(ira.label("button-share-contact"))
        ira.expects("registration-done")
        assert stage.smsc.requests == 0


async def test_f09_what_was_queued_before_the_pause_does_not_leave_in_it(place: Place) -> None:
    async with place.stage() as stage:
        stage.smsc.always = Fault(status=503)
        ira = stage.someone()
        await ira.reaches_code()
        await until(lambda: stage.smsc.requests > 0)
        await settled(stage, SendState.QUEUED)
    async with place.stage(sms_paused=True) as stage:
        stage.clock.move(minutes=1)
        oleg = stage.someone()
        await oleg.reaches_phone()
        await oleg.taps(oleg.label("button-share-contact"))
        oleg.expects("registration-done")
        assert stage.smsc.requests == 0
    async with place.stage() as stage:
        ira = stage.again(ira)
        stage.clock.move(minutes=2)
        stage.app.courier.wake()
        code = await ira.code()
        await ira.says(code)
        ira.expects("registration-done")


async def test_a_code_that_did_not_arrive_is_told_at_once_and_the_button_sends_anew(
    reporting: Stage, language: str
) -> None:
    ira = reporting.someone(language)
    await ira.reaches_code()
    await ira.code()
    assert await report(reporting, ira, IMPOSSIBLE).send() == (200, "OK")
    await arrives(ira, "notice-code-undelivered", "button-resend")
    # No minute of waiting: nothing is on its way that one could wait for.
    await ira.presses(ira.label("button-resend"))
    assert ira.was_told("registration-code-resent")
    await ira.finishes(count=2)


async def test_a_code_that_no_gateway_took_comes_by_a_call(place: Place, language: str) -> None:
    async with place.stage(outbox_tries=1) as stage:
        ira = stage.someone(language)
        stage.smsc.faults.append(Fault(status=503))
        await ira.reaches_code()
        await arrives(ira, "notice-code-failed", "button-by-voice")
        await ira.presses(ira.label("button-by-voice"))
        assert ira.was_told("registration-code-by-voice")
        code = await ira.code()
        assert stage.smsc.messages[-1].channel is Channel.VOICE
        await ira.says(code)
        ira.expects("registration-done")


async def test_a_code_that_did_not_arrive_by_sms_comes_by_a_call(reporting: Stage, language: str) -> None:
    ira = reporting.someone(language)
    await ira.reaches_code()
    await ira.code()
    await report(reporting, ira, IMPOSSIBLE).send()
    await arrives(ira, "notice-code-undelivered", "button-by-voice")
    await ira.presses(ira.label("button-by-voice"))
    assert ira.was_told("registration-code-by-voice")
    code = await ira.code(count=2)
    assert reporting.smsc.messages[-1].channel is Channel.VOICE
    await ira.says(code)
    ira.expects("registration-done")


async def test_t14_a_forged_or_repeated_report_tells_nobody_anything_twice(reporting: Stage) -> None:
    ira = reporting.someone()
    await ira.reaches_code()
    await ira.code()
    await settled(reporting, SendState.ACCEPTED)
    reporting.smsc.secret = "a stranger's guess"
    assert (await report(reporting, ira, IMPOSSIBLE).send())[0] == 403
    reporting.smsc.secret = "report-secret"
    elsewhere = f"http://127.0.0.1:{reporting.app.port}/reports/pigeon"
    assert (await report(reporting, ira, IMPOSSIBLE, elsewhere).send())[0] == 404
    await ira.presses(ira.label("button-code-missing"))
    ira.expects("code-help-accepted")
    genuine = report(reporting, ira, IMPOSSIBLE)
    for _ in range(3):
        assert await genuine.send() == (200, "OK")
    await ira.is_told("notice-code-undelivered")
    assert (await report(reporting, ira, DELIVERED).send())[0] == 200
    assert (await genuine.send())[0] == 200
    await ira.presses(ira.label("button-code-missing"))
    ira.expects("code-help-delivered")
    assert sum(ira.said(text, "notice-code-undelivered") for text in ira.heard()) == 1
    await ira.finishes()


async def test_f12_a_report_about_a_deleted_account_is_taken_in_silence(reporting: Stage) -> None:
    ira = reporting.someone()
    await ira.reaches_code()
    await ira.code()
    await ira.says("/delete")
    await ira.presses(ira.label("button-delete"))
    heard = ira.heard()
    assert await report(reporting, ira, IMPOSSIBLE).send() == (200, "OK")
    await ira.reaches_code()
    assert not any(ira.said(text, "notice-code-undelivered") for text in ira.heard()[len(heard) :])
    await ira.finishes(count=2)


async def test_the_help_tells_what_came_by_which_channel(reporting: Stage, language: str) -> None:
    ira = reporting.someone(language)
    await ira.reaches_code()
    await ira.code()
    await report(reporting, ira, DELIVERED).send()
    # It may have come before the answer to the call was written down.
    await settled(reporting, SendState.DELIVERED)
    reporting.clock.move(minutes=1, seconds=1)
    await ira.says(ira.label("button-code-missing"))
    ira.expects("code-help-delivered", how=ira.label("code-how-sms"))
    await ira.presses(ira.label("button-by-voice"))
    await ira.code(count=2)
    await ira.says(ira.label("button-code-missing"))
    ira.expects("code-help-delivered", how=ira.label("code-how-sms"))
    assert any(
        ira.said(ira.last(), key, how=ira.label("code-how-voice")) for key in ("code-help-accepted", "code-help-queued")
    )
    # One call an hour: it is not offered again.
    newest = [message for message in ira.person.answers if ira.said(message.text, "code-help")][-1]
    assert ira.label("button-by-voice") not in newest.labels
    reporting.clock.move(minutes=2, seconds=1)
    await ira.says(ira.label("button-by-voice"))
    ira.expects("registration-code-no-more")
    await ira.finishes(count=2)


async def test_f16_a_first_sms_that_comes_after_the_resend_still_lets_in(place: Place, language: str) -> None:
    async with place.stage() as stage:
        ira = stage.someone(language)
        await ira.reaches_phone()
        # The carrier takes it, the answer is lost, and the person sees nothing of it for a while.
        stage.smsc.faults.append(Fault(drop=True, takes=True))
        await ira.says(ira.phone)
        late = await ira.code()
        await arrives(ira, "notice-code-unknown", "button-resend")
        stage.clock.move(minutes=1, seconds=1)
        await ira.presses(ira.label("button-resend"))
        assert await ira.code(count=2) != late
        await ira.says(late)
        ira.expects("registration-done")
        assert len(stage.smsc.messages) == 2


async def test_a_reviewers_number_registers_and_nothing_leaves(place: Place, language: str) -> None:
    tomorrow = NOON.date() + timedelta(days=1)
    reviewers = {"test_numbers": f"{REVIEWED}={KNOWN_CODE}", "test_numbers_until": tomorrow}
    async with place.stage(**reviewers) as stage:
        reviewer, ira = stage.someone(language), stage.someone(language)
        await reviewer.reaches_phone()
        await reviewer.says(REVIEWED)
        reviewer.expects("registration-code-prompt")
        await reviewer.says("654321")
        reviewer.expects("registration-code-wrong", 4)
        await reviewer.says(KNOWN_CODE)
        reviewer.expects("registration-done")
        assert stage.smsc.requests == 0
        # Nobody else comes in by that code.
        await ira.reaches_code()
        if await ira.code() != KNOWN_CODE:
            await ira.says(KNOWN_CODE)
            ira.expects("registration-code-wrong", 4)
        await ira.finishes()


async def test_a_reviewers_number_gets_an_sms_like_everybody_after_the_last_day(place: Place) -> None:
    reviewers = {"test_numbers": f"{REVIEWED}={KNOWN_CODE}", "test_numbers_until": NOON.date()}
    async with place.stage(**reviewers) as stage:
        stage.clock.move(days=2)
        ira = stage.someone()
        await ira.reaches_phone()
        await ira.says(REVIEWED)
        code = await ira.code(REVIEWED)
        await ira.says(KNOWN_CODE if code != KNOWN_CODE else "000000")
        ira.expects("registration-code-wrong", 4)
        await ira.says(code)
        ira.expects("registration-done")


async def test_t03_with_the_budget_used_up_the_own_contact_registers(place: Place, language: str) -> None:
    async with place.stage(daily_budget=500, support_chat_id=SUPPORT) as stage:
        support = Registrant(stage, stage.api.person(SUPPORT, language_code="ru"), "ru")
        await support.says("/start")
        first, ira = stage.someone(language), stage.someone(language)
        await first.registers()
        await support.is_told("alert-budget", percent=80)
        await ira.reaches_phone()
        await ira.says(ira.phone)
        ira.expects("registration-phone-limit")
        await support.is_told("alert-budget-spent")
        await ira.taps(ira.label("button-share-contact"))
        ira.expects("registration-done")
        assert [sms.number for sms in stage.smsc.messages] == [first.phone]
        # A day later there is money again.
        stage.clock.move(days=1)
        oleg = stage.someone(language)
        await oleg.registers()


@dataclass
class WithTelegram:
    """A bot that asks the verification gateway of Telegram first, then SMSC."""

    stage: Stage
    vendor: FakeTelegramGateway

    async def reported(self, status: str) -> int:
        newest = str(self.vendor.messages[-1].id)
        at = self.stage.clock.now().timestamp()
        return (await self.vendor.report(newest, status, at=at).send())[0]


@pytest.fixture
async def both(place: Place) -> AsyncIterator[WithTelegram]:
    vendor = FakeTelegramGateway()
    await vendor.start()
    port = free_port()
    settings = {
        "sms_gateways": "telegram,smsc", "telegram_gateway_base_url": vendor.base_url,
        "telegram_gateway_token": vendor.token, "public_url": f"http://127.0.0.1:{port}", "http_port": port,
    }  # fmt: skip
    async with place.stage(**settings) as stage:
        yield WithTelegram(stage, vendor)
    await vendor.stop()


async def test_a_verification_message_registers_without_any_sms(both: WithTelegram, language: str) -> None:
    ira = both.stage.someone(language)
    await ira.reaches_code()
    await both.vendor.wait_for(ira.phone)
    assert await both.reported("delivered") == 200
    await settled(both.stage, SendState.DELIVERED)
    both.stage.clock.move(minutes=1, seconds=1)
    both.stage.app.courier.wake()
    await ira.says(ira.label("button-code-missing"))
    ira.expects("code-help-delivered", how=ira.label("code-how-telegram"))
    await ira.says(both.vendor.code_for(ira.phone))
    ira.expects("registration-done")
    assert both.stage.smsc.requests == 0


@pytest.mark.parametrize("why", ["no report in time", "expired"])
async def test_a_verification_message_that_does_not_come_is_followed_by_an_sms(both: WithTelegram, why: str) -> None:
    ira = both.stage.someone()
    await ira.reaches_code()
    await both.vendor.wait_for(ira.phone)
    await settled(both.stage, SendState.ACCEPTED)
    assert both.stage.smsc.requests == 0
    if why == "expired":
        assert await both.reported("expired") == 200
    else:
        both.stage.clock.move(minutes=1, seconds=1)
        both.stage.app.courier.wake()
    await ira.finishes()
    assert (len(both.vendor.messages), len(both.stage.smsc.messages)) == (1, 1)


async def test_a_number_that_is_not_on_telegram_gets_its_sms_at_once(both: WithTelegram) -> None:
    ira, oleg = both.stage.someone(), both.stage.someone()
    both.vendor.strangers.add(ira.phone)
    await ira.registers()
    # The next person is asked for there all the same.
    await oleg.reaches_code()
    await both.vendor.wait_for(oleg.phone)
    await oleg.says(both.vendor.code_for(oleg.phone))
    oleg.expects("registration-done")
    assert len(both.stage.smsc.messages) == 1
