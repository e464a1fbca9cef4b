"""The 24 hours: reminded, deleted, told, started again (product text, section 1)."""

from __future__ import annotations

from tests.journeys.stage import Stage


async def test_an_unconfirmed_account_is_reminded_deleted_told_and_started_again(stage: Stage, language: str) -> None:
    ira, done, fresh = stage.someone(language), stage.someone(), stage.someone()
    await ira.reaches_phone()
    await done.registers()
    stage.clock.move(hours=19, minutes=59)
    await stage.app.jobs.cleanup()
    assert not ira.was_told("notice-reminder")
    await fresh.reaches_phone()
    stage.clock.move(minutes=2)
    await stage.app.jobs.cleanup()
    await ira.is_told("notice-reminder")
    assert ira.has_keyboard(), "a reminder leaves the step as it is"
    await stage.app.jobs.cleanup()
    stage.clock.move(hours=4)
    await stage.app.jobs.cleanup()
    await ira.is_told("notice-expired")
    assert not ira.has_keyboard()
    assert sum(ira.said(text, "notice-reminder") for text in ira.heard()) == 1
    await ira.says("/start")
    ira.expects("registration-email-prompt")
    await ira.says(ira.email)
    await ira.presses(ira.label("terms-consent"))
    await ira.presses(ira.label("button-register"))
    await ira.says(ira.phone)
    await ira.finishes()
    assert not done.was_told("notice-expired")
    await done.says("/start")
    done.expects("registration-done")
    await fresh.says("/start")
    fresh.expects("registration-phone-prompt")


async def test_t29_an_answer_after_the_deletion_starts_anew_without_losing_the_address(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_code()
    code = await ira.code()
    stage.clock.move(hours=24, minutes=1)
    await stage.app.jobs.cleanup()
    await ira.says(code)
    ira.expects("registration-email-prompt")
    await ira.says(ira.email)
    ira.expects("registration-terms-prompt")
