"""What the tests of the web pages share: the bot with its providers, and somebody with a link to a page.

A file that uses the fixture `stage` imports it and names it in `__all__`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.journeys.social_stage import SocialStage, button_url, on_social_stage
from tests.journeys.stage import Registrant


@pytest.fixture
async def stage(sqlite_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[SocialStage]:
    async with on_social_stage(sqlite_url, redis_url, tmp_path) as stage:
        yield stage


async def started(stage: SocialStage, language: str = "ru") -> tuple[Registrant, str]:
    ira = stage.someone(language)
    await ira.says("/start")
    return ira, button_url(ira, "button-google")
