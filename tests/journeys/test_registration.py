"""The main journey, as people would tell it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.stage import Stage, on_stage


async def test_i_typed_the_number_with_an_eight_and_pasted_the_whole_sms(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.says("/start")
    ira.expects("start-greeting", product="Smarty CRM")
    ira.expects("registration-email-prompt")
    await ira.says("  mailto:Ira@Example.ORG ")
    ira.expects("registration-terms-prompt")
    await ira.presses(ira.label("terms-consent"))
    await ira.presses(ira.label("button-register"))
    ira.expects("registration-phone-prompt")
    await ira.says(f"8 ({ira.phone[2:5]}) {ira.phone[5:8]}-{ira.phone[8:]}")
    assert ira.was_told("registration-phone-accepted")
    ira.expects("registration-code-prompt")
    assert ira.phone[-2:] in ira.last(), "the answer repeats the number in full"
    (sms,) = await stage.smsc.wait_for(ira.phone)
    await ira.says(sms)
    ira.expects("registration-done")
    button = ira.person.chat[-1].buttons[0]
    assert button.text == ira.label("button-start-work")
    assert str(button.url).startswith(f"{stage.settings.start_url}?token=")
    assert not ira.has_keyboard()
    assert len(stage.smsc.messages) == 1


async def test_i_shared_my_contact_and_typed_the_code(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_phone()
    await ira.taps(ira.label("button-share-contact"))
    ira.expects("registration-code-prompt")
    assert not ira.has_keyboard()
    await ira.finishes()
    assert len(stage.smsc.messages) == 1


async def test_own_contact_is_enough_where_the_operator_says_so(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with on_stage(database_url, redis_url, tmp_path, code_for_own_contact="never") as stage:
        ira = stage.someone()
        await ira.reaches_phone()
        await ira.taps(ira.label("button-share-contact"))
        ira.expects("registration-done")
        assert not ira.has_keyboard()
        assert stage.smsc.messages == []


async def test_terms_without_a_box(database_url: str, redis_url: str, tmp_path: Path, language: str) -> None:
    async with on_stage(database_url, redis_url, tmp_path, terms_style="button") as stage:
        ira = stage.someone(language)
        await ira.reaches_terms()
        ira.expects("terms-sentence-button")
        assert ira.label("terms-consent") not in ira.person.chat[-1].labels
        await ira.presses(ira.label("button-register"))
        ira.expects("registration-phone-prompt")
        await ira.says(ira.phone)
        await ira.finishes()


async def test_start_goes_on_where_the_person_stopped(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_terms()
    await ira.says("/start")
    ira.expects("registration-terms-prompt")
    await ira.presses(ira.label("terms-consent"))
    await ira.presses(ira.label("button-register"))
    await ira.says("/start r_ABCDEFGH")
    ira.expects("registration-phone-prompt")
    await ira.says(ira.phone)
    await ira.says("/start")
    ira.expects("registration-code-prompt")
    await ira.finishes()


async def test_a_confirmed_person_gets_the_final_message_again(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.registers()
    for text in ("/start", "/start go", "hello", "/back", "/cancel"):
        before = len(ira.heard())
        await ira.says(text)
        ira.expects("registration-done")
        assert len(ira.heard()) == before + 1
    await ira.person.sticker()
    await ira.person.settled()
    ira.expects("registration-done")


async def test_f17_the_same_code_again_says_done(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_code()
    code = await ira.code()
    await ira.says(code)
    await ira.says(code)
    ira.expects("registration-done")


@pytest.mark.parametrize("payload", ["a" * 64, "' OR 1=1 --", "<b>x</b>", "r_%00", "o_unknown", "go", "p_SALE"])
async def test_t22_a_strange_payload_is_ignored_and_the_person_goes_on(stage: Stage, payload: str) -> None:
    ira = stage.someone()
    await ira.says(f"/start {payload}")
    ira.expects("registration-email-prompt")
    assert payload not in ira.last() or payload == "go"
    await ira.says(ira.email)
    ira.expects("registration-terms-prompt")
