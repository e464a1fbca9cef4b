"""SQLAlchemy's own engines: for migrations, which run once, and not for what runs per update."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_BUSY_MS = 10_000


def create_engine(url: URL) -> AsyncEngine:
    """Return an engine that keeps no connection; on SQLite every transaction takes the write lock when it begins."""
    # Not at the top: it brings the ORM, 7 MB that no serving process needs.
    from sqlalchemy.ext.asyncio import create_async_engine

    postgresql = url.get_backend_name() == "postgresql"
    engine = create_async_engine(
        url, poolclass=NullPool, hide_parameters=True, connect_args={"timeout": 5} if postgresql else {}
    )
    if not postgresql:
        _listen(engine.sync_engine)
    return engine


def create_sqlite_engine(url: URL) -> sa.Engine:
    """Return the same for a SQLite file and a thread that may wait: without the ORM."""
    engine = sa.create_engine(url.set(drivername="sqlite"), poolclass=NullPool, hide_parameters=True)
    _listen(engine)
    return engine


def _listen(engine: sa.Engine) -> None:
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN is deferred and loses updates: ours is sent instead
    cursor = connection.cursor()
    # The patience comes first: switching to WAL already needs the file for a moment.
    for pragma in (f"busy_timeout={_BUSY_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
