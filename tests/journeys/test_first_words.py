"""What somebody says before the bot has asked anything: greeted, never scolded; an address counts at once."""

from __future__ import annotations

import pytest

from tests.journeys.stage import Stage


@pytest.mark.parametrize("words", ["привет", "hello", "/nonsense", "8 916 123 45 67", "sticker"])
async def test_whatever_comes_first_is_greeted_with_the_first_question(stage: Stage, words: str) -> None:
    ira = stage.someone()
    if words == "sticker":
        await ira.person.sticker()
        await ira.person.settled()
    else:
        await ira.says(words)
    ira.expects("start-greeting", product="Smarty CRM")
    ira.expects("registration-email-prompt")
    assert len(ira.heard()) == 1
    await ira.says(words if words == "привет" else "hello")
    ira.expects("registration-email-no-at")


async def test_an_address_as_the_first_word_is_taken(stage: Stage) -> None:
    ira = stage.someone()
    await ira.says(ira.email)
    ira.expects("registration-terms-prompt")
