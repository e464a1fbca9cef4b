"""Buttons of an earlier question, pressed late: nothing happens but the pending prompt (T16)."""

from __future__ import annotations

from sqlalchemy import func, select

from storage.tables import sends
from tests.journeys.stage import Stage
from tests.sql import connected


async def test_t16_an_old_hint_does_not_bring_its_address_back(stage: Stage) -> None:
    ira = stage.someone()
    await ira.says("/start")
    await ira.says("ira@gmial.com")
    ira.expects("registration-email-hint")
    await ira.says(ira.email)
    await ira.says("/back")
    for label in (ira.label("button-as-typed"), "gmail.com"):
        await ira.presses(label)
        ira.expects("registration-email-given", email=ira.email)
    await ira.says("/start")
    ira.expects("registration-terms-prompt")


async def test_t16_old_buttons_of_every_step_change_nothing_once_it_is_done(stage: Stage) -> None:
    ira = stage.someone()
    await ira.registers()
    before = await stage.app.stores.accounts.of(ira.id)
    shown = next(message for message in ira.person.chat if message.from_bot and message.buttons)
    for data in ("email:keep", "terms:toggle", "terms:register", "back", "phone:change", "phone:mine", "code:resend",
                 "code:help", "country:choose:KZ", "country:page:1", "delete:yes"):  # fmt: skip
        await ira.person.press_data(data, shown)
        await ira.person.settled()
        ira.expects("registration-done")
    assert await stage.app.stores.accounts.of(ira.id) == before
    async with connected(stage.app.stores.database) as connection:
        assert (await connection.execute(select(func.count()).select_from(sends))).scalar_one() == 1


async def test_every_press_is_answered_so_that_no_button_keeps_its_clock(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_terms()
    for label in ("terms-consent", "terms-consent-ticked", "button-register", "button-continue", "terms-consent"):
        await ira.presses(ira.label(label))
        assert ira.person.unanswered == []
    await ira.presses(ira.label("button-register"))
    await ira.taps(ira.label("button-country"))
    await ira.presses(ira.label("button-page-after"))
    await ira.presses(ira.person.chat[-1].labels[0])
    await ira.says(ira.phone)
    await ira.presses(ira.label("button-code-missing"))
    await ira.presses(ira.label("button-resend"))
    await ira.presses(ira.label("button-change-number"))
    assert ira.person.unanswered == []


async def test_a_confirmed_person_is_not_greeted_as_a_newcomer(stage: Stage) -> None:
    ira = stage.someone()
    await ira.registers()
    greeted = sum(ira.said(text, "start-greeting") for text in ira.heard())
    await ira.says("/start go")
    ira.expects("registration-done")
    assert sum(ira.said(text, "start-greeting") for text in ira.heard()) == greeted == 1
