"""The code step: the six digits, and what is said when they are not."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from tests.journeys.stage import Stage, on_stage

ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
PERSIAN = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
WIDE = str.maketrans("0123456789", "０１２３４５６７８９")
SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def wrong(*codes: str) -> str:
    """Return a well-formed code that is none of these."""
    return next(code for code in (f"{n:06d}" for n in range(1_000_000)) if code not in codes)


async def test_a_wrong_code_says_how_many_tries_are_left(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_code()
    code = await ira.code()
    await ira.says(wrong(code))
    ira.expects("registration-code-wrong", 4)
    await ira.says(wrong(code))
    ira.expects("registration-code-wrong", 3)
    await ira.says(code)
    ira.expects("registration-done")


async def test_t06_five_wrong_codes_end_it_and_a_new_one_goes_on(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_code()
    code = await ira.code()
    for left in (4, 3, 2, 1):
        await ira.says(wrong(code))
        ira.expects("registration-code-wrong", left)
    await ira.says(wrong(code))
    ira.expects("registration-code-wrong-last")
    await ira.says(code)
    ira.expects("registration-code-too-many")
    stage.clock.move(minutes=2)
    await ira.presses(ira.label("button-resend"))
    ira.expects("registration-code-prompt")
    await ira.finishes(count=2)


async def test_t07_a_resend_does_not_give_tries_back(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_code()
    code = await ira.code()
    for _ in range(3):
        await ira.says(wrong(code))
    stage.clock.move(minutes=1, seconds=1)
    await ira.presses(ira.label("button-code-missing"))
    await ira.presses(ira.label("button-resend"))
    second = await ira.code(count=2)
    await ira.says(wrong(code, second))
    ira.expects("registration-code-wrong", 1)
    await ira.says(second)
    ira.expects("registration-done")


async def test_t09_a_code_of_someone_else_is_wrong(stage: Stage) -> None:
    ira, oleg = stage.someone(), stage.someone()
    await ira.reaches_code()
    await oleg.reaches_code()
    code, other = await ira.code(), await oleg.code()
    if code != other:
        await oleg.says(code)
        oleg.expects("registration-code-wrong", 4)
    await oleg.says(other)
    oleg.expects("registration-done")


async def test_f15_an_expired_code_says_what_to_do(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_code()
    code = await ira.code()
    stage.clock.move(minutes=10, seconds=1)
    await ira.says(code)
    ira.expects("registration-code-expired")
    await ira.presses(ira.label("button-resend"))
    await ira.finishes(count=2)


async def test_f16_a_late_first_code_still_works_after_a_resend(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_code()
    first = await ira.code()
    stage.clock.move(minutes=1, seconds=1)
    await ira.presses(ira.label("button-code-missing"))
    await ira.presses(ira.label("button-resend"))
    assert ira.was_told("registration-code-resent")
    await ira.code(count=2)
    await ira.says(first)
    ira.expects("registration-done")


async def test_f18_a_clock_that_jumps_ten_minutes_costs_one_resend(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_code()
    code = await ira.code()
    stage.clock.move(minutes=-10)
    await ira.says(wrong(code))
    stage.clock.move(minutes=21)
    await ira.says(code)
    ira.expects("registration-code-expired")
    await ira.presses(ira.label("button-resend"))
    await ira.finishes(count=2)


@pytest.mark.parametrize("form", ["spaces", "dashes", "sentence", "arabic", "persian", "wide"])
async def test_f19_a_code_in_any_dress_is_taken(stage: Stage, form: str) -> None:
    ira = stage.someone()
    await ira.reaches_code()
    code = await ira.code()
    typed = {
        "spaces": f" {code[:3]} {code[3:]} ",
        "dashes": f"{code[:2]}-{code[2:4]}–{code[4:]}",
        "sentence": f"Вот: {code}, спасибо",
        "arabic": code.translate(ARABIC),
        "persian": code.translate(PERSIAN),
        "wide": code.translate(WIDE),
    }[form]
    await ira.says(typed)
    ira.expects("registration-done")


@pytest.mark.parametrize("form", ["superscript", "five", "two codes", "words"])
async def test_f19_what_is_no_code_costs_no_try(stage: Stage, form: str) -> None:
    ira = stage.someone()
    await ira.reaches_code()
    code = await ira.code()
    typed = {
        "superscript": code.translate(SUPERSCRIPT),
        "five": code[:5],
        "two codes": f"{code}, {wrong(code)}",
        "words": "какой код?",
    }[form]
    await ira.says(typed)
    ira.expects("registration-code-none")
    await ira.says(wrong(code))
    ira.expects("registration-code-wrong", 4)
    await ira.says(code)
    ira.expects("registration-done")


async def test_a_phone_number_at_the_code_step_offers_to_change_it(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_code()
    await ira.says("+7 903 123-45-67")
    ira.expects("registration-code-is-a-number")
    await ira.says("да" if language == "ru" else "yes")
    ira.expects("registration-phone-prompt")


async def test_option_numbers_mean_nothing_at_the_code_step(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_code()
    await ira.says("1")
    ira.expects("registration-code-none")


async def test_the_help_tells_what_happened_and_is_edited_once_resending_opens(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_code()
    await ira.code()
    await ira.presses(ira.label("button-code-missing"))
    ira.expects("code-help")
    assert ira.said(ira.last(), "code-help-accepted") or ira.said(ira.last(), "code-help-queued")
    await ira.presses(ira.label("button-resend"))
    assert any("60" in toast.text or "59" in toast.text or "58" in toast.text for toast in ira.person.toasts)
    stage.clock.move(minutes=1, seconds=1)
    stage.app.courier.wake()
    await ira.is_told("code-help-resend-now")
    # Less than a lease: what was edited a moment ago may not be written down yet.
    stage.clock.move(seconds=40)
    stage.app.courier.wake()
    await ira.presses(ira.label("button-resend"))
    await ira.finishes(count=2)
    edits = [str(call.parameters["text"]) for call in stage.api.calls if call.method == "editMessageText"]
    assert [ira.said(re.sub("<[^>]+>", "", text), "code-help") for text in edits].count(True) == 1


async def test_too_early_a_resend_typed_is_answered_in_a_message(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_code()
    await ira.code()
    await ira.says(ira.label("button-code-missing"))
    await ira.says(ira.label("button-resend"))
    assert any(ira.said(ira.last(), "code-help-resend-in", n) for n in range(50, 61))


async def test_three_sms_and_no_more(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_code()
    for count, minutes in ((2, 1.1), (3, 2.1)):
        stage.clock.move(minutes=minutes)
        await ira.says(ira.label("button-code-missing"))
        await ira.says(ira.label("button-resend"))
        await ira.code(count=count)
    stage.clock.move(minutes=5.1)
    await ira.says(ira.label("button-code-missing"))
    await ira.says(ira.label("button-resend"))
    ira.expects("registration-code-no-more")
    assert len(stage.smsc.inbox(ira.phone)) == 3
    await ira.presses(ira.label("button-change-number"))
    await ira.taps(ira.label("button-share-contact"))
    ira.expects("registration-done")


async def test_t06_a_hundred_wrong_codes_at_once_make_five_tries(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    # The guard against floods would stop the most of them before they are compared at all.
    async with on_stage(database_url, redis_url, tmp_path, updates_per_person="1000/10s") as stage:
        ira = stage.someone()
        await ira.reaches_code()
        code = await ira.code()
        await asyncio.gather(*(ira.person.send(wrong(code)) for _ in range(100)))
        await ira.person.settled()
        assert [ira.was_told("registration-code-wrong", left) for left in (4, 3, 2, 1)] == [True] * 4
        assert sum(ira.said(text, "registration-code-wrong-last") for text in ira.heard()) == 1
        assert not any(ira.said(text, "registration-code-wrong", 5) for text in ira.heard())
        await ira.says(code)
        ira.expects("registration-code-too-many")
