"""A number means an option only where the newest message numbers its options."""

from __future__ import annotations

from tests.journeys.stage import Stage


async def test_a_number_after_a_numbered_question_is_no_option_of_the_next_one(stage: Stage) -> None:
    ira = stage.someone()
    await ira.says("/start")
    await ira.says("ira@gmial.com")
    await ira.says("1")
    ira.expects("registration-terms-prompt")
    await ira.says("1")
    ira.expects("terms-sentence")
    await ira.presses(ira.label("terms-consent"))
    await ira.presses(ira.label("button-register"))
    await ira.says(ira.phone)
    ira.expects("registration-code-prompt")
    await ira.says("2")
    ira.expects("registration-code-none")
    await ira.finishes()
