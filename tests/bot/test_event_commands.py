"""`python -m bot events`, as an operator runs it beside a bot that serves the same file."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from storage.database import Database
from storage.event_queue import EventQueue
from storage.tables import event_stops, outbox
from tests.sql import connected
from tests.storage.world import NUMBER, OTHER_NUMBER, World

ROOT = Path(__file__).parents[2]


async def run(folder: Path, url: str, *arguments: str) -> tuple[int, list[str], list[str]]:
    """Run the command to its end; return its exit code and what it printed to stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "importtime", "-m", "bot", "events", *arguments, cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(folder), "DATABASE_URL": url, "SECRET_KEY": "s" * 32},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    lines = err.decode().splitlines()
    loaded = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert loaded.isdisjoint({"aiogram", "aiohttp", "alembic"})
    assert process.returncode is not None
    return process.returncode, out.decode().splitlines(), [line for line in lines if not line.startswith("import")]


@pytest.fixture
async def ids(database: Database, database_url: str) -> list[UUID]:
    """One event put aside, one behind it, one that waits for its time."""
    world = World(database, told=True)
    world.clock.moment = datetime.now(UTC)
    queue = EventQueue(database, timedelta(seconds=60))
    ira = world.person(1)
    await ira.registers(NUMBER)
    (first,) = await queue.take("one", world.now, 1)
    await queue.give_up(first, "one", "HTTP 500", world.now)
    await world.accounts.erase(ira.update(), world.now)
    await world.person(2).registers(OTHER_NUMBER)
    (third,) = await queue.take("one", world.now, 1)
    await queue.retry(third.id, "one", world.now + timedelta(hours=5), "HTTP 503")
    rows = await world.rows(outbox, outbox.c.kind == "event")
    (second,) = [row.id for row in rows if row.id not in (first.id, third.id)]
    return [first.id, second, third.id]


async def test_events_are_listed_without_anybodys_data(ids: list[UUID], database_url: str, tmp_path: Path) -> None:
    code, out, errors = await run(tmp_path, database_url, "list")
    assert (code, errors) == (0, [])
    *events, total = out
    assert [UUID(line.split()[0]) for line in events] == ids
    assert "put aside, tries: 1 (HTTP 500)" in events[0]
    assert "registration.deleted" in events[1]
    assert events[1].endswith("waits for an earlier one of its account")
    assert "tries: 1, next at 20" in events[2]
    assert total == "3 not taken yet"
    assert not any(secret in line for line in out for secret in (NUMBER, OTHER_NUMBER, "example.org"))
    code, out, _ = await run(tmp_path, database_url, "list", "--dead")
    assert (code, len(out), out[-1]) == (0, 2, "1 put aside")


async def test_events_are_sent_again(ids: list[UUID], database: Database, database_url: str, tmp_path: Path) -> None:
    code, out, errors = await run(tmp_path, database_url, "replay", str(ids[2]))
    assert (code, out, len(errors)) == (1, [], 1)
    assert "list --dead" in errors[0]
    assert await run(tmp_path, database_url, "replay", str(ids[0])) == (0, ["1 will be sent again"], [])
    assert await run(tmp_path, database_url, "replay", "--all") == (0, ["0 will be sent again"], [])
    # The command's clock is the machine's or the database's: never more than a moment ahead.
    soon = datetime.now(UTC) + timedelta(seconds=5)
    (event,) = await EventQueue(database, timedelta(seconds=60)).take("one", soon, 9)
    assert (event.id, event.attempts) == (ids[0], 1)


async def test_a_stop_is_shown_and_resumed(database: Database, database_url: str, tmp_path: Path) -> None:
    async with connected(database) as conn:
        await conn.execute(event_stops.insert().values(receiver="crm", at=datetime.now(UTC)))
    _, out, _ = await run(tmp_path, database_url, "list")
    assert out[0].startswith("stopped since 20")
    assert await run(tmp_path, database_url, "resume") == (0, ["events are sent again"], [])
    assert await run(tmp_path, database_url, "resume") == (0, ["events were not stopped"], [])


@pytest.mark.parametrize("arguments", [[], ["replay"], ["replay", "x"], ["replay", "--all", str(UUID(int=1))]])
async def test_a_mistyped_command_is_refused(arguments: list[str], tmp_path: Path) -> None:
    code, _, _ = await run(tmp_path, "", *arguments)
    assert code == 2


async def test_tables_of_another_version_are_one_line(tmp_path: Path) -> None:
    code, _, errors = await run(tmp_path, f"sqlite:///{tmp_path}/none.db", "list")
    assert code == 1
    assert errors == ["error: DATABASE_URL: the tables are not this version's; run: python -m bot migrate"]
    code, _, errors = await run(tmp_path, "postgresql://u:hunter2@127.0.0.1:1/x", "list")
    assert (code, len(errors)) == (1, 1)
    assert "hunter2" not in errors[0]
