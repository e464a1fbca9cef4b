"""What became of the codes of a period, from the ledger, and what waits in the outbox: for metrics and for routing.

Sums only: no number, no person, and of a place its country alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from storage.database import Database
from storage.errors import Limit
from storage.models import Channel, SendState
from storage.statements import Connection, Statement
from storage.tables import OutboxStatus, outbox, sends

LEFT = frozenset({SendState.ACCEPTED, SendState.UNKNOWN, SendState.DELIVERED, SendState.UNDELIVERED})
"""States of what left, or may have: what is still queued or being sent says nothing of its gateway yet."""

# The index on (at, price) finds the rows of a period. One that held every column of this would halve the time at best,
# and would be written at each change of a send's state.
_SUMS = Statement(
    sa.select(
        sends.c.gateway, sends.c.channel, sends.c.country, sends.c.state, sends.c.refused_by,
        sa.func.count().label("n"),
        sa.func.count(sends.c.entered_at).label("entered"),
        sa.func.coalesce(sa.func.sum(sends.c.price), 0).label("cost"),
    )
    .where(sends.c.at > sa.bindparam("since"), sends.c.at <= sa.bindparam("until"))
    .group_by(sends.c.gateway, sends.c.channel, sends.c.country, sends.c.state, sends.c.refused_by)
)  # fmt: skip
_is_due = outbox.c.run_at <= sa.bindparam("moment")
_WAITING = Statement(
    sa.select(
        sa.func.count().label("rows"),
        sa.func.coalesce(sa.func.sum(sa.case((_is_due, 1), else_=0)), 0).label("due"),
        sa.func.min(outbox.c.run_at).label("oldest"),
    ).where(outbox.c.status == sa.literal_column(f"'{OutboxStatus.NEW.value}'"))
)


@dataclass(frozen=True)
class Converted:
    """Codes of one gateway, channel and country: how many in each state, how many entered, what they cost.

    `cost` is in minor currency units. A code that went through several gateways stands with the last of them.
    """

    gateway: str
    channel: Channel
    country: str
    states: Mapping[SendState, int]
    entered: int
    cost: int

    @property
    def sent(self) -> int:
        """Return how many left, or may have."""
        return sum(n for state, n in self.states.items() if state in LEFT)


@dataclass(frozen=True)
class Figures:
    """A period's codes. `refusals` counts, by limit, those that were forbidden; `cost` is of all, minor units."""

    converted: tuple[Converted, ...]
    refusals: Mapping[Limit, int]

    @property
    def cost(self) -> int:
        """Return what the period cost."""
        return sum(each.cost for each in self.converted)


@dataclass(frozen=True)
class Backlog:
    """Rows the outbox still holds, how many of them are due, and since when the oldest of these is."""

    rows: int
    due: int
    oldest_due: datetime | None


class Conversion:
    """Each method is one read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, since: datetime, until: datetime) -> Figures:
        """Return what became of the codes asked for after `since`, up to `until`. Raises StorageError."""

        async def work(conn: Connection) -> list[Any]:
            return (await conn.execute(_SUMS, since=since, until=until)).all()

        return _figures(await self._database.read(work))

    async def backlog(self, now: datetime) -> Backlog:
        """Return what waits to be sent. Raises StorageError."""

        async def work(conn: Connection) -> Backlog:
            row = (await conn.execute(_WAITING, moment=now)).one()
            return Backlog(row.rows, row.due, row.oldest if row.due else None)

        return await self._database.read(work)


def _figures(rows: Iterable[Any]) -> Figures:
    refusals: Counter[Limit] = Counter()
    states: dict[tuple[str, str, str], Counter[SendState]] = defaultdict(Counter)
    entered: Counter[tuple[str, str, str]] = Counter()
    cost: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        if row.refused_by is not None:
            refusals[Limit(row.refused_by)] += row.n
            continue
        key = row.gateway, row.channel, row.country
        states[key][SendState(row.state)] += row.n
        entered[key] += row.entered
        cost[key] += row.cost
    converted = (
        Converted(gateway, Channel(channel), country, states[key], entered[key], cost[key])
        for key in states
        for gateway, channel, country in (key,)
    )
    return Figures(tuple(converted), refusals)
