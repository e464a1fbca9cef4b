"""Three live replicas behind a balancer for the tests of one file, and a carrier that answers when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from aiohttp import web

from bot.practice import LocalBotAPI
from bot.practice.webhook import Pace
from bot.valkey import Valkey
from storage.redis import connect
from tests.conftest import Postgres
from tests.fakes.smsc import FakeSmsc
from tests.journeys.stage import Outside, Registrant
from tests.process.replicas import Replicas, replicas

# Seconds, on a machine that does other things too.
SOON = 60


class PatientSmsc(FakeSmsc):
    """A carrier that answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def _send(self, request: web.Request) -> web.StreamResponse:
        await self.may_answer.wait()
        return await super()._send(request)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def three(
    postgres: Postgres, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Replicas]:
    """Three processes on one PostgreSQL and one Valkey, for all tests of a file."""
    redis = connect(valkey.url)
    await redis.flushall()
    await redis.aclose()
    api, smsc = LocalBotAPI(pace=Pace(pause=0.5, longest_pause=2)), PatientSmsc()
    await api.start()
    await smsc.start()
    outside, folder = Outside(api, smsc), tmp_path_factory.mktemp("replicas")
    with postgres.fresh("migrated") as url:
        stores = {"database_url": url, "redis_url": valkey.url}
        # A call to the carrier must outlast what a test does meanwhile.
        async with replicas(
            outside, "webhook", 3, folder, **stores, GATEWAY_TIMEOUT="60s", OUTBOX_LEASE="120s"
        ) as three:
            yield three
    await api.stop()
    await smsc.stop()


@pytest.fixture(autouse=True)
def nothing_was_refused(three: Replicas) -> Iterator[None]:
    yield
    assert three.outside.api.refusals == [], "Telegram refused a call"


def update_of(ira: Registrant) -> int:
    """Return the id of this person's newest update."""
    return next(update.id for update in reversed(ira.stage.api.updates) if update.author == ira.id)
