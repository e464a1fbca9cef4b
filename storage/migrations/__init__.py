"""One chain of Alembic revisions for SQLite and PostgreSQL: what a database has, and bringing it up to this code's."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL

from storage.database import Database, normalise
from storage.engine import create_engine, create_sqlite_engine
from storage.statements import Connection

# Any constant will do, as long as every replica and every later version uses the same.
_MIGRATION_LOCK = 7_203_114_500_221
_HERE = Path(__file__).parent
# Alembic's own table, of which one row is used: the chain has no branches.
_NOTED = sa.table("alembic_version", sa.column("version_num", sa.Text))
_THERE_ON_POSTGRESQL = sa.select(sa.cast(sa.func.to_regclass(_NOTED.name), sa.Text))
_THERE_ON_SQLITE = sa.select(sa.column("name", sa.Text)).select_from(sa.table("sqlite_master"))
_THERE_ON_SQLITE = _THERE_ON_SQLITE.where(sa.column("name") == _NOTED.name)


class SchemaState(StrEnum):
    """How a database's schema stands to this code's."""

    EMPTY = "empty"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


async def migrate(url: str) -> None:
    """Bring a database up to this code's schema, in one transaction; nothing happens when it is there already.

    Several may start at once: they queue up (an advisory lock on PostgreSQL, a lock file beside a SQLite file).
    Raises StorageError, SQLAlchemyError, OSError.
    """
    database = normalise(url)
    if database.get_backend_name() == "postgresql":
        await _answers(url)
        await _migrate_postgresql(database)
    else:
        await asyncio.to_thread(_migrate_sqlite, database)


async def migrate_apart(url: str) -> None:
    """Do the same to a SQLite file in a process of its own: what migrating loads, 10 MB, leaves with it.

    Raises OSError with the reason in one line.
    """
    # Where this very package is found, wherever the bot was started.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, _file(url)), cwd=_HERE.parents[1],
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, told = await process.communicate()
    if process.returncode:
        raise ChildProcessError((told.decode(errors="replace").splitlines() or ["the migration was killed"])[-1])


def _file(url: str) -> str:
    return os.path.abspath(str(normalise(url).database))


async def _answers(url: str) -> None:
    """Raise StorageError when the database lets nobody in: SQLAlchemy leaves that to the driver's own errors."""
    database = Database(url)
    try:
        await database.ping()
    finally:
        await database.dispose()


async def _migrate_postgresql(database: URL) -> None:
    engine = create_engine(database)
    try:
        async with engine.begin() as conn:
            await conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            await conn.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _migrate_sqlite(database: URL) -> None:
    with _only_one(Path(str(database.database))), create_sqlite_engine(database).begin() as conn:
        _upgrade(conn)


async def schema_state(database: Database) -> SchemaState:
    """Tell how the database's schema stands to this code's; changes nothing and does not load Alembic."""
    found = await database.read(_revision)
    known = _known_revisions()
    if found is None:
        return SchemaState.EMPTY
    if found == known[-1]:
        return SchemaState.CURRENT
    return SchemaState.OLDER if found in known else SchemaState.NEWER


async def _revision(conn: Connection) -> str | None:
    """Return the revision that Alembic noted in the database, if any."""
    there = _THERE_ON_POSTGRESQL if conn.is_postgresql else _THERE_ON_SQLITE
    if (await conn.execute(there)).scalar_one_or_none() is None:
        return None
    noted: str | None = (await conn.execute(sa.select(_NOTED.c.version_num))).scalar_one_or_none()
    return noted


def _known_revisions() -> list[str]:
    """Return this code's revisions, the newest last: their files are named by them and numbered."""
    return sorted(path.stem[1:].partition("_")[0] for path in (_HERE / "versions").glob("r*.py"))


def _upgrade(connection: sa.Connection) -> None:
    # Not at the top: 0.1 s and 10 MB, which a start that finds its tables current need not spend.
    from alembic import command
    from alembic.config import Config

    config = Config()
    # A percent sign in a path would be read as an interpolation.
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_name(f"{path.name}.migrating"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
