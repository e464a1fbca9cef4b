"""The terms step: the box, the refusal, the record."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sqlalchemy import select

from storage.tables import terms_acceptances
from tests.journeys.stage import Stage, on_stage
from tests.sql import connected


async def test_an_empty_box_is_refused_with_a_way_back(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_terms()
    await ira.presses(ira.label("button-register"))
    ira.expects("registration-terms-missing")
    await ira.presses(ira.label("button-continue"))
    ira.expects("terms-sentence")
    await ira.presses(ira.label("terms-consent"))
    ira.expects("terms-sentence-ticked")
    await ira.presses(ira.label("terms-consent-ticked"))
    ira.expects("terms-sentence")
    await ira.presses(ira.label("terms-consent"))
    await ira.presses(ira.label("button-register"))
    ira.expects("registration-phone-prompt")


async def test_the_toggle_edits_its_message_and_leaves_no_second_one(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_terms()
    count = len(ira.heard())
    await ira.presses(ira.label("terms-consent"))
    assert len(ira.heard()) == count
    assert ira.person.chat[-1].edited


async def test_everything_typed_instead_of_pressed(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_terms()
    await ira.says("Да" if language == "ru" else "yes")
    ira.expects("terms-sentence-ticked")
    await ira.says("нет" if language == "ru" else "No")
    ira.expects("terms-sentence")
    await ira.says(ira.label("button-register"))
    ira.expects("registration-terms-missing")
    await ira.says(ira.label("button-continue").upper())
    ira.expects("terms-sentence")
    await ira.says("Я ознакомлен и согласен с условиями использования")
    ira.expects("terms-sentence-ticked")
    await ira.says("register")
    ira.expects("registration-phone-prompt")


async def test_yes_in_the_button_style_registers(database_url: str, redis_url: str, tmp_path: Path) -> None:
    async with on_stage(database_url, redis_url, tmp_path, terms_style="button") as stage:
        ira = stage.someone()
        await ira.reaches_terms()
        await ira.says("да")
        ira.expects("registration-phone-prompt")


async def test_what_was_shown_is_recorded(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    async with connected(stage.app.stores.database) as connection:
        (row,) = (await connection.execute(select(terms_acceptances))).all()
    shown = "Я ознакомлен и согласен с условиями использования"
    proof = "\n".join((shown, stage.settings.terms_url, stage.settings.terms_version))
    assert (row.version, row.language) == (stage.settings.terms_version, "ru")
    assert row.sentence_hash == hashlib.sha256(proof.encode()).hexdigest()


async def test_a_pending_person_accepts_changed_terms_anew(database_url: str, redis_url: str, tmp_path: Path) -> None:
    async with on_stage(database_url, redis_url, tmp_path) as stage:
        ira = stage.someone()
        await ira.reaches_phone()
        done = stage.someone()
        await done.registers()
    async with on_stage(database_url, redis_url, tmp_path, terms_version="2") as stage:
        ira = stage.again(ira)
        await ira.says("/start")
        ira.expects("registration-terms-prompt", version="2")
        await ira.presses(ira.label("terms-consent"))
        await ira.presses(ira.label("button-register"))
        ira.expects("registration-phone-prompt")
        done = stage.again(done)
        await done.says("/start")
        done.expects("registration-done")
