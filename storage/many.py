"""Statements about many rows at once: a list of IN is written out in a few sizes, each compiled once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import sqlalchemy as sa

from storage.statements import Connection, Statement

# A list is filled up with its last value to the next of these; a longer one is cut into pieces of the largest.
_SIZES = (1, 10, 100)

Among = Callable[[sa.Column[Any]], sa.ColumnElement[bool]]
"""Makes the condition that a column's value is in the list."""


class ForMany:
    """One UPDATE or DELETE of the rows that a list names; `make` uses its argument once or several times.

    To compile it for each list would take longer than to run it, and on PostgreSQL everybody would wait for that.
    """

    def __init__(self, make: Callable[[Among], sa.Executable], *, sets: Collection[str] = ()) -> None:
        self._statements = {size: Statement(make(_written_out(size)), sets=sets) for size in _SIZES}

    async def execute(self, conn: Connection, values: Sequence[Any], **others: Any) -> None:
        """Run it for these values; `others` are its other parameters."""
        for begin in range(0, len(values), _SIZES[-1]):
            piece = values[begin : begin + _SIZES[-1]]
            size = next(size for size in _SIZES if size >= len(piece))
            named = {f"among_{n}": piece[min(n, len(piece) - 1)] for n in range(size)}
            await conn.execute(self._statements[size], **named, **others)


def _written_out(size: int) -> Among:
    def among(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
        return column.in_([sa.bindparam(f"among_{n}", type_=column.type) for n in range(size)])

    return among
