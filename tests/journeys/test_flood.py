"""Who writes too fast is told to slow down, once, in their language; after that time the conversation goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.journeys.stage import Registrant, Stage, on_stage

LIMIT = 12
PERIOD = 600


@pytest.fixture
async def stage(sqlite_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """A bot that lets a person register without haste, in one go."""
    async with on_stage(sqlite_url, redis_url, tmp_path, updates_per_person=f"{LIMIT}/{PERIOD}s") as stage:
        yield stage


def slow_downs(person: Registrant, texts: list[str]) -> int:
    """Count the texts that ask to wait, for about the whole period."""
    seconds = range(PERIOD - 120, PERIOD + 1)
    return sum(any(person.said(text, "flood-slow-down", n) for n in seconds) for text in texts)


async def time_passes(stage: Stage, person: Registrant) -> None:
    """Redis tells the time by its own clock, so the test moves the remembered moments."""
    redis = stage.app.stores.redis
    (key,) = [key async for key in redis.scan_iter(match=f"talk:*:{person.id}:{person.id}}}")]
    pace = await redis.hget(key, "pace")
    assert pace is not None
    moved = [int(moment) - PERIOD * 1000 for moment in str(pace).split(",")]
    await redis.hset(key, "pace", ",".join(map(str, moved)))


async def test_a_flood_gets_one_answer_and_the_person_finishes(stage: Stage, language: str) -> None:
    ira, oleg = stage.someone(language), stage.someone()
    await ira.reaches_terms()
    before = len(ira.heard())
    for number in range(30):
        await ira.person.send(f"слово {number}")
    # Somebody else is answered meanwhile.
    await oleg.registers()
    await ira.person.settled()
    answers = ira.heard()[before:]
    assert slow_downs(ira, answers) == 1
    assert slow_downs(ira, answers[-1:]) == 1
    assert len(answers) == LIMIT - 2 + 1
    await time_passes(stage, ira)
    await ira.presses(ira.label("terms-consent"))
    await ira.presses(ira.label("button-register"))
    ira.expects("registration-phone-prompt")
    await ira.says(ira.phone)
    await ira.finishes()


async def test_a_press_too_many_stops_waiting_and_says_why(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_terms()
    heard = ira.heard()
    for _ in range(LIMIT - 2):
        await ira.presses(ira.label("terms-consent") if "☑" not in str(_buttons(ira)) else _buttons(ira)[0])
    await ira.presses(_buttons(ira)[0])
    (alert,) = [toast for toast in ira.person.toasts if toast.alert]
    assert slow_downs(ira, [alert.text]) == 1
    assert ira.person.unanswered == []
    assert len(ira.heard()) == len(heard)
    await time_passes(stage, ira)
    await ira.presses(ira.label("button-register"))


def _buttons(ira: Registrant) -> list[str]:
    return [button.text for message in ira.person.chat for button in message.buttons]


async def test_it_is_said_in_the_language_the_person_chose(stage: Stage) -> None:
    ira = stage.someone("en")
    await ira.says("/start")
    await ira.says("/language")
    await ira.presses("Русский")
    for number in range(LIMIT):
        await ira.says(f"слово {number}")
    ira.language = "ru"
    assert slow_downs(ira, ira.heard()) == 1
