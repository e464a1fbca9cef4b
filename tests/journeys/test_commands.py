"""The commands that work at any step."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from storage.tables import accounts, challenges, sends, terms_acceptances
from tests.journeys.stage import Registrant, Stage
from tests.sql import connected

STEPS = ["email", "terms", "phone", "code"]


async def reach(ira: Registrant, step: str) -> None:
    """Go as far as this step."""
    await {"email": lambda: ira.says("/start"), "terms": ira.reaches_terms,
           "phone": ira.reaches_phone, "code": ira.reaches_code}[step]()  # fmt: skip


async def finish(ira: Registrant, step: str) -> None:
    """Go on from this step to the end."""
    if step == "email":
        await ira.says(ira.email)
    if step in {"email", "terms"}:
        await ira.presses(ira.label("terms-consent"))
        await ira.presses(ira.label("button-register"))
    if step != "code":
        await ira.says(ira.phone)
    await ira.finishes()


@pytest.mark.parametrize("step", STEPS)
async def test_every_command_answers_at_every_step_and_the_person_finishes(
    stage: Stage, language: str, step: str
) -> None:
    ira = stage.someone(language)
    await reach(ira, step)
    for command, key in (
        ("/help", "menu-help"), ("/support", "menu-support"), ("/privacy", "menu-privacy"),
        ("/language", "menu-language"), ("/delete", "menu-delete"),
    ):  # fmt: skip
        await ira.says(command)
        ira.expects(key)
    await ira.presses(ira.label("button-keep"))
    await finish(ira, step)


@pytest.mark.parametrize("step", STEPS)
async def test_cancel_stops_asking_and_continue_goes_on(stage: Stage, language: str, step: str) -> None:
    ira = stage.someone(language)
    await reach(ira, step)
    await ira.says("/cancel")
    ira.expects("menu-cancel" if step in {"email", "terms"} else "menu-cancel-until")
    assert not ira.has_keyboard()
    await ira.person.sticker()
    await ira.person.settled()
    ira.expects("menu-paused")
    await ira.says("да" if language == "ru" else "continue")
    ira.expects(f"registration-{step}-prompt")
    await finish(ira, step)


@pytest.mark.parametrize("step", STEPS)
async def test_the_language_changes_at_any_step(stage: Stage, step: str) -> None:
    ira = stage.someone("ru")
    await reach(ira, step)
    await ira.says("/language")
    await ira.presses("English")
    ira.language = "en"
    assert ira.was_told("menu-language-chosen")
    ira.expects(f"registration-{step}-prompt")
    await ira.says("/language")
    await ira.says("Русский" if step == "code" else "1.")
    ira.language = "ru"
    ira.expects(f"registration-{step}-prompt")
    await finish(ira, step)


@pytest.mark.parametrize("step", STEPS)
async def test_back_goes_one_step_back_and_forward_again(stage: Stage, step: str) -> None:
    ira = stage.someone()
    await reach(ira, step)
    await ira.says("/back")
    before = {"email": "email", "terms": "email", "phone": "terms", "code": "phone"}[step]
    ira.expects(f"registration-{before}-prompt")
    await ira.says("/start")
    ira.expects(f"registration-{step}-prompt")
    await finish(ira, step)


@pytest.mark.parametrize("step", STEPS)
async def test_whatever_no_step_expects_gets_the_prompt(stage: Stage, step: str) -> None:
    ira = stage.someone()
    await reach(ira, step)
    for act in (ira.person.sticker, ira.person.voice):
        await act()
        await ira.person.settled()
        ira.expects(f"registration-{step}-prompt")
    await ira.says("/nonsense")
    ira.expects(f"registration-{step}-prompt")
    await finish(ira, step)


async def test_delete_erases_everything_personal_and_one_can_start_again(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.registers()
    await ira.says("/delete")
    await ira.presses(ira.label("button-delete"))
    ira.expects("menu-deleted")
    async with connected(stage.app.stores.database) as connection:
        for table, left in ((accounts, 0), (terms_acceptances, 1), (sends, 1)):
            assert (await connection.execute(select(func.count()).select_from(table))).scalar_one() == left, table
        numbers = (await connection.execute(select(challenges.c.number))).scalars().all()
        assert ira.phone not in numbers
    stage.clock.move(hours=1)
    await ira.says("/start")
    ira.expects("registration-email-prompt")
    await ira.says(ira.email)
    await ira.presses(ira.label("terms-consent"))
    await ira.presses(ira.label("button-register"))
    await ira.says(ira.phone)
    await ira.finishes(count=2)


async def test_an_old_delete_button_erases_nothing(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    await ira.says("/delete")
    question = ira.person.chat[-1]
    await ira.presses(ira.label("button-keep"))
    await ira.person.press_data("delete:yes", question)
    await ira.person.settled()
    ira.expects("registration-phone-prompt")
    async with connected(stage.app.stores.database) as connection:
        assert (await connection.execute(select(func.count()).select_from(accounts))).scalar_one() == 1


async def test_the_label_of_a_link_button_sends_the_link(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.says("/start")
    await ira.says("/support")
    await ira.says(ira.label("button-support"))
    assert ira.last() == stage.settings.support_url
    await ira.says(ira.email)
    ira.expects("registration-terms-prompt")
