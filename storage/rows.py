"""Single rows, by column name: inserted, inserted unless there, changed. Each set of columns is compiled once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from storage.statements import Connection, Statement


async def insert(conn: Connection, table: sa.Table, **row: Any) -> None:
    """Insert a row."""
    await conn.execute(_insert(table, tuple(row)), **row)


async def insert_many(conn: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, all of the same columns."""
    if rows:
        await conn.execute_many(_insert(table, tuple(rows[0])), rows)


async def insert_unless_there(conn: Connection, table: sa.Table, **row: Any) -> bool:
    """Insert a row unless one with the same unique value is there; tell whether it was inserted.

    On PostgreSQL it waits for a concurrent transaction that is inserting the same value.
    """
    statement = _insert_unless_there(table, tuple(row), conn.insert)
    return (await conn.execute(statement, **row)).count > 0


async def change(conn: Connection, table: sa.Table, row_id: UUID, **values: Any) -> None:
    """Set these columns of the row with this id."""
    await conn.execute(_change(table, tuple(values)), changed_row=row_id, **values)


@cache
def _insert(table: sa.Table, columns: tuple[str, ...]) -> Statement:
    return Statement(sa.insert(table), sets=columns)


@cache
def _insert_unless_there(table: sa.Table, columns: tuple[str, ...], insert: Callable[[sa.Table], Any]) -> Statement:
    return Statement(insert(table).on_conflict_do_nothing(), sets=columns)


@cache
def _change(table: sa.Table, columns: tuple[str, ...]) -> Statement:
    return Statement(sa.update(table).where(table.c.id == sa.bindparam("changed_row")), sets=columns)
