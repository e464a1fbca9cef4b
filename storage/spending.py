"""What codes cost within a day, in all and country by country, and when enough of it is a day old.

The caller holds the budget, so nobody adds to it meanwhile.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from storage.errors import Limit, LimitReached
from storage.limits import Limits
from storage.statements import Connection, Statement
from storage.tables import running_costs, sends

BUDGET_PERIOD = timedelta(hours=24)
# At the pace of one code in what is "lately" for a country, its share of the budget would last for so long.
_SHARE_LASTS = timedelta(hours=200)
_SHORTEST, _LONGEST = timedelta(hours=1), timedelta(hours=6)
# What is too much is mostly the price of one code, and the oldest row or two are enough: they are read at every
# refusal. More are read where they are not; the budget of a day may be a hundred thousand rows.
_FEW, _MANY = 10, 1000

_COST = sends.c.price > sa.literal_column("0")
_LATELY = sends.c.at > sa.bindparam("lately")
_SINCE = sends.c.at > sa.bindparam("since")
# Seconds, as the triggers of `sends` have it (in the migrations).
_SLOT = 600
# PostgreSQL's sum of BIGINT is a NUMERIC.
_WHOLE_SLOTS = sa.select(sa.cast(sa.func.coalesce(sa.func.sum(running_costs.c.cost), 0), sa.BigInteger)).where(
    running_costs.c.slot > sa.bindparam("slot")
)
# Of the first ten minutes only what came after the moment.
_FIRST_SLOT = sa.select(sa.func.coalesce(sa.func.sum(sends.c.price), 0)).where(
    _SINCE, sends.c.at < sa.bindparam("whole_from"), _COST
)
SPENT = Statement(sa.select((_WHOLE_SLOTS.scalar_subquery() + _FIRST_SLOT.scalar_subquery()).label("spent")))
_IN_ALL = sa.func.coalesce(sa.func.sum(sends.c.price), 0).label("in_all")
_OF_LATE = sa.func.coalesce(sa.func.sum(sends.c.price).filter(_LATELY), 0).label("lately")
_OF_COUNTRY = (sends.c.country == sa.bindparam("country"), _SINCE, _COST)
SPENT_ON_COUNTRY = Statement(sa.select(_IN_ALL, _OF_LATE).where(*_OF_COUNTRY))
# As in a range, a code that was entered gives its send back.
UNENTERED_ON_COUNTRY = Statement(
    sa.select(_IN_ALL, _OF_LATE, sa.func.count().label("codes"), sa.func.max(sends.c.at).label("newest"))
    .where(*_OF_COUNTRY, sends.c.entered_at.is_(None))
)  # fmt: skip
OLDEST_SPENT = Statement(
    sa.select(sends.c.at, sends.c.price)
    .where(_SINCE, _COST)
    .order_by(sends.c.at)
    .limit(sa.bindparam("most", type_=sa.Integer))
)


async def spent_at(conn: Connection, now: datetime) -> int:
    """Return what the 24 hours before `now` cost, in minor units of the currency."""
    since = now - BUDGET_PERIOD
    slot = slot_of(since)
    whole_from = datetime.fromtimestamp((slot + 1) * _SLOT, UTC)
    spent: int = (await conn.execute(SPENT, slot=slot, since=since, whole_from=whole_from)).scalar_one()
    return spent


def slot_of(moment: datetime) -> int:
    """Return in which ten minutes since 1970 a moment is."""
    return int(moment.timestamp()) // _SLOT


async def affordable_at(conn: Connection, needed: int, now: datetime) -> datetime:
    """Return when so much of what was spent is a day old; in an hour, for another look, when many rows are less."""
    for most in (_FEW, _MANY):
        left = needed
        for row in (await conn.execute(OLDEST_SPENT, since=now - BUDGET_PERIOD, most=most)).all():
            left -= row.price
            if left <= 0:
                free_at: datetime = row.at + BUDGET_PERIOD
                return free_at
    return now + timedelta(hours=1)


async def country_refusal(
    conn: Connection,
    limits: Limits,
    country: str,
    price: int,
    budget: int,
    spent: int,
    *,
    trusted_range: bool,
    now: datetime,
) -> LimitReached | None:
    """Tell whether a code for `price` is too much for a country whose codes are paid for and hardly entered.

    `spent`: what all countries cost within the day. `trusted_range`: of its codes others left no more than were
    entered. A country that left more than a fifth of its codes, for more than a tenth of its share of the budget, gets
    more in such ranges alone; one that left more than half, for more than its share, in none. It must look so lately
    too: once codes arrive again, they go again.
    """
    if limits.country_unconfirmed_percent >= 100:
        return None
    share, evidence = limits.country_unconfirmed_percent * budget // 100, limits.prefix_evidence.count
    # As in a range, few codes are no evidence.
    allowed, enough, times = (share, evidence, 1) if trusted_range else (share // 10, evidence // 2, 4)
    if spent <= allowed:
        return None
    # One code in that time at least, or nobody would learn that they arrive again: less often where it costs more.
    lately = min(max(price * _SHARE_LASTS / share, _SHORTEST), _LONGEST) if share else _LONGEST
    which: Any = {"country": country, "since": now - BUDGET_PERIOD, "lately": now - lately}
    left = (await conn.execute(UNENTERED_ON_COUNTRY, **which)).one()
    if left.codes < enough or left.in_all <= allowed:
        return None
    # The sum over all of its codes is the long one.
    cost = (await conn.execute(SPENT_ON_COUNTRY, **which)).one()
    if left.in_all <= (cost.in_all - left.in_all) // times or left.lately <= (cost.lately - left.lately) // times:
        return None
    opens_at: datetime = left.newest + lately
    return LimitReached(Limit.COUNTRY_UNCONFIRMED, opens_at)
