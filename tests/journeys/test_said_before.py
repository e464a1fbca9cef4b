"""What was on the screen before stays understood, and what was asked before is not answered by accident."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.stage import Stage, on_stage


@pytest.mark.parametrize("between", ["12345", "нечто"])
async def test_a_yes_after_something_else_was_said_erases_nothing(stage: Stage, between: str) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    await ira.says("/delete")
    await ira.says(between)
    ira.expects("registration-phone-invalid")
    await ira.says("да")
    assert not ira.was_told("menu-deleted")
    await ira.says(ira.phone)
    await ira.finishes()


@pytest.mark.parametrize("answer", ["нет.", "Не удалять!", "no."])
async def test_a_full_stop_does_not_change_an_answer(stage: Stage, answer: str) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    await ira.says("/delete")
    await ira.says(answer)
    ira.expects("registration-phone-prompt")


async def test_the_steps_buttons_are_understood_whatever_was_said_since(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_terms()
    await ira.presses(ira.label("terms-consent"))
    await ira.says("/privacy")
    await ira.says(ira.label("button-register") + ".")
    ira.expects("registration-phone-prompt")
    await ira.says(ira.phone)
    await ira.says("/support")
    await ira.says(ira.label("button-code-missing"))
    ira.expects("code-help")
    await ira.says("/help")
    await ira.says(ira.label("button-resend"))
    assert any(ira.said(ira.last(), "code-help-resend-in", n) for n in range(50, 61))
    await ira.says(ira.label("button-change-number"))
    ira.expects("registration-phone-prompt")


async def test_a_new_code_after_five_wrong_ones_says_that_the_old_are_dead(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_code()
    code = await ira.code()
    for _ in range(5):
        await ira.says(f"{(int(code) + 1) % 1_000_000:06d}")
    await ira.presses(ira.label("button-resend"))
    assert ira.was_told("registration-code-anew")
    assert not ira.was_told("registration-code-resent")
    await ira.finishes(count=2)


async def test_the_tenth_wrong_code_says_until_when_to_wait(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_code()
    for count in (1, 2):
        code = await ira.code(count=count)
        for _ in range(5):
            await ira.says(f"{(int(code) + 1) % 1_000_000:06d}")
        if count == 1:
            ira.expects("registration-code-wrong-last")
            await ira.presses(ira.label("button-resend"))
    ira.expects("registration-code-limit")
    await ira.presses(ira.label("button-change-number"))
    await ira.taps(ira.label("button-share-contact"))
    ira.expects("registration-done")


async def test_no_after_cancel_leaves_it_at_that(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_code()
    await ira.says("/cancel")
    await ira.says("нет")
    ira.expects("menu-paused")
    await ira.says("удалить сейчас")
    ira.expects("menu-delete")
    await ira.says("нет")
    ira.expects("registration-code-prompt")


async def test_a_mistake_after_cancel_brings_the_phone_steps_keyboard_back(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    await ira.says("/cancel")
    await ira.says("+7916")
    assert ira.was_told("registration-phone-invalid")
    assert ira.has_keyboard()


async def test_an_old_back_button_throws_nobody_back(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_terms()
    terms = ira.person.chat[-1]
    await ira.presses(ira.label("terms-consent"))
    await ira.presses(ira.label("button-register"))
    await ira.says(ira.phone)
    await ira.person.press_data("back", terms)
    await ira.person.settled()
    ira.expects("registration-code-prompt")
    await ira.finishes()


async def test_new_terms_are_asked_before_an_sms_leaves(database_url: str, redis_url: str, tmp_path: Path) -> None:
    async with on_stage(database_url, redis_url, tmp_path) as stage:
        ira = stage.someone()
        await ira.reaches_phone()
    async with on_stage(database_url, redis_url, tmp_path, terms_version="2") as stage:
        ira = stage.again(ira)
        await ira.says(ira.phone)
        ira.expects("registration-terms-changed")
        assert stage.smsc.requests == 0
        await ira.presses(ira.label("terms-consent"))
        await ira.presses(ira.label("button-register"))
        await ira.says(ira.phone)
        await ira.finishes()


async def test_an_edit_nobody_can_place_any_more_gets_the_prompt(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    typed = await ira.person.send("+7916")
    await ira.person.settled()
    await stage.app.stores.redis.flushall()
    await ira.person.edit(typed, ira.phone)
    await ira.person.settled()
    ira.expects("registration-phone-prompt")


async def test_the_other_keyboard_layout_in_a_domain_is_named(stage: Stage) -> None:
    ira = stage.someone()
    await ira.says("/start")
    await ira.says("ira@mail.r\u0443")
    ira.expects("registration-email-meant", suggested="ira@mail.ru")
    await ira.says("да")
    ira.expects("registration-terms-prompt")


async def test_a_label_of_another_page_of_countries_is_understood(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    await ira.taps(ira.label("button-country"))
    await ira.says("🇲🇩 Молдова +373")
    ira.expects("registration-country-chosen", flag="🇲🇩")


async def test_commands_are_understood_in_capitals(stage: Stage) -> None:
    ira = stage.someone()
    await ira.says("/START")
    ira.expects("start-greeting")
    await ira.says("/Help")
    ira.expects("menu-help")
