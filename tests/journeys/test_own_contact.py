"""What counts as the own contact, and what a claim on a registered number may rest on (T5, T10, T28)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiogram.types import Message

from handlers.registration.phone import is_own
from tests.journeys.stage import Stage, on_stage

OTHER_BOT = {"id": 99, "is_bot": True, "first_name": "Inline", "username": "inline_bot"}


@pytest.mark.parametrize(
    ("contact", "extra", "own"),
    [
        ({"user_id": 7}, {}, True),
        ({"user_id": 8}, {}, False),
        ({}, {}, False),
        ({"user_id": 7}, {"via_bot": OTHER_BOT}, False),
        ({"user_id": 7}, {"forward_origin": {"type": "hidden_user", "date": 0, "sender_user_name": "Ira"}}, False),
    ],
)
def test_t10_own_is_the_same_id_sent_by_the_person_themselves(
    contact: dict[str, Any], extra: dict[str, Any], own: bool
) -> None:
    message = Message.model_validate(
        {
            "message_id": 1,
            "date": 0,
            "chat": {"id": 7, "type": "private"},
            "from": {"id": 7, "is_bot": False, "first_name": "Ira"},
            "contact": {"phone_number": "79161234567", "first_name": "Ira", **contact},
            **extra,
        }
    )
    assert message.contact is not None
    assert is_own(message, message.contact) is own


async def test_t10_a_contact_shared_in_a_group_confirms_nothing(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with on_stage(database_url, redis_url, tmp_path, code_for_own_contact="never") as stage:
        ira = stage.someone()
        await ira.reaches_phone()
        group = stage.api.group(-1001, "Клиенты")
        contact = {"phone_number": ira.phone, "first_name": "Ира", "user_id": ira.id}
        ira.person._say(group.chat, content={"contact": contact})
        await ira.person.settled()
        assert group.answers == []
        account = await stage.app.stores.accounts.of(ira.id)
        assert account is not None
        assert account.phone is None
        await ira.taps(ira.label("button-share-contact"))
        ira.expects("registration-done")


@pytest.mark.parametrize("needs_code", ["always", "never"])
async def test_t11_an_own_contact_with_an_anonymous_number_proves_nothing(
    database_url: str, redis_url: str, tmp_path: Path, needs_code: str
) -> None:
    async with on_stage(database_url, redis_url, tmp_path, code_for_own_contact=needs_code) as stage:
        ira = stage.someone(phone="+88801234567")
        await ira.reaches_phone()
        await ira.taps(ira.label("button-share-contact"))
        ira.expects("registration-phone-anonymous")
        assert stage.smsc.requests == 0
        await ira.says("+79165550005")
        await ira.says(await ira.code("+79165550005"))
        ira.expects("registration-done")


async def test_t16_this_is_my_number_of_an_earlier_answer_starts_nothing(stage: Stage) -> None:
    ira, oleg = stage.someone(), stage.someone()
    await ira.registers()
    await oleg.reaches_phone()
    await oleg.says(ira.phone)
    await oleg.says(oleg.phone)
    oleg.expects("registration-code-prompt")
    await oleg.presses(oleg.label("button-my-number"))
    oleg.expects("registration-code-prompt")
    assert len(stage.smsc.inbox(ira.phone)) == 1
    await oleg.finishes()


async def test_t05_a_claim_by_the_own_contact_needs_no_sms_when_none_may_leave(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with on_stage(database_url, redis_url, tmp_path, sends_per_number="1/365d") as stage:
        ira, oleg = stage.someone(), stage.someone(phone="+79165550002")
        ira.phone = oleg.phone
        await ira.registers()
        stage.clock.move(days=91)
        await oleg.reaches_phone()
        await oleg.taps(oleg.label("button-share-contact"))
        oleg.expects("registration-phone-taken")
        await oleg.presses(oleg.label("button-my-number"))
        oleg.expects("registration-done")
        assert len(stage.smsc.messages) == 1
        await ira.is_told("notice-number-moved")


async def test_t28_a_typed_number_is_never_claimed_by_the_contact_shared_before_it(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with on_stage(database_url, redis_url, tmp_path, code_for_own_contact="never") as stage:
        ira, petr, oleg = stage.someone(), stage.someone(), stage.someone(phone="+79165550003")
        ira.phone = oleg.phone
        await ira.registers()
        await petr.registers()
        stage.clock.move(days=91)
        await oleg.reaches_phone()
        await oleg.taps(oleg.label("button-share-contact"))
        oleg.expects("registration-phone-taken")
        await oleg.says(petr.phone)
        oleg.expects("registration-phone-taken")
        await oleg.presses(oleg.label("button-my-number"))
        oleg.expects("registration-code-prompt")
        await petr.says("/start")
        petr.expects("registration-done")
        await oleg.says(await oleg.code(petr.phone, count=2))
        oleg.expects("registration-done")


async def test_a_claim_that_failed_is_not_offered_again(database_url: str, redis_url: str, tmp_path: Path) -> None:
    async with on_stage(database_url, redis_url, tmp_path, code_for_own_contact="never") as stage:
        ira, oleg = stage.someone(), stage.someone(phone="+79165550004")
        ira.phone = oleg.phone
        await ira.registers()
        await oleg.reaches_phone()
        await oleg.taps(oleg.label("button-share-contact"))
        oleg.expects("registration-phone-taken")
        await oleg.presses(oleg.label("button-my-number"))
        assert oleg.was_told("registration-phone-taken")
        assert [oleg.label("button-my-number") in message.labels for message in oleg.person.chat].count(True) == 1
        other = "+79035550004"
        await oleg.says(other)
        await oleg.says(await oleg.code(other))
        oleg.expects("registration-done")


async def test_t16_a_contact_at_a_step_that_asks_for_none_gets_the_prompt(stage: Stage) -> None:
    ira, other = stage.someone(), stage.someone()
    await ira.says("/start")
    await ira.shares_contact()
    ira.expects("registration-email-prompt")
    await ira.says(ira.email)
    await ira.shares_contact()
    ira.expects("registration-terms-prompt")
    assert not ira.was_told("registration-outdated")
    await other.registers()
    await other.shares_contact(of={"phone_number": "79035550007", "first_name": "Олег", "user_id": other.id})
    other.expects("registration-done")
    assert not other.was_told("registration-phone-proven")
    assert len(stage.smsc.messages) == 1
