"""Who answers after /cancel has gone on: the next thing nobody expects gets the step's prompt, not the pause."""

from __future__ import annotations

from tests.journeys.stage import Stage


async def test_a_wrong_code_after_cancel_is_an_answer(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_code()
    code = await ira.code()
    await ira.says("/cancel")
    ira.expects("menu-cancel-until")
    await ira.says("000000" if code != "000000" else "000001")
    ira.expects("registration-code-wrong", 4)
    await ira.person.sticker()
    await ira.person.settled()
    ira.expects("registration-code-prompt")
    await ira.says(code)
    ira.expects("registration-done")


async def test_a_bad_address_after_cancel_is_an_answer(stage: Stage) -> None:
    ira = stage.someone()
    await ira.says("/start")
    await ira.says("/cancel")
    await ira.says("ira.example.org")
    ira.expects("registration-email-no-at")
    await ira.person.sticker()
    await ira.person.settled()
    ira.expects("registration-email-prompt")


async def test_start_after_cancel_goes_on_for_good(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    await ira.says("/cancel")
    assert not ira.has_keyboard()
    await ira.says("/start")
    ira.expects("registration-phone-prompt")
    assert ira.has_keyboard()
    await ira.person.sticker()
    await ira.person.settled()
    ira.expects("registration-phone-prompt")
    assert ira.has_keyboard()
    await ira.taps(ira.label("button-share-contact"))
    await ira.finishes()
