"""`python -m bot cleanup` as an operator runs it, alone and beside serving processes."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage.database import Database
from storage.migrations import migrate
from storage.models import AccountStatus
from storage.tables import accounts, outbox
from tests.journeys.stage import Outside
from tests.process.conftest import bot_process
from tests.sql import connected
from tests.waiting import until

ROOT = Path(__file__).parents[2]
WITHIN = 60
EXPIRED, SOON, YOUNG = 130, 7, 5


async def cleanup(*arguments: str, settings: dict[str, str]) -> tuple[int, list[str], str]:
    """Return the exit code, what was printed, and what stands on stderr."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "cleanup", *arguments, cwd=ROOT, env=kept | settings,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), WITHIN)
    assert process.returncode is not None
    return process.returncode, out.decode().splitlines(), err.decode()


@asynccontextmanager
async def people(url: str) -> AsyncIterator[Database]:
    """A database with people whose day is over, is nearly over and has begun."""
    await migrate(url)
    database, now = Database(url), datetime.now(UTC)
    begun = [now - timedelta(hours=25)] * EXPIRED + [now - timedelta(hours=22)] * SOON + [now] * YOUNG
    rows = [
        {
            "id": database.new_id(), "telegram_id": 1000 + n, "status": AccountStatus.PENDING.value, "language": "ru",
            "email": f"person{n}@example.org", "email_verified": False, "created_at": at,
            "expires_at": at + timedelta(hours=24), "blocked_at": now if n == 0 else None,
        }
        for n, at in enumerate(begun)
    ]  # fmt: skip
    async with connected(database) as conn:
        await conn.execute(sa.insert(accounts), rows)
    yield database
    await database.dispose()


async def left(database: Database) -> tuple[int, int]:
    """How many accounts there are, and how many notices are queued."""
    async with connected(database) as conn:
        count = (await conn.execute(sa.select(sa.func.count()).select_from(accounts))).scalar_one()
        notices = (await conn.execute(sa.select(sa.func.count()).where(outbox.c.kind == "notice"))).scalar_one()
    return count, notices


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """On one machine with what is embedded, or on servers."""
    given = {"DATA_DIR": str(tmp_path / "data"), "SECRET_KEY": "s" * 40, "CLEANUP_BATCH": "40"}
    if request.param == "postgresql":
        given["DATABASE_URL"] = str(request.getfixturevalue("postgresql_url"))
        given["REDIS_URL"] = str(request.getfixturevalue("redis_url"))
    return given


def url_of(settings: dict[str, str]) -> str:
    return settings.get("DATABASE_URL") or f"sqlite:///{settings['DATA_DIR']}/bot.db"


async def test_a_dry_run_tells_and_changes_nothing(settings: dict[str, str]) -> None:
    async with people(url_of(settings)) as database:
        code, lines, err = await cleanup("--dry-run", settings=settings)
        assert (code, err) == (0, "")
        assert lines[0].startswith(f"would remind {SOON} accounts, in 1 batches or more; the oldest ends at 20")
        assert lines[1].startswith(f"would delete {EXPIRED} accounts, in 4 batches or more; the oldest ended at 20")
        assert lines[2] == f"would tell {EXPIRED - 1} of the deleted; the others have blocked the bot"
        assert "example.org" not in "".join(lines)
        assert await left(database) == (EXPIRED + SOON + YOUNG, 0)


async def test_a_cleanup_does_it_at_once(settings: dict[str, str]) -> None:
    async with people(url_of(settings)) as database:
        code, lines, err = await cleanup(settings=settings)
        assert (code, [line for line in err.splitlines() if '"error"' in line]) == (0, [])
        assert lines[-1].startswith(f"done: {SOON} reminded, {EXPIRED} unconfirmed accounts deleted, ")
        assert len(lines) > 1, "progress is told before the end"
        assert await left(database) == (SOON + YOUNG, SOON + EXPIRED - 1)
        assert (await cleanup(settings=settings))[1] == ["nothing was due"]


async def test_on_a_terminal_one_line_is_written_over(settings: dict[str, str]) -> None:
    async with people(url_of(settings)):
        ours, theirs = pty.openpty()
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", "cleanup", cwd=ROOT, env=kept | settings, stdout=theirs,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs)
        assert await asyncio.wait_for(process.wait(), WITHIN) == 0
        said = os.read(ours, 100_000).decode()
        os.close(ours)
    assert said.count("\n") == 1
    assert said.count("\r") > 3
    assert said.rstrip().rpartition("\r")[2].startswith("done: ")


async def test_without_a_database_it_is_one_line(tmp_path: Path) -> None:
    url = "postgresql://bot:hidden-word@127.0.0.1:1/bot"
    given = {"DATA_DIR": str(tmp_path), "SECRET_KEY": "s" * 40, "DATABASE_URL": url}
    code, lines, err = await cleanup(settings=given)
    assert (code, lines) == (1, [])
    assert err.startswith("error: DATABASE_URL: ")
    assert err.count("\n") == 1
    assert "hidden-word" not in err


async def test_beside_a_serving_bot_the_person_begins_anew(
    outside: Outside, tmp_path: Path, settings: dict[str, str]
) -> None:
    """Somebody in the middle of the conversation, whose day an operator's cleanup ends; nobody is deleted twice."""
    bot = bot_process(outside, "polling", tmp_path, **settings, CLEANUP_EVERY="24h")
    async with bot:
        ira = outside.someone()
        await ira.reaches_phone()
        database = Database(url_of(settings))
        async with connected(database) as conn:
            await conn.execute(sa.update(accounts).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
        await database.dispose()
        results = await asyncio.gather(*(cleanup(settings=bot._settings) for _ in range(2)))
        assert [code for code, _, _ in results] == [0, 0], results
        assert sum(" 1 unconfirmed accounts deleted" in lines[-1] for _, lines, _ in results) == 1
        await until(lambda: ira.was_told("notice-expired"), 20)
        await ira.registers()
