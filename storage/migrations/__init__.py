"""One chain of Alembic revisions for SQLite and PostgreSQL: what a database has, and bringing it up to this code's."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from storage.database import Database

# Any constant will do, as long as every replica and every later version uses the same.
_MIGRATION_LOCK = 7_203_114_500_221


class SchemaState(StrEnum):
    """How a database's schema stands to this code's."""

    EMPTY = "empty"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


async def migrate(url: str) -> None:
    """Bring a database up to this code's schema, in one transaction; nothing happens when it is there already.

    Several may start at once: they queue up (an advisory lock on PostgreSQL, a lock file beside a SQLite file).
    """
    # A migration may take as long as it needs.
    database = Database(url, answer_within=None)
    try:
        async with _only_one(database), database.engine.begin() as conn:
            if database.is_postgresql:
                await conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            await conn.run_sync(_upgrade)
    finally:
        await database.dispose()


async def schema_state(database: Database) -> SchemaState:
    """Tell how the database's schema stands to this code's; changes nothing."""
    async with database.read() as conn:
        heads = await conn.run_sync(lambda sync: MigrationContext.configure(sync).get_current_heads())
    if not heads:
        return SchemaState.EMPTY
    script = ScriptDirectory.from_config(_config())
    if set(heads) == set(script.get_heads()):
        return SchemaState.CURRENT
    known = {revision.revision for revision in script.walk_revisions()}
    return SchemaState.OLDER if known.issuperset(heads) else SchemaState.NEWER


def _config() -> Config:
    config = Config()
    # A percent sign in a path would be read as an interpolation.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: sa.Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@asynccontextmanager
async def _only_one(database: Database) -> AsyncIterator[None]:
    if database.is_postgresql:
        yield
        return
    lock = await asyncio.to_thread(_lock_beside, Path(str(database.url.database)))
    try:
        yield
    finally:
        os.close(lock)


def _lock_beside(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_name(f"{path.name}.migrating"), os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock
