"""What the CRM learns of people, and what they meet when it says no."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.event_letters import EventLetters
from tests.fakes.crm import SECRET, Answer, FakeCrm
from tests.journeys.stage import MovableClock, Registrant, Stage, on_stage
from tests.waiting import until

TAKEN = {
    "ru": "Пользователь с таким номером уже зарегистрирован",
    "en": "A user with this number is already registered",
}


@pytest.fixture
async def stage(
    database_url: str, redis_url: str, tmp_path: Path, crm: FakeCrm, clock: MovableClock
) -> AsyncIterator[Stage]:
    """The whole bot on both databases, with a CRM."""
    other = {"crm_webhook_url": crm.url, "crm_webhook_secret": SECRET}
    async with on_stage(database_url, redis_url, tmp_path, clock, **other) as stage:
        yield stage


async def is_told(person: Registrant) -> None:
    """Wait until the notice of the conflict is there, and look at its buttons."""
    await person.is_told("notice-conflict")
    message = next(m for m in reversed(person.person.chat) if person.said(m.text, "notice-conflict"))
    assert message.labels == [person.label("button-restore-password"), person.label("button-support")]
    assert message.text.startswith(TAKEN[person.language])


async def crm_alerts(stage: Stage) -> list[str]:
    """Wait for what the support chat was told, and return it."""

    def told() -> list[str]:
        calls = [call for call in stage.api.calls if str(call.parameters.get("chat_id")) == "-1001"]
        return [str(call.parameters["text"]) for call in calls]

    await until(lambda: bool(told()))
    return told()


async def test_a_registration_and_its_end_reach_the_crm_in_order(stage: Stage, crm: FakeCrm, language: str) -> None:
    person = stage.someone(language)
    await person.registers()
    (call,) = await crm.has_taken(1)
    data = call.event["data"]
    assert call.type == "registration.confirmed"
    assert (data["telegram_id"], data["phone"], data["email"]) == (person.id, person.phone, person.email)
    assert (data["language"], data["phone_proof"], data["email_verified"]) == (language, "code", False)
    await person.says("/delete")
    await person.presses(person.label("button-delete"))
    _, deleted = await crm.has_taken(2)
    assert (deleted.type, deleted.account_id) == ("registration.deleted", call.account_id)


async def test_a_409_is_told_and_start_explains_it(stage: Stage, crm: FakeCrm, language: str) -> None:
    crm.always = Answer(409)
    person = stage.someone(language)
    await person.registers()
    await is_told(person)
    for words in ("/start", "/start go", "hello", "/cancel", "/back", person.label("button-continue")):
        said = len(person.heard())
        await person.says(words)
        assert len(person.heard()) == said + 1
        person.expects("notice-conflict")
        assert person.person.chat[-1].labels == [
            person.label("button-restore-password"), person.label("button-support")
        ]  # fmt: skip
    # Neither a new number nor the way into the product is to be had.
    await person.says(person.label("button-start-work"))
    person.expects("notice-conflict")
    await person.shares_contact()
    person.expects("notice-conflict")
    await person.says("/support")
    person.expects("menu-support")


async def test_who_is_in_conflict_may_delete_everything_and_begin_anew(stage: Stage, crm: FakeCrm) -> None:
    crm.always = Answer(409)
    person = stage.someone()
    await person.registers()
    await is_told(person)
    crm.always = Answer(204)
    await person.says("/delete")
    await person.presses(person.label("button-delete"))
    person.expects("menu-deleted")
    await until(lambda: [call.type for call in crm.taken] == ["registration.deleted"])
    await person.reaches_terms()
    await person.says("да")
    await person.says(person.label("button-register"))
    await person.shares_contact()
    await person.finishes(count=2)
    await crm.has_taken(2)
    assert crm.learnt[-1][0] == "registration.confirmed"


async def test_a_number_in_conflict_stands_in_nobodys_way(stage: Stage, crm: FakeCrm) -> None:
    crm.always = Answer(409)
    first = stage.someone()
    await first.registers()
    await is_told(first)
    crm.always = Answer(204)
    second = stage.someone(phone=first.phone)
    await second.reaches_code()
    await second.finishes(count=2)
    await crm.has_taken(1)
    assert crm.taken[0].event["data"]["telegram_id"] == second.id


async def test_a_settled_conflict_is_told_and_start_leads_in(stage: Stage, crm: FakeCrm) -> None:
    crm.always = Answer(409)
    person = stage.someone()
    await person.registers()
    await is_told(person)
    crm.always = Answer(204)
    assert await EventLetters(stage.app.stores.database).replay(None, stage.clock.now()) == 1
    await person.is_told("notice-conflict-over")
    await person.says("/start")
    person.expects("registration-done")


async def test_support_is_alerted(
    database_url: str, redis_url: str, tmp_path: Path, crm: FakeCrm, clock: MovableClock
) -> None:
    crm.always = Answer(409)
    other = {"crm_webhook_url": crm.url, "crm_webhook_secret": SECRET, "support_chat_id": -1001}
    async with on_stage(database_url, redis_url, tmp_path, clock, **other) as stage:
        stage.api.group(-1001, "Support")
        person = stage.someone()
        await person.registers()
        await is_told(person)
        (call,) = await crm_alerts(stage)
        assert "events list --dead" in call
