"""Terms that change while somebody is on the way: accepted anew before the end, and nothing else is asked again."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from storage.tables import terms_acceptances
from tests.journeys.stage import Registrant, Stage, on_stage
from tests.sql import connected


async def accepts_the_new_version(ira: Registrant) -> None:
    """Be refused with the box empty, then tick and register."""
    ira.expects("registration-terms-prompt", version="2")
    await ira.says("регистрация")
    ira.expects("registration-terms-missing")
    await ira.says("продолжить")
    await ira.presses(ira.label("terms-consent"))
    await ira.presses(ira.label("button-register"))


async def accepted(stage: Stage) -> list[str]:
    async with connected(stage.app.stores.database) as connection:
        versions = select(terms_acceptances.c.version).order_by(terms_acceptances.c.accepted_at)
        return list((await connection.execute(versions)).scalars())


async def test_a_number_given_under_new_terms_is_confirmed_only_after_them(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with on_stage(database_url, redis_url, tmp_path) as stage:
        ira = stage.someone()
        await ira.reaches_phone()
    async with on_stage(database_url, redis_url, tmp_path, terms_version="2") as stage:
        ira = stage.again(ira)
        await ira.says(ira.phone)
        await accepts_the_new_version(ira)
        assert not ira.was_told("registration-done")
        # Whether what was typed to the old terms counts is the step's business; the person goes on where it asks.
        if ira.said(ira.last(), "registration-phone-prompt"):
            await ira.says(ira.phone)
        await ira.finishes()
        assert await accepted(stage) == ["1", "2"]
        assert len(stage.smsc.messages) == 1


async def test_a_right_code_under_new_terms_confirms_only_after_them_and_costs_no_second_sms(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with on_stage(database_url, redis_url, tmp_path) as stage:
        ira = stage.someone()
        await ira.reaches_code()
        code = await ira.code()
    async with on_stage(database_url, redis_url, tmp_path, terms_version="2") as stage:
        ira = stage.again(ira)
        await ira.says(code)
        assert not ira.was_told("registration-done")
        await accepts_the_new_version(ira)
        if not ira.was_told("registration-done"):
            await ira.says(code)
        ira.expects("registration-done")
        assert await accepted(stage) == ["1", "2"]
        assert stage.smsc.messages == []
