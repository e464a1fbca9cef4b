"""F33, F37: hundreds of updates wait while the bot is down, and the next one receives in the other way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.journeys.stage import Outside, Registrant
from tests.process.conftest import bot_process

PEOPLE = 60
# Seconds, for all of them together on a machine that does other things too.
CAUGHT_UP_WITHIN = 150
UNTIL_THE_CODE = ("email-prompt", "terms-prompt", "terms-prompt", "phone-prompt", "code-prompt")

pytestmark = pytest.mark.timeout(3 * CAUGHT_UP_WITHIN + 200)


async def writes_all_at_once(ira: Registrant) -> None:
    """Everything up to the code, typed without waiting for an answer; every button has its word."""
    yes = {"ru": "да", "en": "yes"}[ira.language]
    for text in ("/start", ira.email, yes, ira.label("button-register"), ira.phone):
        await ira.person.send(text)


def told_in_order(ira: Registrant, *keys: str) -> bool:
    """Tell whether these texts came in this order, each as often as it stands here."""
    told = [key for text in ira.heard() for key in dict.fromkeys(keys) if ira.said(text, key)]
    return told == list(keys)


async def test_f33_f37_a_backlog_is_worked_off_in_order_after_each_switch(outside: Outside, tmp_path: Path) -> None:
    api, people = outside.api, [outside.someone("ru" if number % 2 else "en") for number in range(PEOPLE)]
    by_webhook, by_polling = (bot_process(outside, transport, tmp_path) for transport in ("webhook", "polling"))

    async def caught_up() -> None:
        await asyncio.gather(*(ira.person.settled(CAUGHT_UP_WITHIN) for ira in people))

    for ira in people:
        await writes_all_at_once(ira)
    assert len(api.queue.pending()) == 5 * PEOPLE
    expected = [f"registration-{key}" for key in UNTIL_THE_CODE]
    async with by_webhook:
        await caught_up()
        assert all(told_in_order(ira, *expected) for ira in people)
        codes = [await ira.code() for ira in people]
        assert await by_webhook.stop() < 10
    assert not [delivery for delivery in api.deliveries if delivery.status != 200]

    # To polling, with what was tried by webhook in between still waiting.
    for ira, code in zip(people, codes, strict=True):
        await ira.person.send(code)
        await ira.person.send("/help")
    expected += ["registration-done", "menu-help"]
    assert len(api.queue.pending()) == 2 * PEOPLE
    async with by_polling:
        await caught_up()
        assert all(told_in_order(ira, *expected) for ira in people)
        assert await by_polling.stop() < 10

    # And back.
    for ira in people:
        await ira.person.send("/privacy")
    expected += ["menu-privacy"]
    async with by_webhook:
        await caught_up()
        assert all(told_in_order(ira, *expected) for ira in people)
        assert await by_webhook.stop() < 10
    assert [len(outside.smsc.inbox(ira.phone)) for ira in people] == [1] * PEOPLE
