"""INSERT ... ON CONFLICT DO NOTHING, which both databases have and SQLAlchemy Core names per dialect."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


async def insert_unless_there(conn: AsyncConnection, table: sa.Table, row: dict[str, Any]) -> bool:
    """Insert a row unless one with the same unique value is there; tell whether it was inserted.

    On PostgreSQL it waits for a concurrent transaction that is inserting the same value.
    """
    insert = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    key = next(iter(table.primary_key))
    statement = insert(table).values(row).on_conflict_do_nothing().returning(key)
    return (await conn.execute(statement)).first() is not None
