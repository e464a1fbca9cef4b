"""Nobody is left in a blind alley: what a person would try next is understood, and side pages lead back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.stage import Stage, on_stage


async def test_a_no_to_changing_the_number_asks_for_the_code_again(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_code()
    await ira.says("+7 916 123-45-67")
    ira.expects("registration-code-is-a-number")
    await ira.says("нет" if language == "ru" else "no")
    ira.expects("registration-code-prompt")
    await ira.finishes()


@pytest.mark.parametrize("typed", ["Казахстан", "kazakhstan", "🇰🇿"])
async def test_a_country_named_at_the_phone_step_is_chosen(stage: Stage, typed: str) -> None:
    ira = stage.someone(phone="+77011234567")
    await ira.reaches_phone()
    await ira.says(typed)
    ira.expects("registration-country-chosen", flag="🇰🇿")
    assert ira.has_keyboard()
    await ira.says("8 701 123 45 67")
    ira.expects("registration-code-prompt")
    await ira.finishes()


async def test_a_no_at_the_phone_step_is_no_country(database_url: str, redis_url: str, tmp_path: Path) -> None:
    async with on_stage(database_url, redis_url, tmp_path, countries="RU,NO") as stage:
        ira = stage.someone()
        await ira.reaches_phone()
        await ira.says("no")
        ira.expects("registration-phone-invalid")
        await ira.says("норвегия")
        ira.expects("registration-country-chosen", flag="🇳🇴")


async def test_a_country_chosen_after_cancel_brings_the_keyboard_back(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    await ira.taps(ira.label("button-country"))
    await ira.says("/cancel")
    assert not ira.has_keyboard()
    await ira.says("Казахстан")
    assert ira.was_told("registration-country-chosen", flag="🇰🇿")
    assert ira.has_keyboard()
    await ira.person.sticker()
    await ira.person.settled()
    ira.expects("registration-phone-prompt")


async def test_after_everything_was_deleted_a_word_is_greeted_not_scolded(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_phone()
    await ira.says("/delete")
    await ira.presses(ira.label("button-delete"))
    ira.expects("menu-deleted")
    await ira.says("?")
    ira.expects("start-greeting")
    ira.expects("registration-email-prompt")
    await ira.says("?")
    ira.expects("registration-email-no-at")


async def test_back_is_understood_at_the_code_step_too(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_code()
    await ira.says("назад" if language == "ru" else "back")
    ira.expects("registration-phone-prompt")
    await ira.taps(ira.label("button-continue"))
    await ira.finishes()


@pytest.mark.parametrize("command", ["/help", "/privacy", "/settings"])
async def test_side_pages_lead_back_to_the_step_and_to_none_once_it_is_done(stage: Stage, command: str) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    await ira.says(command)
    await ira.presses(ira.label("button-continue"))
    ira.expects("registration-phone-prompt")
    await ira.says(ira.phone)
    await ira.finishes()
    await ira.says(command)
    assert ira.label("button-continue") not in ira.person.chat[-1].labels
