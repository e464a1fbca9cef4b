"""Pumping as people meet it: who asks too much is told how to go on, the operator is told what was closed (T1)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tests.journeys.stage import Registrant, Stage, on_stage
from tests.waiting import until

SUPPORT = 4242
RANGE = "+7916555"


async def support_of(stage: Stage) -> Registrant:
    support = Registrant(stage, stage.api.person(SUPPORT, language_code="ru"), "ru")
    await support.says("/start")
    return support


async def each_asks(stage: Stage, numbers: Sequence[str]) -> list[Registrant]:
    """As many people each ask for a code to one of these numbers; so few at once that a slow machine keeps up."""
    people, places = [stage.someone(phone=number) for number in numbers], asyncio.Semaphore(4)

    async def asks(person: Registrant) -> None:
        async with places:
            await person.reaches_phone()
            await person.says(person.phone)

    await asyncio.gather(*map(asks, people))
    return people


def sent(people: Sequence[Registrant]) -> int:
    """How many were sent a code; the others are told of the way on."""
    refused = [person for person in people if person.said(person.last(), "registration-phone-limit")]
    for person in people:
        if person not in refused:
            person.expects("registration-code-prompt")
    return len(people) - len(refused)


def arrived(stage: Stage) -> int:
    """How many SMS came to numbers of the range."""
    return sum(sms.number.startswith(RANGE) for sms in stage.smsc.messages)


async def test_t01_a_pumped_range_is_closed_its_owners_and_all_others_register(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with on_stage(database_url, redis_url, tmp_path, support_chat_id=SUPPORT) as stage:
        support = await support_of(stage)
        assert sent(await each_asks(stage, [f"{RANGE}{n:04}" for n in range(14)])) == 10
        # A code that has not left when its time is over is not sent, and counts for nothing.
        await until(lambda: arrived(stage) == 10)
        stage.clock.move(hours=1, seconds=1)
        assert sent(await each_asks(stage, [f"{RANGE}{n:04}" for n in range(14, 24)])) == 10
        await until(lambda: arrived(stage) == 20)
        assert not support.was_told("alert-prefix")
        stage.clock.move(hours=1, seconds=1)
        (owner,) = await each_asks(stage, [f"{RANGE}9999"])
        owner.expects("registration-phone-limit")
        await support.is_told("alert-prefix", range=f"{RANGE}****")
        await owner.taps(owner.label("button-share-contact"))
        owner.expects("registration-done")
        await stage.someone().registers()
        assert arrived(stage) == 20


async def test_a_pumped_country_is_closed_and_the_operator_told(
    sqlite_url: str, redis_url: str, tmp_path: Path
) -> None:
    # Twenty codes cost a little more than the tenth of it that they may cost.
    async with on_stage(sqlite_url, redis_url, tmp_path, support_chat_id=SUPPORT, daily_budget=80_000) as stage:
        support = await support_of(stage)
        assert sent(await each_asks(stage, [f"+7916{n:03}0000" for n in range(20)])) == 20
        (owner,) = await each_asks(stage, ["+79169990000"])
        owner.expects("registration-phone-limit")
        await support.is_told("alert-country", country="RU")
        await owner.taps(owner.label("button-share-contact"))
        owner.expects("registration-done")
