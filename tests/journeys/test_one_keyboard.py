"""The phone step's reply keyboard: there through the whole step, the picker included, and nowhere else."""

from __future__ import annotations

import pytest

from tests.journeys.stage import Stage


async def test_the_keyboard_stays_through_the_picker_and_its_contact_button_works(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    await ira.taps(ira.label("button-country"))
    assert ira.has_keyboard()
    assert ira.person.chat[-1].buttons, "the picker is an inline message"
    await ira.says("Беларусь")
    ira.expects("registration-country-chosen")
    assert ira.has_keyboard()
    assert not ira.was_told("registration-next")
    await ira.taps(ira.label("button-share-contact"))
    ira.expects("registration-code-prompt")
    assert not ira.has_keyboard()


@pytest.mark.parametrize("command", ["/back", "/cancel", "/delete"])
async def test_every_way_out_of_the_picker_takes_the_keyboard_away(stage: Stage, command: str) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    await ira.taps(ira.label("button-country"))
    await ira.says(command)
    if command == "/back":
        ira.expects("registration-phone-prompt")
        assert ira.has_keyboard()
        await ira.taps(ira.label("button-back"))
        ira.expects("registration-terms-prompt")
    if command == "/delete":
        await ira.presses(ira.label("button-delete"))
        ira.expects("menu-deleted")
    assert not ira.has_keyboard()


async def test_the_keyboard_is_taken_away_once(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    await ira.says("/back")
    ira.expects("registration-terms-prompt")
    assert ira.was_told("registration-next")
    count = len(ira.heard())
    await ira.says("/start")
    await ira.says(ira.phone)
    ira.expects("registration-code-prompt")
    await ira.says("/help")
    await ira.says("/support")
    assert sum(ira.said(text, "registration-next") for text in ira.heard()[count:]) == 0
    await ira.finishes()
