"""Abuse and faults that need many at once or the same thing twice, on the real wiring (T8, T9, T13, F24, F30)."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, select

from storage.tables import accounts, applied_updates, code_attempts, sends
from tests.journeys.stage import Registrant, Stage, on_stage
from tests.ports import free_port
from tests.sql import connected

RACERS = 12


async def count(stage: Stage, *conditions: object, of: object = accounts) -> int:
    """Return how many rows there are."""
    async with connected(stage.app.stores.database) as connection:
        query = select(func.count()).select_from(of).where(*conditions)  # type: ignore[arg-type]
        return int((await connection.execute(query)).scalar_one())


async def test_t08_two_right_codes_at_once_confirm_once(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_code()
    code = await ira.code()
    await asyncio.gather(ira.person.send(code), ira.person.send(code))
    await ira.person.settled()
    ira.expects("registration-done")
    assert await count(stage, accounts.c.status == "confirmed") == 1
    assert await count(stage, of=code_attempts) == 1


async def test_t13_f30_one_update_ten_times_at_once_has_one_effect_and_one_answer(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    port = free_port()
    hook = {"webhook_url": f"http://127.0.0.1:{port}", "http_port": port}
    async with on_stage(database_url, redis_url, tmp_path, **hook) as stage:
        ira = stage.someone()
        await ira.reaches_phone()
        await ira.says(ira.phone)
        update = stage.api.updates[-1]
        heard = ira.heard()
        bodies = await stage.api.redeliver(update.id, times=10, parallel=True)
        assert len(bodies) == 10
        assert len(set(bodies)) == 1
        assert ira.said(json.loads(bodies[0])["text"], "registration-code-prompt")
        await stage.smsc.wait_for(ira.phone)
        assert await count(stage, of=sends) == 1
        code = await ira.code()
        await ira.says(wrong(code))
        await stage.api.redeliver(stage.api.updates[-1].id, times=10, parallel=True)
        await ira.says(wrong(code))
        ira.expects("registration-code-wrong", 3)
        await ira.says(code)
        ira.expects("registration-done")
        assert Counter(ira.heard())[heard[-2]] == 1, "what goes by HTTP is not said again"
        assert len(stage.smsc.messages) == 1


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


async def test_f30_after_redis_forgot_the_update_sql_remembers_it(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    port = free_port()
    hook = {"webhook_url": f"http://127.0.0.1:{port}", "http_port": port}
    async with on_stage(database_url, redis_url, tmp_path, **hook) as stage:
        ira = stage.someone()
        await ira.reaches_code()
        code = await ira.code()
        await ira.says(wrong(code))
        update = stage.api.updates[-1]
        await stage.app.stores.redis.flushall()
        (body,) = await stage.api.redeliver(update.id, times=1, parallel=False)
        assert ira.said(json.loads(body)["text"], "registration-code-wrong", 4)
        assert await count(stage, of=code_attempts) == 1
        assert await count(stage, applied_updates.c.update_id == update.id, of=applied_updates) == 1
        await ira.says(code)
        ira.expects("registration-done")


async def test_f24_twelve_race_for_one_address_and_all_finish(stage: Stage) -> None:
    people = [stage.someone("ru" if number % 2 else "en") for number in range(RACERS)]
    own = [person.email for person in people]
    for person in people:
        person.email = own[0]
    await asyncio.gather(*(person.reaches_code() for person in people))
    codes = [await person.code() for person in people]
    await asyncio.gather(*(person.says(code) for person, code in zip(people, codes, strict=True)))
    assert await count(stage, accounts.c.status == "confirmed") == 1
    losers = [(person, email) for person, email in zip(people, own, strict=True) if not is_done(person)]
    assert len(losers) == RACERS - 1
    for person, email in losers:
        await person.says("/start")
        await person.says("free" + email)
        # Not the newest message: the notice of the lost address may come after it.
        assert person.was_told("registration-done")
    assert len(stage.smsc.messages) == RACERS


async def test_f24_twelve_race_for_one_number_and_all_finish(database_url: str, redis_url: str, tmp_path: Path) -> None:
    limits = {"sends_per_number": "100/1h", "sends_per_prefix": "100/1h", "prefix_evidence": "100/1h"}
    async with on_stage(database_url, redis_url, tmp_path, **limits) as stage:
        people = [stage.someone() for _ in range(RACERS)]
        shared = people[0].phone
        codes: list[str] = []
        for number, person in enumerate(people, start=1):
            await person.reaches_phone()
            await person.says(shared)
            codes.append(await person.code(shared, number))
        await asyncio.gather(*(person.says(code) for person, code in zip(people, codes, strict=True)))
        assert await count(stage, accounts.c.status == "confirmed") == 1
        for number, person in enumerate(people):
            if is_done(person):
                continue
            other = f"+7903{number:07d}"
            await person.says("/start")
            # A notice may come at any moment, so the newest message need not be the answer.
            assert person.was_told("registration-phone-prompt")
            await person.says(other)
            await person.says(await person.code(other))
            assert person.was_told("registration-done")
        assert await count(stage, accounts.c.status == "confirmed") == RACERS


def is_done(person: Registrant) -> bool:
    return person.was_told("registration-done")


@pytest.mark.parametrize("language", ["ru", "en"])
async def test_the_whole_way_by_webhook(database_url: str, redis_url: str, tmp_path: Path, language: str) -> None:
    port = free_port()
    hook = {"webhook_url": f"http://127.0.0.1:{port}", "http_port": port}
    async with on_stage(database_url, redis_url, tmp_path, **hook) as stage:
        ira = stage.someone(language)
        await ira.registers()
        assert all(
            call.via == "webhook" for call in stage.api.calls if ira.said(str(call), "registration-email-prompt")
        )
