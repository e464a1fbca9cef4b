"""F25, F27: SQL or Redis goes away while people write. Nothing is acknowledged, lost or sent twice meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import asyncpg
import pytest

from bot.practice.updates import Update
from bot.valkey import Valkey
from tests.fakes.smsc import Fault
from tests.journeys.stage import Outside
from tests.process.bot_process import BotProcess, forgive_harmless
from tests.process.conftest import SECRET, bot_process
from tests.process.walker import STEPS, Walker
from tests.waiting import until

PEOPLE = 12
# Seconds: the webhook's Retry-After and the polling lease are shorter, a Redis that hangs is given up after nine.
NOTICED_WITHIN = 30
# The lock of a conversation that was open when Redis went, or was asked for while it hung, ends by itself after 10 s.
LOCKS_END_WITHIN = 45


@dataclass(frozen=True)
class Outage:
    """One way for a store to go away. `stops` names the steps that cannot be answered without it.

    It goes while a code is being sent, or else while the first of several people is being answered. A store that
    hangs is given up only after several seconds, by each who asks.
    """

    begins: Callable[[], Awaitable[object]]
    ends: Callable[[], Awaitable[object]]
    stops: frozenset[str]
    down: str
    while_sending: bool = False
    hangs: bool = False


class Scene:
    """People at every step of the registration, and a store that goes away while they do the next one."""

    def __init__(self, outside: Outside, bot: BotProcess, transport: str) -> None:
        self.outside = outside
        self.api = outside.api
        self.bot = bot
        self.transport = transport
        self.people = [Walker(outside.someone()) for _ in range(PEOPLE)]
        # The first half is answered, or not, while the store goes; the other half finds it gone.
        self.early, self.late = self.people[::2], self.people[1::2]

    async def plays(self, outages: Sequence[Outage], answered_within: float) -> None:
        """Everybody does one step in each outage, and then goes on to the end as if nothing had happened."""
        undisturbed = Walker(self.outside.someone())
        await undisturbed.walks(len(STEPS))
        # Each half stands at every step from which there is one more for every outage.
        places = len(STEPS) - len(outages) + 1
        await asyncio.gather(*(walker.walks(number // 2 % places) for number, walker in enumerate(self.people)))
        for outage in outages:
            await self._survives(outage, answered_within)
        await asyncio.gather(*(walker.walks(len(STEPS)) for walker in self.people))
        self._nothing_was_said_twice(undisturbed.story())

    async def _survives(self, outage: Outage, answered_within: float) -> None:
        await asyncio.gather(*(walker.ira.code() for walker in self.people if walker.next == "code"))
        noticed = self._noticed()
        await self._goes_while_people_write(outage)
        heard = {walker.ira.id: walker.ira.heard() for walker in self.late}
        stuck = [walker for walker in self.late if walker.next in outage.stops]
        free = [walker for walker in self.late if walker not in stuck]
        known = len(self.api.updates)
        await asyncio.gather(*(walker.acts() for walker in self.late))
        await asyncio.gather(*(self.api.until(walker.is_answered, NOTICED_WITHIN) for walker in free))
        waiting = [u for u in self.api.updates[known:] if u.author in {walker.ira.id for walker in stuck}]
        assert len(waiting) == len(stuck) > 0
        await until(lambda: noticed(waiting), NOTICED_WITHIN)
        assert not [update for update in waiting if update.handled]
        assert all(walker.ira.heard() == heard[walker.ira.id] for walker in stuck)
        await self._is_said_to_the_outside(outage, waiting[0])
        await outage.ends()
        await asyncio.gather(*(walker.is_heard(answered_within) for walker in self.people))

    async def _goes_while_people_write(self, outage: Outage) -> None:
        taken, called = len(self.outside.smsc.messages), len(self.api.calls)
        if outage.while_sending:
            assert "number" in {walker.next for walker in self.early}
            self.outside.smsc.faults.append(Fault(takes=True, delay=1))
        await asyncio.gather(*(walker.acts() for walker in self.early))
        if outage.while_sending:
            await until(lambda: len(self.outside.smsc.messages) > taken)
        else:
            await self.api.until(lambda: any(call.method != "getUpdates" for call in self.api.calls[called:]))
        await outage.begins()

    def _noticed(self) -> Callable[[Sequence[Update]], bool]:
        """Return what tells that the bot has met the outage with these updates, or asks for none any more."""
        stands_still, waits = "polling stands still, Redis is away", "updates wait, storage is away"
        stood_still, waited = self.bot.log_says(stands_still), self.bot.log_says(waits)

        def noticed(waiting: Sequence[Update]) -> bool:
            if self.transport == "webhook":
                refused = {delivery.update_id for delivery in self.api.deliveries if delivery.status == 503}
                return refused.issuperset(update.id for update in waiting)
            if self.bot.log_says(stands_still) > stood_still:
                return True
            given = itertools.chain(*(call.result for call in self.api.calls if call.method == "getUpdates"))
            all_given = {update["update_id"] for update in given}.issuperset(update.id for update in waiting)
            return all_given and self.bot.log_says(waits) > waited

        return noticed

    async def _is_said_to_the_outside(self, outage: Outage, waiting: Update) -> None:
        base = f"http://127.0.0.1:{self.bot.port}"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{base}/readyz") as response:
                assert (response.status, await response.text()) == (503, f"down: {outage.down}")
            async with session.get(f"{base}/healthz") as response:
                assert response.status == 200
            if self.transport == "webhook" and not outage.hangs:
                headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET.replace(" ", "-")}
                async with session.post(f"{base}/telegram", json=waiting.as_json(), headers=headers) as response:
                    assert response.status == 503
                    assert int(response.headers["Retry-After"]) >= 1

    def _nothing_was_said_twice(self, undisturbed: list[str]) -> None:
        for walker in self.late:
            assert walker.story() == undisturbed
        for walker in self.early:
            # Said, and not noted when the store went: Telegram offers no way to say a thing at most and at least once.
            assert walker.story_told_once() == undisturbed
        assert sorted(sms.number for sms in self.outside.smsc.messages[1:]) == sorted(w.ira.phone for w in self.people)
        said_again = sum(len(walker.story()) - len(undisturbed) for walker in self.early)
        print(f"{self.transport}: {said_again} texts said again, refused harmlessly: {forgive_harmless(self.api)}")


@pytest.fixture
async def own_valkey() -> AsyncIterator[Valkey]:
    """A Valkey of the test's own, to be taken away."""
    directory = Path(tempfile.mkdtemp(prefix="away-"))
    server = Valkey(directory)
    await server.start()
    yield server
    await server.stop()
    shutil.rmtree(directory)


async def test_f27_redis_is_stopped_while_people_write_and_everybody_finishes(
    outside: Outside, transport: str, own_valkey: Valkey, tmp_path: Path
) -> None:
    stopped = Outage(own_valkey.stop, own_valkey.start, stops=frozenset(STEPS), down="redis")
    and_again = replace(stopped, while_sending=True)
    async with bot_process(outside, transport, tmp_path, REDIS_URL=own_valkey.url) as bot:
        await Scene(outside, bot, transport).plays([stopped, and_again], answered_within=LOCKS_END_WITHIN)
        assert await bot.stop() < 5


async def test_f27_redis_hangs_while_people_write_and_everybody_finishes(
    outside: Outside, transport: str, own_valkey: Valkey, tmp_path: Path
) -> None:
    async def signals(number: signal.Signals) -> None:
        assert own_valkey.pid is not None
        os.kill(own_valkey.pid, number)

    hangs = Outage(
        lambda: signals(signal.SIGSTOP), lambda: signals(signal.SIGCONT), frozenset(STEPS), down="redis", hangs=True
    )
    async with bot_process(outside, transport, tmp_path, REDIS_URL=own_valkey.url) as bot:
        await Scene(outside, bot, transport).plays([hangs], answered_within=LOCKS_END_WITHIN)
        assert await bot.stop() < 5


class Wire:
    """A TCP address in front of PostgreSQL's socket, which can be cut and mended."""

    def __init__(self, socket: str) -> None:
        self.port = 0
        self._socket = socket
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader_there, writer_there = await asyncio.open_unix_connection(self._socket)
        ends = {writer, writer_there}
        self._open |= ends
        await asyncio.gather(_pass_on(reader, writer_there), _pass_on(reader_there, writer))
        self._open -= ends


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


class Postgres:
    """The test's own database, as its administrator sees it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.name = parts.path.lstrip("/")
        self.directory = parse_qs(parts.query)["host"][0]

    async def closes(self) -> None:
        """Let nobody in and end every connection."""
        await self._run(
            f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS false",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'",
        )

    async def opens(self) -> None:
        await self._run(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS true")

    async def counts(self, query: str) -> dict[str, int]:
        connection = await asyncpg.connect(host=self.directory, user="postgres", database=self.name)
        rows = await connection.fetch(query)
        await connection.close()
        return {row[0]: row[1] for row in rows}

    async def none(self, query: str) -> bool:
        """Tell whether this query counts nothing."""
        connection = await asyncpg.connect(host=self.directory, user="postgres", database=self.name)
        count = await connection.fetchval(query)
        await connection.close()
        return bool(count == 0)

    async def _run(self, *statements: str) -> None:
        connection = await asyncpg.connect(host=self.directory, user="postgres", database="postgres")
        for statement in statements:
            await connection.execute(statement)
        await connection.close()


async def test_f25_sql_goes_away_while_people_write_and_everybody_finishes(
    outside: Outside, transport: str, postgresql_url: str, tmp_path: Path
) -> None:
    postgres = Postgres(postgresql_url)
    wire = Wire(f"{postgres.directory}/.s.PGSQL.5432")
    await wire.mend()
    url = f"postgresql://postgres@127.0.0.1:{wire.port}/{postgres.name}"
    # The box is ticked in the conversation alone: design, "a plain step costs no SQL".
    stops = frozenset(STEPS) - {"tick"}
    cut = Outage(wire.cut, wire.mend, stops, down="database", while_sending=True)
    closed = Outage(postgres.closes, postgres.opens, stops, down="database")
    settings = {"DATABASE_URL": url, "SECRET_KEY": "x" * 40}
    async with bot_process(outside, transport, tmp_path, **settings) as bot:
        await Scene(outside, bot, transport).plays([cut, closed], answered_within=20)
        # What became of an SMS is written down once the database answers; a stop before that leaves it to a lease.
        await until(lambda: postgres.none("SELECT count(*) FROM sends WHERE state = 'sending'"), 40)
        assert await bot.stop() < 5
    await wire.cut()
    assert await postgres.counts("SELECT status, count(*) FROM accounts GROUP BY status") == {"confirmed": PEOPLE + 1}
    assert await postgres.counts("SELECT state, count(*) FROM sends GROUP BY state") == {"accepted": PEOPLE + 1}
