"""Until when: the moment said is the moment that counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Table, func, select

from handlers.moments import moment, seconds_until
from storage.tables import code_attempts, lookups, sends
from tests.journeys.stage import Registrant, Stage
from tests.sql import connected


def said(ira: Registrant, stage: Stage, at: datetime) -> str:
    """Return a moment as this person reads it."""
    return moment(at, stage.clock.now(), stage.settings.time_zone, ira.language)


async def oldest(stage: Stage, table: Table) -> datetime:
    """Return the moment of the oldest row."""
    async with connected(stage.app.stores.database) as connection:
        moments: list[datetime] = list((await connection.execute(select(table.c.at).order_by(table.c.at))).scalars())
        return moments[0]


EVENING = datetime(2026, 5, 4, 20, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("minutes", "language", "shown"),
    [
        (30, "ru", "23:30 (GMT+03:00)"),
        (59, "en", "23:59 (GMT+03:00)"),
        (60, "ru", "5 мая 00:00 (GMT+03:00)"),
        (90, "en", "5 May 00:30 (GMT+03:00)"),
    ],
)
def test_a_moment_is_the_zones_and_names_the_day_when_it_is_another(minutes: int, language: str, shown: str) -> None:
    at = EVENING + timedelta(minutes=minutes)
    assert moment(at, EVENING, ZoneInfo("Europe/Moscow"), language) == shown


@pytest.mark.parametrize(("left", "said_as"), [(60.0, 60), (59.01, 60), (1.0, 1), (0.2, 1), (0.0, 1), (-3.0, 1)])
def test_a_wait_is_rounded_up_and_never_nothing(left: float, said_as: int) -> None:
    assert seconds_until(EVENING + timedelta(seconds=left), EVENING) == said_as


async def test_the_end_of_the_account_is_said_when_one_stops(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_phone()
    stage.clock.move(hours=3, minutes=10)
    await ira.says("/cancel")
    account = await stage.app.stores.accounts.of(ira.id)
    assert account is not None
    ira.expects("menu-cancel-until", until=said(ira, stage, account.expires_at))


async def test_a_numbers_limit_says_when_it_opens_and_it_does(stage: Stage, language: str) -> None:
    for _ in range(3):
        attacker = stage.someone()
        await attacker.reaches_phone()
        await attacker.says("+79035550001")
        attacker.expects("registration-code-prompt")
    ira = stage.someone(language, phone="+79035550001")
    await ira.reaches_phone()
    stage.clock.move(minutes=20)
    await ira.says(ira.phone)
    opens = await oldest(stage, sends) + timedelta(hours=1)
    ira.expects("registration-phone-limit", until=said(ira, stage, opens))
    stage.clock.offset = timedelta(0)
    stage.clock.move(hours=1, seconds=1)
    await ira.says(ira.phone)
    ira.expects("registration-code-prompt")


async def test_the_limit_of_addresses_says_when_it_opens(stage: Stage) -> None:
    ira = stage.someone()
    await ira.says("/start")
    for n in range(5):
        await ira.says(f"a{n}@example.org")
        await ira.says("/back")
    stage.clock.move(hours=2)
    await ira.says("one.more@example.org")
    ira.expects("registration-email-limit", until=said(ira, stage, await oldest(stage, lookups) + timedelta(hours=24)))


async def test_too_many_wrong_codes_in_a_day_are_said_with_the_way_on(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_code()
    known = {await ira.code()}
    for n in range(10):
        if n == 5:
            stage.clock.move(minutes=2)
            await ira.presses(ira.label("button-resend"))
            known.add(await ira.code(count=2))
        await ira.says(next(code for code in ("000001", "000002", "000003") if code not in known))
    async with connected(stage.app.stores.database) as connection:
        assert (await connection.execute(select(func.count()).select_from(code_attempts))).scalar_one() == 10
    await ira.says("000004")
    opens = await oldest(stage, code_attempts) + timedelta(hours=24)
    ira.expects("registration-code-limit", until=said(ira, stage, opens))
    await ira.presses(ira.label("button-change-number"))
    await ira.taps(ira.label("button-share-contact"))
    ira.expects("registration-done")
