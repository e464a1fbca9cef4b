"""SQLite's log is copied into the file beside who writes, and stays small however long they go on."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

from storage.database import Database
from storage.statements import Connection
from storage.tables import event_stops
from tests.waiting import until

PAGE = 4096


async def write(database: Database, name: str) -> None:
    async def work(conn: Connection) -> None:
        await conn.execute(conn.insert(event_stops).values(receiver=name, at=database._clock.now()))

    await database.write(None, work)


def pages(path: Path) -> int:
    return path.with_name(f"{path.name}-wal").stat().st_size // PAGE


async def test_the_log_stays_small_while_somebody_writes_on_and_on(sqlite_url: str) -> None:
    """80 MB of log in all; a commit would copy it at 64 MB, and everybody would wait."""
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    database, filling = Database(sqlite_url), "x" * 20_000
    try:
        for n in range(10):
            for part in range(200):
                await write(database, f"{n} {part} {filling}")
            await until(lambda: copied(path), 10)
        assert pages(path) < 6_000
    finally:
        await database.dispose()


def copied(path: Path) -> bool:
    """Whether the file alone holds everything."""
    raw = sqlite3.connect(path)
    try:
        _, log, done = raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return bool(log == done)
    finally:
        raw.close()


async def test_a_reader_who_stays_holds_nobody_up(sqlite_url: str) -> None:
    """What somebody still looks at, as a backup does, cannot be copied over; the log grows, and shrinks afterwards."""
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    database, backup = Database(sqlite_url), sqlite3.connect(path, isolation_level=None)
    try:
        backup.execute("BEGIN")
        backup.execute("SELECT count(*) FROM accounts").fetchone()
        async with asyncio.timeout(20):
            for n in range(300):
                await write(database, f"{n} {'x' * 20_000}")
        backup.execute("COMMIT")
        await until(lambda: copied(path), 10)
    finally:
        backup.close()
        await database.dispose()


async def test_nothing_of_it_is_left_when_the_database_is_closed(sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    database = Database(sqlite_url)
    await write(database, "one")
    # It begins when those who wrote are answered already.
    await until(lambda: any(thread.name == "checkpoints" for thread in threading.enumerate()))
    await database.dispose()
    assert not any(thread.name == "checkpoints" for thread in threading.enumerate())
    assert not path.with_name(f"{path.name}-wal").exists()
    # It may be used again.
    await write(database, "two")
    await database.dispose()
