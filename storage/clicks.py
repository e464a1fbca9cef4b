"""Clicks on campaigns' web links: each visitor once a day, by a mark that is forgotten when it can match no more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from functools import cache
from typing import Any

import sqlalchemy as sa

from storage.database import Database
from storage.partner_tables import campaigns, click_days, click_visitors
from storage.rows import insert_unless_there
from storage.statements import Connection, Statement

_KNOWN = Statement(sa.select(campaigns.c.id).where(campaigns.c.id == sa.bindparam("campaign")))


class Clicks:
    """`zone` is the operator's, where days begin."""

    def __init__(self, database: Database, zone: tzinfo) -> None:
        self._database = database
        self._zone = zone

    def day(self, now: datetime) -> int:
        """Return the number of the day that a click counts for (`date.toordinal`)."""
        return now.astimezone(self._zone).toordinal()

    async def count_click(self, campaign_id: int, visitor: bytes, now: datetime) -> bool:
        """Count one click of a visitor, known by 16 bytes that tell nothing of them.

        False when they were counted that day already, or there is no such campaign.
        """
        day = self.day(now)

        async def work(conn: Connection) -> bool:
            if (await conn.execute(_KNOWN, campaign=campaign_id)).first() is None:
                return False
            if not await insert_unless_there(conn, click_visitors, campaign_id=campaign_id, day=day, visitor=visitor):
                return False
            await conn.execute(_count(conn.insert), campaign_id=campaign_id, day=day)
            return True

        return await self._database.write(None, work)


@cache
def _count(insert: Callable[[sa.Table], Any]) -> Statement:
    adding = insert(click_days).values(clicks=sa.literal_column("1"))
    adding = adding.on_conflict_do_update(
        index_elements=[click_days.c.campaign_id, click_days.c.day], set_={"clicks": click_days.c.clicks + 1}
    )
    return Statement(adding, sets=("campaign_id", "day"))
