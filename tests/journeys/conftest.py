from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.crm import FakeCrm
from tests.journeys.social_stage import SocialStage, on_social_stage
from tests.journeys.stage import MovableClock, Stage, on_stage


@pytest.fixture(autouse=True)
def _quick_couriers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a clock was moved nobody waits a second for who looks by itself."""
    monkeypatch.setattr("bot.courier._POLL", 0.1)


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> str:
    """What keeps the conversation, emptied: beside SQLite what the bot embeds, beside PostgreSQL a cluster."""
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and callspec.params.get("database_url") == "postgresql":
        return str(request.getfixturevalue("redis_cluster_url"))
    request.getfixturevalue("redis")
    return str(request.getfixturevalue("valkey").url)


@pytest.fixture
async def stage(database_url: str, redis_url: str, tmp_path: Path, clock: MovableClock) -> AsyncIterator[Stage]:
    """The whole bot on both databases, polling."""
    async with on_stage(database_url, redis_url, tmp_path, clock) as stage:
        yield stage


@pytest.fixture
def clock() -> MovableClock:
    """What a stage and the CRM beside it both go by."""
    return MovableClock()


@pytest.fixture
async def crm(clock: MovableClock) -> AsyncIterator[FakeCrm]:
    """It takes nothing that does not fit the schema or was signed at another time."""
    fake = FakeCrm(clock)
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def social(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[SocialStage]:
    """The same with Google and Facebook."""
    async with on_social_stage(database_url, redis_url, tmp_path) as stage:
        yield stage


@pytest.fixture(params=["ru", "en"])
def language(request: pytest.FixtureRequest) -> str:
    """Both languages."""
    return str(request.param)
