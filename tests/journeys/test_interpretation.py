"""What an update means: edits, presses of old buttons, groups, blocking, repeated updates (T13, T16, F30-F39)."""

from __future__ import annotations

import asyncio

import pytest

from tests.journeys.stage import Stage


async def test_f39_an_edit_of_the_latest_message_is_a_new_answer_and_an_older_one_is_ignored(stage: Stage) -> None:
    ira = stage.someone()
    await ira.person.send("/start")
    typed = await ira.person.send("ira.example.org")
    await ira.person.settled()
    ira.expects("registration-email-no-at")
    await ira.person.edit(typed, "ira@example.org")
    await ira.person.settled()
    ira.expects("registration-terms-prompt")
    newer = await ira.person.send("нет")
    await ira.person.settled()
    heard = ira.heard()
    await ira.person.edit(typed, "other@example.org")
    await ira.person.settled()
    assert ira.heard() == heard
    await ira.person.edit(newer, "да")
    await ira.person.settled()
    ira.expects("terms-sentence-ticked")


async def test_f39_a_start_mid_flow_with_another_referral_loses_nothing(stage: Stage) -> None:
    ira = stage.someone()
    await ira.says("/start r_AAAAAAAA")
    await ira.says(ira.email)
    await ira.says("/start r_BBBBBBBB")
    ira.expects("registration-terms-prompt")


async def test_f39_a_group_is_answered_once_and_only_when_addressed(stage: Stage) -> None:
    ira = stage.someone()
    group = stage.api.group(-1001, "Клиенты")
    await ira.person.send_in(group, "привет всем")
    await ira.person.send_in(group, "/start@practice_bot")
    await ira.person.settled()
    await ira.person.send_in(group, "@practice_bot, ты тут?")
    await ira.person.settled()
    answers = group.answers
    assert len(answers) == 1
    assert ("text_link", "открыть") in answers[0].marked
    await ira.registers()


async def test_f39_a_channel_post_is_nobodys(stage: Stage) -> None:
    channel = stage.api.channel(-1002, "Новости")
    await channel.post("новость")
    ira = stage.someone()
    await ira.registers()


@pytest.mark.parametrize(
    "data", ["terms:register", "terms:toggle", "code:resend", "phone:mine", "country:choose:KZ", "delete:yes", "x" * 64,
             "email:hint", "language:xx", "link:https://evil.example", "continue", ""]
)  # fmt: skip
async def test_t16_crafted_data_does_nothing_but_the_pending_prompt(stage: Stage, data: str) -> None:
    ira = stage.someone()
    await ira.says("/start")
    await ira.person.press_data(data, ira.person.chat[-1])
    await ira.person.settled()
    ira.expects("registration-email-prompt")
    assert "evil" not in ira.last()
    await ira.says(ira.email)
    ira.expects("registration-terms-prompt")


async def test_f36_pressing_a_toggle_of_a_deleted_message_shows_the_box_anew(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_terms()
    prompt = ira.person.chat[-1]
    stage.api.world.delete(prompt)
    await ira.person.press_data("terms:toggle", prompt)
    await ira.person.settled()
    ira.expects("terms-sentence-ticked")
    stage.forgive("message to edit not found")
    await ira.presses(ira.label("button-register"))
    ira.expects("registration-phone-prompt")


async def test_f36_an_edit_that_changes_nothing_is_harmless(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    await ira.taps(ira.label("button-country"))
    picker = ira.person.chat[-1]
    await ira.person.press_data("country:page:0", picker)
    await ira.person.settled()
    await ira.presses(next(label for label in picker.labels if "+7" in label))
    stage.forgive("message is not modified")
    await ira.says(ira.phone)
    await ira.finishes()


async def test_f35_blocked_mid_flow_and_back_again(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    await ira.person.block()
    await ira.person.settled()
    stage.clock.move(hours=21)
    await stage.app.jobs.cleanup()
    await ira.person.unblock()
    await ira.person.settled()
    await ira.says("/start")
    ira.expects("registration-phone-prompt")
    await ira.says(ira.phone)
    await ira.finishes()


async def test_f31_a_message_and_a_press_at_once(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_terms()
    await asyncio.gather(ira.person.press(ira.label("terms-consent")), ira.person.send("регистрация"))
    await ira.person.settled()
    ira.expects("registration-phone-prompt")


async def test_f32_ten_messages_at_once_are_answered_in_order(stage: Stage) -> None:
    ira = stage.someone()
    await ira.says("/start")
    for number in range(10):
        await ira.person.send(f"word{number}@bad_domain{number}")
    await ira.person.settled()
    named = [text for text in ira.heard() if "bad_domain" in text]
    assert [next(str(n) for n in range(10) if f"bad_domain{n}" in text) for text in named] == list("0123456789")


async def test_f38_update_ids_that_restart_lower_are_handled(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    stage.api.restart_update_ids(5)
    await ira.says(ira.phone)
    ira.expects("registration-code-prompt")
    await ira.finishes()
