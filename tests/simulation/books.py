"""What the ledger says at the end of a run, and whether the engine kept its promises."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from storage.errors import Limit
from storage.limits import Window
from storage.models import SendState
from storage.statements import Connection
from storage.tables import sends
from tests.simulation.loop import BEGINNING
from tests.simulation.plan import Guards
from tests.simulation.world import World

HONEST = ""
_NEVER_LEFT = (SendState.REFUSED, SendState.FAILED, SendState.QUEUED, SendState.SENDING)


@dataclass
class Books:
    """Counts by who asked: an attacker's name, or "" for honest people. Money in hundredths of a rouble."""

    sms: Counter[str] = field(default_factory=Counter)
    cost: Counter[str] = field(default_factory=Counter)
    refused: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    states: Counter[str] = field(default_factory=Counter)
    spent: list[tuple[float, int]] = field(default_factory=list)
    """Moments (seconds of the run) and what each send cost, oldest first."""
    spent_honestly: list[tuple[float, int]] = field(default_factory=list)
    budget_gone_at: float | None = None
    late_codes: int = 0
    """Codes that were entered when a newer one had been sent already."""
    broken: list[str] = field(default_factory=list)


async def read_books(world: World, owners: Mapping[str, str]) -> Books:
    """Read the whole ledger. `owners`: who each person of it is."""

    async def work(conn: Connection) -> Sequence[Any]:
        return (await conn.execute(sa.select(sends).order_by(sends.c.at, sends.c.id))).all()

    rows = await world.database.read(work)
    books = Books()
    for row in rows:
        who, at = owners[row.person_hmac], (row.at - BEGINNING).total_seconds()
        books.states[row.state] += 1
        if row.state == SendState.REFUSED:
            books.refused[who][row.refused_by] += 1
            if row.refused_by == Limit.DAILY_BUDGET and books.budget_gone_at is None:
                books.budget_gone_at = at
        if row.state in _NEVER_LEFT:
            continue
        books.sms[who] += 1
        books.cost[who] += row.price
        books.spent.append((at, row.price))
        if who == HONEST:
            books.spent_honestly.append((at, row.price))
    books.late_codes = _late_codes(rows)
    if world.plan.guards is Guards.ALL:
        books.broken = list(_broken(world, rows))
    return books


def _late_codes(rows: Sequence[Any]) -> int:
    newest: dict[Any, list[tuple[int, datetime]]] = defaultdict(list)
    for row in rows:
        if row.code_n is not None:
            newest[row.challenge_id].append((row.code_n, row.at))
    return sum(
        any(n > row.code_n and at < row.entered_at for n, at in newest[row.challenge_id])
        for row in rows
        if row.entered_at is not None
    )


def _broken(world: World, rows: Sequence[Any]) -> Iterable[str]:
    """Yield every promise of the limits that the ledger, or what really left, does not bear out."""
    limits = world.plan.limits()
    left = [row for row in rows if row.state not in _NEVER_LEFT]
    for name, windows, column, counted in (
        ("sends_per_number", limits.sends_per_number, "number_hmac", left),
        ("sends_per_person", limits.sends_per_person, "person_hmac", left),
        ("sends_per_prefix", (limits.sends_per_prefix,), "prefix_hmac", [r for r in left if r.entered_at is None]),
    ):
        moments: dict[str, list[float]] = defaultdict(list)
        for row in counted:
            moments[getattr(row, column)].append((row.left_at or row.at).timestamp())
        yield from too_many(name, moments.values(), windows)
    taken: dict[str, list[float]] = defaultdict(list)
    for at, number in world.carrier.taken:
        taken[number].append(at)
    # A message may leave later than it was asked for, so a moment may be missed at the window's edge, but no more.
    looser = [Window(window.count + 1, window.period) for window in limits.sends_per_number]
    yield from too_many("messages to one number", taken.values(), looser)
    budget = world.plan.daily_budget
    spent = sum(row.price or 0 for row in rows)
    if budget is not None and world.plan.hours <= 24 and spent > budget:
        yield f"daily_budget: {spent} of {budget} were spent"
    if any(row.state in (SendState.QUEUED, SendState.SENDING) for row in rows):
        yield "codes were left in the outbox"


def too_many(name: str, groups: Iterable[Sequence[float]], windows: Iterable[Window]) -> Iterable[str]:
    """Yield what to say of each window in which some group has more moments (seconds) than are allowed."""
    for window in windows:
        period = window.period / timedelta(seconds=1)
        most = max((_most(sorted(group), period) for group in groups), default=0)
        if most > window.count:
            yield f"{name}: {most} within {window.period}, {window.count} are allowed"


def _most(moments: Sequence[float], period: float) -> int:
    """Return how many of the moments (in order) lie within one period at most."""
    most = first = 0
    for n, moment in enumerate(moments):
        while moments[first] <= moment - period:
            first += 1
        most = max(most, n - first + 1)
    return most
