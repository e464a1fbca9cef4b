"""Must hold at any size: a small run of `python -m tests.process.endurance`, on stores that are restarted."""

from __future__ import annotations

import pytest

from tests.process.endurance import Plan, endure

PEOPLE = 60


@pytest.mark.timeout(400)
async def test_f20_f25_f27_f40_f44_replicas_die_and_stores_restart_and_the_books_are_right() -> None:
    outcome = await endure(Plan(people=PEOPLE, kills=4, within=350))
    print(outcome)
    assert outcome.wrong == []
    assert (outcome.accounts, outcome.events) == (PEOPLE, PEOPLE)
    assert outcome.restarts == ["PostgreSQL", "Redis"]
    assert sum(outcome.deaths.values()) == 4
    # It was not for nothing: Telegram had to give something again.
    assert outcome.given_again > 0
