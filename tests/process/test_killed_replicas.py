"""F40 on several replicas: they are killed at random while two hundred people register, and everybody finishes."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.practice import LocalBotAPI
from bot.practice.webhook import Pace
from tests.fakes.smsc import FakeSmsc
from tests.journeys.stage import Outside
from tests.process.bot_process import forgive_harmless
from tests.process.replicas import Killer, Replicas, a_few_at_a_time, replicas
from tests.process.walker import STEPS, Walker
from tests.waiting import until

PEOPLE = 200
AT_ONCE = 30
SEED = 40
KILLS = 20
# Each leaves people waiting for the lease, ten seconds and what a standby takes to look.
KILLS_OF_THE_POLLING_ONE = 5
# A registration takes eight calls to Telegram at least; the deaths lie in the first seven eighths of them.
CALLS_IN_WHICH_TO_KILL = PEOPLE * 7
# Seconds. One answer may wait for a lock that a dead process left, for the next one to poll, for a slow machine.
ANSWERED_WITHIN = 120
EVERYBODY_FINISHES_WITHIN = 500

pytestmark = pytest.mark.timeout(EVERYBODY_FINISHES_WITHIN + 100)


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    """Telegram, which tries again soon, and a carrier that would deliver the same text twice."""
    api = LocalBotAPI(pace=Pace(pause=0.5, longest_pause=2))
    smsc = FakeSmsc(clock=itertools.count(0, 1000).__next__)
    await api.start()
    await smsc.start()
    yield Outside(api, smsc)
    await api.stop()
    await smsc.stop()


async def test_f40_three_replicas_by_webhook(
    outside: Outside, postgresql_url: str, redis_url: str, tmp_path: Path
) -> None:
    chance = random.Random(f"{SEED} webhook")
    async with replicas(outside, "webhook", 3, tmp_path, database_url=postgresql_url, redis_url=redis_url) as three:
        killer = Killer(
            three, lambda: chance.choice(three.alive) if three.alive else None, KILLS, CALLS_IN_WHICH_TO_KILL, chance
        )
        people = await everybody_registers(three, killer)
        await the_books_are_right(three, killer, people)
        # Said again only where Telegram had to give the update again; and it gave every one of them to somebody.
        tries = three.balancer.tries
        assert tries.keys() == {update.id for update in outside.api.updates}
        for walker in people:
            given_again = sum(tries[update.id] - 1 for update in outside.api.updates if update.author == walker.ira.id)
            assert len(said_twice(walker)) <= given_again


async def test_f40_one_polls_and_two_stand_by(
    outside: Outside, postgresql_url: str, redis_url: str, tmp_path: Path
) -> None:
    chance = random.Random(f"{SEED} polling")
    async with replicas(outside, "polling", 3, tmp_path, database_url=postgresql_url, redis_url=redis_url) as three:
        killer = Killer(three, lambda: three.polling, KILLS_OF_THE_POLLING_ONE, CALLS_IN_WHICH_TO_KILL, chance)
        people = await everybody_registers(three, killer)
        await the_books_are_right(three, killer, people)
        # What was in hand when the polling one died: at most one answer for each of those who wrote at once.
        assert sum(map(len, map(said_twice, people))) <= KILLS_OF_THE_POLLING_ONE * AT_ONCE


def said_twice(walker: Walker) -> list[str]:
    """Return what this person was told once more right after they were told it."""
    return [text for text, next_one in itertools.pairwise(walker.story()) if text == next_one]


async def everybody_registers(three: Replicas, killer: Killer) -> list[Walker]:
    """Let two hundred people register, each step once, while replicas die; the first two of them are undisturbed."""
    people = [Walker(three.outside.someone("ru" if number % 2 else "en")) for number in range(PEOPLE)]
    walks = [lambda walker=walker: walker.walks(len(STEPS), ANSWERED_WITHIN) for walker in people]
    async with asyncio.timeout(EVERYBODY_FINISHES_WITHIN):
        await a_few_at_a_time(2, walks[:2])
        async with asyncio.TaskGroup() as group:
            group.create_task(killer.kills(ANSWERED_WITHIN))
            group.create_task(a_few_at_a_time(AT_ONCE, walks[2:]))
    return people


async def the_books_are_right(three: Replicas, killer: Killer, people: list[Walker]) -> None:
    """One account each, confirmed; one SMS each, and a second only where a process died while it sent the first."""

    async def nothing_is_left() -> bool:
        return not await three.rows("SELECT id FROM outbox WHERE status = 'new'")

    await until(nothing_is_left, 60)
    kept = await three.rows("SELECT telegram_id, status, email, phone FROM accounts")
    assert sorted(kept) == sorted((w.ira.id, "confirmed", w.ira.email, w.ira.phone) for w in people)
    assert await three.rows("SELECT id FROM sends WHERE state IN ('queued', 'sending')") == []

    smsc = three.outside.smsc
    inboxes = [smsc.inbox(walker.ira.phone) for walker in people]
    assert all(1 <= len(inbox) <= 2 and len(set(inbox)) == 1 for inbox in inboxes), inboxes
    assert len(await three.rows("SELECT id FROM sends")) == PEOPLE
    repeated = await three.rows("SELECT id FROM sends WHERE repeated")
    assert set(repeated) <= killer.left_in_sending
    assert sum(map(len, inboxes)) - PEOPLE <= len(repeated)

    undisturbed = {walker.ira.language: walker.story() for walker in people[:2]}
    confusing = [walker.story() for walker in people if walker.story_told_once() != undisturbed[walker.ira.language]]
    assert confusing == []
    said_again = sum(map(len, map(said_twice, people)))
    print(
        f"{PEOPLE} people, deaths {dict(killer.deaths)}, {len(killer.left_in_sending)} codes left in sending,"
        f" {len(repeated)} sent again, {said_again} texts said again,"
        f" refused harmlessly: {Counter(forgive_harmless(three.outside.api))}"
    )
    assert three.outside.api.refusals == []
