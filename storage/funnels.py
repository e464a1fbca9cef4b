"""What came of campaigns: how many clicked, came, and got how far, by the day of their first touch.

Counted from one index by campaign and day: other partners' campaigns cost nothing, and no counter is shared by people
who register at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from enum import StrEnum
from itertools import accumulate
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from storage.attribution import Stage
from storage.campaigns import Campaign, campaigns_of
from storage.database import Database
from storage.partner_tables import campaigns, click_days, touches
from storage.statements import Connection, Statement


class Period(StrEnum):
    """Which days are looked at. Names of buttons: permanent."""

    TODAY = "today"
    WEEK = "week"
    MONTH = "month"
    ALL = "all"


_DAYS = {Period.TODAY: 1, Period.WEEK: 7, Period.MONTH: 30}
_partners = sa.select(campaigns.c.id).where(campaigns.c.partner_id == sa.bindparam("partner"))


# One column per step, so that the rows come grouped as the index has them, and nothing is sorted.
_AT_STAGE = [
    sa.func.count().filter(touches.c.stage == sa.literal_column(str(stage.value))).label(f"at_{stage.value}")
    for stage in Stage
]
_CLICKS = sa.func.sum(click_days.c.clicks).label("clicks")


def _count(*by: str, of: str) -> tuple[Statement, Statement]:
    """Return how touches and clicks are counted by these columns, of one campaign or of all a partner's."""
    statements = []
    for table, counts in ((touches, _AT_STAGE), (click_days, [_CLICKS])):
        wanted = (
            table.c.campaign_id == sa.bindparam("campaign") if of == "campaign" else table.c.campaign_id.in_(_partners)
        )
        columns = [table.c[name] for name in ("campaign_id", *by)]
        query = sa.select(*columns, *counts).where(wanted, table.c.day >= sa.bindparam("since"))
        statements.append(Statement(query.group_by(*columns)))
    return statements[0], statements[1]


OF_CAMPAIGN = _count(of="campaign")
OF_PARTNER = _count(of="partner")
DAYS_OF_PARTNER = _count("day", of="partner")


@dataclass(frozen=True)
class Funnel:
    """How many people came so far at least: each step counts those of the later ones too. Clicks are apart."""

    clicks: int = 0
    starts: int = 0
    email: int = 0
    terms: int = 0
    phone: int = 0
    confirmed: int = 0


@dataclass(frozen=True)
class DayOfCampaign:
    """What came of a campaign's first touches, and its clicks, of one day."""

    day: date
    campaign: Campaign
    funnel: Funnel


class Funnels:
    """Each method reads in one transaction; `zone` is the operator's, where days begin."""

    def __init__(self, database: Database, zone: tzinfo) -> None:
        self._database = database
        self._zone = zone

    async def of(self, campaign_id: int, period: Period, now: datetime) -> Funnel:
        """Return what came of one campaign."""

        async def work(conn: Connection) -> Funnel:
            values = {"campaign": campaign_id, "since": self._since(period, now)}
            return (await _funnels(conn, OF_CAMPAIGN, (), values)).get((campaign_id,), Funnel())

        return await self._database.read(work)

    async def of_partner(self, partner_id: UUID, period: Period, now: datetime) -> list[tuple[Campaign, Funnel]]:
        """Return what came of each of a partner's campaigns, the oldest first."""

        async def work(conn: Connection) -> list[tuple[Campaign, Funnel]]:
            values = {"partner": partner_id, "since": self._since(period, now)}
            found = await _funnels(conn, OF_PARTNER, (), values)
            return [(one, found.get((one.id,), Funnel())) for one in await campaigns_of(conn, partner_id)]

        return await self._database.read(work)

    async def days(self, partner_id: UUID) -> list[DayOfCampaign]:
        """Return each day of each of a partner's campaigns on which there was something, the oldest first."""

        async def work(conn: Connection) -> list[DayOfCampaign]:
            found = await _funnels(conn, DAYS_OF_PARTNER, ("day",), {"partner": partner_id, "since": 0})
            order = {one.id: (place, one) for place, one in enumerate(await campaigns_of(conn, partner_id))}
            keys = sorted(found, key=lambda key: (key[1], order[key[0]][0]))
            return [DayOfCampaign(date.fromordinal(key[1]), order[key[0]][1], found[key]) for key in keys]

        return await self._database.read(work)

    def _since(self, period: Period, now: datetime) -> int:
        days = _DAYS.get(period)
        return 0 if days is None else now.astimezone(self._zone).toordinal() - days + 1


async def _funnels(
    conn: Connection, statements: tuple[Statement, Statement], by: Sequence[str], values: Mapping[str, Any]
) -> dict[tuple[int, ...], Funnel]:
    """Return the funnels by campaign and what else is asked for."""
    came, clicked = [(await conn.execute(statement, **values)).all() for statement in statements]
    width = 1 + len(by)
    # Exact, as PostgreSQL's sum is, and no whole number to Python.
    clicks = {row[:width]: int(row.clicks) for row in clicked}
    steps = {row[:width]: row[width:] for row in came}
    return {key: _funnel(clicks.get(key, 0), steps.get(key, _NOBODY)) for key in {*steps, *clicks}}


_NOBODY = (0,) * len(Stage)


def _funnel(clicks: int, at_stage: Sequence[int]) -> Funnel:
    """Add up from the end: whoever came to a step passed those before it."""
    at_least = [*accumulate(reversed(at_stage))]
    return Funnel(clicks, *reversed(at_least))


def total(funnels: Iterable[Funnel]) -> Funnel:
    """Return the sum of funnels."""
    found = list(funnels)
    return Funnel(**{name: sum(getattr(one, name) for one in found) for name in Funnel.__dataclass_fields__})
