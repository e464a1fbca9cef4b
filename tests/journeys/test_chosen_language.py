"""The language a person chose: kept through a lost conversation, in SMS, in notices, in the record of the terms."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import select

from storage.tables import terms_acceptances
from tests.journeys.stage import Registrant, Stage, on_stage
from tests.sql import connected

SENTENCES = {
    ("checkbox", "ru"): "Я ознакомлен и согласен с условиями использования",
    ("checkbox", "en"): "I have read and accept the terms of use",
    ("button", "ru"): "Нажимая кнопку Регистрация, вы соглашаетесь с нашими Условиями использования",
}


async def chooses_english(ira: Registrant) -> None:
    """Choose English in the middle of it."""
    await ira.says("/language")
    await ira.presses("English")
    ira.language = "en"


async def test_f28_a_flushed_conversation_goes_on_in_the_chosen_language(stage: Stage) -> None:
    ira = stage.someone("ru")
    await ira.reaches_phone()
    await chooses_english(ira)
    await stage.app.stores.redis.flushall()
    await ira.says("/start")
    ira.expects("registration-phone-prompt")
    await ira.says(ira.phone)
    await ira.finishes()


async def test_sms_and_every_resend_of_it_are_in_the_language_spoken_then(stage: Stage) -> None:
    ira = stage.someone("ru")
    await ira.reaches_code()
    (first,) = await stage.smsc.wait_for(ira.phone)
    assert first.endswith("код Smarty CRM")
    await chooses_english(ira)
    stage.clock.move(minutes=1, seconds=1)
    await ira.presses(ira.label("button-code-missing"))
    await ira.presses(ira.label("button-resend"))
    second = (await stage.smsc.wait_for(ira.phone, 2))[-1]
    assert second.endswith("is your Smarty CRM code")
    oleg = stage.someone("ru")
    await oleg.reaches_phone()
    await chooses_english(oleg)
    await oleg.says(oleg.phone)
    (only,) = await stage.smsc.wait_for(oleg.phone)
    assert only.endswith("is your Smarty CRM code")


async def test_the_clocks_notices_are_in_the_chosen_language(stage: Stage) -> None:
    ira = stage.someone("ru")
    await ira.reaches_phone()
    await chooses_english(ira)
    stage.clock.move(hours=20, minutes=1)
    await stage.app.jobs.cleanup()
    await ira.is_told("notice-reminder")
    stage.clock.move(hours=4)
    await stage.app.jobs.cleanup()
    await ira.is_told("notice-expired")


@pytest.mark.parametrize(("style", "language"), SENTENCES)
async def test_the_sentence_that_was_shown_is_proven_in_its_language(
    database_url: str, redis_url: str, tmp_path: Path, style: str, language: str
) -> None:
    links = {"terms_style": style, "terms_url": "https://crm.example/terms", "terms_version": "2026-02"}
    async with on_stage(database_url, redis_url, tmp_path, **links) as stage:
        ira = stage.someone(language)
        await ira.reaches_terms()
        if style == "checkbox":
            await ira.presses(ira.label("terms-consent"))
        await ira.presses(ira.label("button-register"))
        async with connected(stage.app.stores.database) as connection:
            (row,) = (await connection.execute(select(terms_acceptances))).all()
    proof = "\n".join((SENTENCES[style, language], "https://crm.example/terms", "2026-02"))
    assert (row.version, row.language) == ("2026-02", language)
    assert row.sentence_hash == hashlib.sha256(proof.encode()).hexdigest()
