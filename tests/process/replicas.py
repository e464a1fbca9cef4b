"""Several processes of one bot behind a balancer, and what kills them while people register."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from aiohttp import web

from tests.fakes.smsc import Fault
from tests.journeys.stage import Outside
from tests.process.bot_process import BotProcess
from tests.process.conftest import bot_process
from tests.waiting import until

# Seconds. Three start at once on two cores, which others may be using too.
STARTED_WITHIN = 150
# Seconds. The carrier answers this late while somebody is to die in between; a call longer than the timeout is given
# up, and a dead one's is taken over after the lease. Far apart, so that a slow machine does not take one for another.
SLOW_CARRIER, GATEWAY_TIMEOUT, LEASE = 1, 8, 16
_RESTARTS = (
    asyncpg.CannotConnectNowError, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError,
    asyncpg.PostgresConnectionError,
)  # fmt: skip
POLLS = "this process polls for updates"


class Balancer:
    """One address in front of all replicas, each in its turn. Who does not answer is a 502, as with nginx."""

    def __init__(self) -> None:
        self.url = ""
        self.ports: list[int] = []
        # Every request passed on: the update and the replica's number.
        self.given: list[tuple[int, int]] = []

    @property
    def tries(self) -> Counter[int]:
        """How often each update was passed on."""
        return Counter(update_id for update_id, _ in self.given)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Balancer]:
        app = web.Application()
        app.router.add_post("/telegram", self._pass_on)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as self._session:
                yield self
        finally:
            await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.Response:
        body = await request.read()
        replica = len(self.given) % len(self.ports)
        self.given.append((json.loads(body)["update_id"], replica))
        kept = {name: value for name, value in request.headers.items() if name not in ("Host", "Content-Length")}
        try:
            url = f"http://127.0.0.1:{self.ports[replica]}/telegram"
            async with self._session.post(url, data=body, headers=kept) as answer:
                passed = {
                    name: answer.headers[name] for name in ("Content-Type", "Retry-After") if name in answer.headers
                }
                return web.Response(status=answer.status, body=await answer.read(), headers=passed)
        except aiohttp.ClientError:
            return web.Response(status=502)


class Replicas:
    """The processes. Each signs its SMS with its number, so that a test knows who is sending."""

    def __init__(self, outside: Outside, bots: Sequence[BotProcess], balancer: Balancer, database: str) -> None:
        self.outside = outside
        self.bots = bots
        self.balancer = balancer
        self._database = database

    @property
    def alive(self) -> list[BotProcess]:
        """Those that run and have answered."""
        return [bot for bot in self.bots if bot.alive]

    @property
    def polling(self) -> BotProcess | None:
        """The one that polls, None while nobody does."""
        said = {bot: bot.last_said(POLLS) for bot in self.alive}
        return max((bot for bot in said if said[bot]), key=lambda bot: said[bot], default=None)

    def sender(self, name: str | None) -> BotProcess:
        """The one that signs its SMS so."""
        return self.bots[int((name or "").removeprefix("replica"))]

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the database they share; while it is restarted, ask again."""
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(OSError, asyncpg.InterfaceError, *_RESTARTS):
                    connection = await asyncpg.connect(self._database)
                    try:
                        return [tuple(row) for row in await connection.fetch(query)]
                    finally:
                        await connection.close()
                await asyncio.sleep(0.1)


@asynccontextmanager
async def replicas(
    outside: Outside, transport: str, number: int, folder: Path, *, database_url: str, redis_url: str, **settings: str
) -> AsyncIterator[Replicas]:
    """Run so many processes on one PostgreSQL and one Valkey; with webhooks they stand behind a balancer."""
    shared = {
        "DATABASE_URL": database_url, "REDIS_URL": redis_url, "SECRET_KEY": "x" * 40,
        "GATEWAY_TIMEOUT": f"{GATEWAY_TIMEOUT}s", "OUTBOX_LEASE": f"{LEASE}s",
    }  # fmt: skip
    async with Balancer().served() as balancer, AsyncExitStack() as stack:
        bots: list[BotProcess] = []
        for n in range(number):
            place = folder / f"replica{n}"
            place.mkdir()
            own = shared | settings | {"SMSC_SENDER": f"replica{n}"}
            if transport == "webhook":
                own["WEBHOOK_URL"] = balancer.url
            bots.append(bot_process(outside, transport, place, **own))
        balancer.ports = [bot.port for bot in bots]
        for bot in bots:
            stack.push_async_callback(bot.end)
        await asyncio.gather(*(bot.start(STARTED_WITHIN) for bot in bots))
        yield Replicas(outside, bots, balancer, database_url)


class Killer:
    """Kills replicas with SIGKILL at random places of what happens, and starts each again at once.

    `victim` names whom a death may hit at any moment. `calls` bounds the calls to Telegram in which all deaths lie.
    """

    def __init__(
        self, replicas: Replicas, victim: Callable[[], BotProcess | None], kills: int, calls: int, chance: random.Random
    ) -> None:
        self.deaths: Counter[str] = Counter()
        self.left_in_sending: set[tuple[Any, ...]] = set()
        self._replicas = replicas
        self._api, self._smsc = replicas.outside.api, replicas.outside.smsc
        self._victim = victim
        self._looked_at = self._counted = 0
        self._chance = chance
        kinds = [self._any_time, self._an_update_was_given, self._a_code_is_being_sent]
        self._kinds = [kinds[n % 3] for n in range(kills)]
        chance.shuffle(self._kinds)
        self._moments = sorted(chance.sample(range(calls), kills))

    async def kills(self, seconds: float) -> None:
        """Kill and revive; raises TimeoutError when nothing happens for so many seconds."""
        async with asyncio.TaskGroup() as revivals:
            for moment, kind in zip(self._moments, self._kinds, strict=True):
                await until(lambda moment=moment: self.calls() >= moment, seconds)  # type: ignore[misc]
                victim = await kind()
                while victim is None:
                    await asyncio.sleep(0.02)
                    victim = self._victim()
                await victim.kill()
                self.deaths[kind.__name__.strip("_")] += 1
                self.left_in_sending |= set(await self._replicas.rows("SELECT id FROM sends WHERE state = 'sending'"))
                revivals.create_task(revived(victim))

    def calls(self) -> int:
        """How many calls there were, counted on from the last time: it is asked every few milliseconds."""
        for call in self._api.calls[self._looked_at :]:
            self._looked_at += 1
            self._counted += call.method != "getUpdates"
        return self._counted

    async def _any_time(self) -> BotProcess | None:
        await asyncio.sleep(self._chance.uniform(0, 0.05))
        return self._victim()

    async def _an_update_was_given(self) -> BotProcess | None:
        """From "not even read" to "answered"."""
        given, updates = self._replicas.balancer.given, self._api.updates
        known = len(given), len(updates)
        await self._unless_too_long(lambda: len(given) > known[0] or (not given and len(self._api.updates) > known[1]))
        await asyncio.sleep(self._chance.uniform(0, 0.02))
        if len(given) > known[0]:
            victim = self._replicas.bots[given[known[0]][1]]
            return victim if victim.alive else None
        return self._victim()

    async def _a_code_is_being_sent(self) -> BotProcess | None:
        """The carrier has it and has not answered yet: the worst moment for the ledger."""
        taken = len(self._smsc.messages)
        self._smsc.faults.append(Fault(takes=True, delay=SLOW_CARRIER))
        await self._unless_too_long(lambda: len(self._smsc.messages) > taken)
        if len(self._smsc.messages) == taken:
            return self._victim()
        sender = self._replicas.sender(self._smsc.messages[taken].sender)
        return sender if sender.alive else None

    async def _unless_too_long(self, happened: Callable[[], bool]) -> None:
        with contextlib.suppress(TimeoutError):
            await until(happened, 3)


async def revived(bot: BotProcess) -> None:
    """Start it as systemd does: again and again, while a store is away too."""
    for _ in range(20):
        with contextlib.suppress(AssertionError):
            await bot.start(STARTED_WITHIN)
            return
        await asyncio.sleep(0.5)
    raise AssertionError(bot.log.read_text()[-2000:])


async def a_few_at_a_time(number: int, works: Sequence[Callable[[], Awaitable[object]]]) -> None:
    """Do all these things, so many at once; the first that fails ends the others."""
    places = asyncio.Semaphore(number)

    async def one(work: Callable[[], Awaitable[object]]) -> None:
        async with places:
            await work()

    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(one(work))
