"""`python -m bot partner` and `promo`, as an operator runs them beside a bot that serves the same database."""

from __future__ import annotations

import asyncio
import os
import sys
from argparse import Namespace
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot import partner_commands, promo_commands
from bot.failures import StartFailed
from bot.practice import LocalBotAPI
from bot.settings import Settings
from storage.database import Database
from storage.promo_codes import PromoCode
from tests.storage.world import World

ROOT = Path(__file__).parents[2]


async def run(
    folder: Path, url: str, *arguments: str, settings: Mapping[str, str] | None = None
) -> tuple[int, list[str], list[str]]:
    """Run the command to its end; return its exit code and what it printed to stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "importtime", "-m", "bot", *arguments, cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(folder), "DATABASE_URL": url, "SECRET_KEY": "s" * 32}
        | dict(settings or {}),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    lines = err.decode().splitlines()
    loaded = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert loaded.isdisjoint({"aiogram", "aiohttp", "alembic"})
    assert process.returncode is not None
    return process.returncode, out.decode().splitlines(), [line for line in lines if not line.startswith("import")]


async def test_a_partner_is_made_with_a_campaign_and_listed_with_what_came_of_it(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    code, out, errors = await run(
        tmp_path, database_url, "partner", "add", " Ivan  & Co", "--telegram-id", "777", "--campaign", "=summer"
    )
    assert (code, errors) == (0, [])
    assert out[0] == "Ivan & Co  Telegram id 777, who sees the numbers with /partner"
    world = World(database)
    ivan = await world.campaigns.partner_of(777)
    assert ivan is not None
    (summer,) = await world.campaigns.of_partner(ivan.id)
    assert out[1] == f"=summer  r_{summer.code}  https://t.me/<bot>?start=r_{summer.code}"
    assert "/partner" in out[2]
    world.clock.moment = datetime.now(UTC)
    await world.attribution.touch(1, summer.id, world.now)
    await world.clicks.count_click(summer.id, b"1" * 16, world.now)
    code, out, errors = await run(tmp_path, database_url, "partner", "list")
    assert (code, errors) == (0, [])
    numbers = "clicks 1, starts 1, email 0, terms 0, phone 0, confirmed 0"
    assert [line.strip() for line in out if "1, starts 1" in line] == [numbers, f"in all: {numbers}"]
    assert out[-2] == "1 partner"
    assert [line for line in out if line.startswith("<bot>: ")] == out[-1:]


async def test_links_are_whole_where_telegram_tells_the_bots_name(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    api = LocalBotAPI()
    await api.start()
    try:
        known = {"BOT_TOKEN": api.token, "TELEGRAM_API_BASE": api.base_url, "SMS_GATEWAYS": "console"}
        await run(tmp_path, database_url, "partner", "add", "Ivan")
        code, out, errors = await run(tmp_path, database_url, "partner", "campaign", "Ivan", "summer", settings=known)
        assert (code, errors, len(out)) == (0, [], 1)
        assert "https://t.me/practice_bot?start=r_" in out[0]
    finally:
        await api.stop()
    code, out, errors = await run(tmp_path, database_url, "partner", "list", settings=known)
    assert (code, errors) == (0, [])
    assert "https://t.me/<bot>?start=r_" in out[1]
    assert api.token not in "".join(out)


async def test_another_person_is_given_the_numbers(database: Database, database_url: str, tmp_path: Path) -> None:
    world = World(database)
    await world.campaigns.add_partner("Ivan", None, world.now)
    assert (await run(tmp_path, database_url, "partner", "assign", "Ivan", "778"))[0] == 0
    now_theirs = await world.campaigns.partner_of(778)
    assert now_theirs is not None
    assert now_theirs.name == "Ivan"


def partner(action: str, *names: str, **options: str) -> Namespace:
    """What the command line makes of these words."""
    order = {"add": ["name"], "assign": ["name", "telegram_id"], "campaign": ["name", "campaign"]}[action]
    given = dict.fromkeys(("telegram_id", "campaign"), None) | dict(zip(order, names, strict=True)) | options
    return Namespace(action=action, **given)


def promo(code: str, *, uses: str | None = None, per_person: str = "1", **days: str) -> Namespace:
    return Namespace(
        action="add", code=code, uses=uses, per_person=per_person, begins=days.get("begins"), ends=days.get("ends")
    )


def settings_of(url: str, folder: Path) -> Settings:
    return Settings(database_url=url, data_dir=folder, secret_key="s" * 32)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (partner("add", "Ivan"), "Ivan: there is a partner of that name"),
        (partner("add", "Olga", telegram_id="777"), "that person is the partner Ivan already"),
        (partner("add", "Olga", telegram_id="-100"), "'-100' is no person's id"),
        (partner("add", " "), "' ' is no name"),
        (partner("add", "x" * 41), "is no name; write one line of 40 characters"),
        (partner("add", "Olga", campaign="a\x07b"), r"'a\x07b' is no name"),
        (partner("campaign", "Ivan", "summer"), "summer: Ivan has a campaign of that name"),
        (partner("campaign", "Olga", "summer"), "Olga: there is no partner of that name"),
        (partner("assign", "Olga", "5"), "Olga: there is no partner of that name"),
        (partner("assign", "Petr", "777"), "that person is the partner Ivan already"),
        (partner("assign", "Petr", "x"), "'x' is no person's id"),
    ],
)
async def test_what_cannot_be_done_is_one_line_and_changes_nothing(
    sqlite_url: str, tmp_path: Path, arguments: Namespace, says: str
) -> None:
    database = Database(sqlite_url)
    world = World(database)
    ivan = await world.campaigns.add_partner("Ivan", 777, world.now)
    await world.campaigns.add_partner("Petr", None, world.now)
    await world.campaigns.add(ivan.id, "summer", world.now)
    before = await world.everything()
    with pytest.raises(StartFailed) as failed:
        await partner_commands.run(settings_of(sqlite_url, tmp_path), arguments)
    assert says in str(failed.value)
    assert "\n" not in str(failed.value)
    assert await world.everything() == before
    await database.dispose()


async def test_a_promo_code_is_made_for_whole_days_and_listed(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    year = datetime.now(UTC).year + 1
    days = ["--from", f"{year}-01-01", "--until", f"{year}-01-31"]
    given = ["promo", "add", "summer-5", "--uses", "10", "--per-person", "2", *days]
    code, out, errors = await run(tmp_path, database_url, *given, settings={"TIME_ZONE": "Asia/Almaty"})
    assert (code, errors) == (0, [])
    assert "?start=p_SUMMER-5" in out[1]
    (kept,) = await World(database).promo_codes.all()
    five = timedelta(hours=5)
    assert kept.valid_from == datetime(year, 1, 1, tzinfo=UTC) - five
    assert kept.valid_until == datetime(year, 2, 1, tzinfo=UTC) - five
    assert (kept.code, kept.max_uses, kept.per_person, kept.used) == ("SUMMER-5", 10, 2, 0)
    assert (await run(tmp_path, database_url, "promo", "add", "plain"))[0] == 0
    _, out, _ = await run(tmp_path, database_url, "promo", "list", settings={"TIME_ZONE": "Asia/Almaty"})
    assert out == [
        f"SUMMER-5  used 0 of 10, 2 per person, from {year}-01-01 until {year}-01-31",
        "PLAIN  used 0, 1 per person, at any time",
        "2 promo codes",
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (promo("summer"), "SUMMER: there is such a promo code"),
        (promo("two words"), "'two words' is no promo code; write 1 to 20"),
        (promo("x" * 21), "is no promo code"),
        (promo("CODE", uses="0"), "--uses: '0' is no number of uses"),
        (promo("CODE", per_person="many"), "--per-person: 'many' is no number"),
        (promo("CODE", begins="1.12.2026"), "--from: '1.12.2026' is no date; write it as 2026-12-31"),
        (promo("CODE", ends="2027-02-30"), "--until: '2027-02-30' is no date"),
        (promo("CODE", ends="2020-01-01"), "--until: 2020-01-01 is over"),
        (promo("CODE", begins="2950-01-02", ends="2950-01-01"), "--until: 2950-01-01 is before --from 2950-01-02"),
    ],
)
async def test_a_promo_code_that_cannot_be_made_is_one_line(
    sqlite_url: str, tmp_path: Path, arguments: Namespace, says: str
) -> None:
    database = Database(sqlite_url)
    world = World(database)
    await world.promo_codes.add(PromoCode("SUMMER"), world.now)
    with pytest.raises(StartFailed) as failed:
        await promo_commands.run(settings_of(sqlite_url, tmp_path), arguments)
    assert says in str(failed.value)
    assert "\n" not in str(failed.value)
    assert [code.code for code in await world.promo_codes.all()] == ["SUMMER"]
    await database.dispose()


async def test_another_version_of_the_tables_and_a_word_too_few_are_one_line(tmp_path: Path) -> None:
    code, _, errors = await run(tmp_path, f"sqlite:///{tmp_path}/none.db", "partner", "list")
    assert (code, errors) == (
        1, ["error: DATABASE_URL: the tables are not this version's; run: python -m bot migrate"]
    )  # fmt: skip
    assert (await run(tmp_path, "", "promo", "add"))[0] == 2
