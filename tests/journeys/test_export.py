"""`/export`: a person asks for what is stored about them and gets a file."""

from __future__ import annotations

import json
from typing import Any

from tests.journeys.stage import Registrant, Stage


def file_of(ira: Registrant) -> dict[str, Any]:
    """Return the newest message's file, read."""
    message = ira.person.chat[-1]
    document = message.content["document"]
    assert (document["file_name"], document["mime_type"]) == ("my-data.json", "application/json")
    assert message.file is not None
    found: dict[str, Any] = json.loads(message.file)
    return found


async def test_i_am_registered_and_get_my_data_as_a_file(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.registers()
    await ira.says("/help")
    assert "/export" in ira.last()
    await ira.says("/export")
    ira.expects("menu-export", product="Smarty CRM")
    told = file_of(ira)
    assert (told["account"]["email"], told["account"]["phone"]) == (ira.email, ira.phone)
    assert (told["account"]["telegram_id"], told["account"]["status"]) == (ira.id, "confirmed")
    assert [(row["version"], row["language"]) for row in told["terms"]] == [("1", language)]
    assert [(row["channel"], row["gateway"]) for row in told["codes"]] == [("sms", "smsc")]
    assert told["conversation"]["language"] == language
    assert stage.smsc.code_for(ira.phone) not in json.dumps(told)
    assert "token" not in json.dumps(told)


async def test_in_the_middle_of_the_registration_it_changes_nothing(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_phone()
    await ira.says("/EXPORT")
    told = file_of(ira)
    assert (told["account"]["status"], told["account"]["phone"], told["numbers"]) == ("pending", None, [])
    assert ira.has_keyboard()
    await ira.says(ira.phone)
    ira.expects("registration-code-prompt")
    await ira.finishes()


async def test_before_the_terms_nothing_is_stored(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.says("/export")
    ira.expects("menu-export-none")
    await ira.says(ira.email)
    await ira.says("/export")
    ira.expects("menu-export-none")
    await ira.presses(ira.label("terms-consent"))
    await ira.presses(ira.label("button-register"))
    await ira.says(ira.phone)
    await ira.finishes()


async def test_once_in_ten_minutes(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_phone()
    await ira.says("/export")
    first = file_of(ira)
    await ira.says("/export")
    ira.expects("menu-export-again")
    assert ira.person.chat[-1].file is None
    petr = stage.someone(language)
    await petr.reaches_phone()
    await petr.says("/export")
    assert file_of(petr)["account"]["telegram_id"] == petr.id
    stage.clock.move(minutes=9, seconds=50)
    await ira.says("/export")
    ira.expects("menu-export-again")
    stage.clock.move(seconds=15)
    await ira.says("/export")
    assert file_of(ira)["made_at"] > first["made_at"]
    await ira.says(ira.phone)
    await ira.finishes()


async def test_a_yes_after_the_file_deletes_nothing(stage: Stage) -> None:
    ira = stage.someone()
    await ira.registers()
    await ira.says("/delete")
    await ira.says("/export")
    await ira.says("да")
    await ira.says("/start")
    ira.expects("registration-done")
