"""Events that wait or were given up, as an operator sees them: listed without personal data, and sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from storage.database import Database
from storage.event_queue import IS_FIRST
from storage.outbox import IS_EVENT
from storage.statements import Connection
from storage.tables import OutboxStatus, event_stops, outbox

_PAGE = 500
_IS_DEAD = outbox.c.status == OutboxStatus.DEAD


@dataclass(frozen=True)
class Letter:
    """One event that the CRM has not taken.

    `at`: when it happened (RFC 3339). `run_at`: the next try; no matter for a `dead` one, which nobody tries again.
    `waits`: an earlier event of the same account must go first. `error`: what came of the last try.
    """

    id: UUID
    type: str
    account_id: UUID
    at: str
    attempts: int
    run_at: datetime
    dead: bool
    waits: bool
    error: str | None


class EventLetters:
    """Reads and mends the queue beside a serving process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self, *, dead: bool = False) -> AsyncIterator[Letter]:
        """Yield every event, or only those given up, oldest first; a page per transaction."""
        after = UUID(int=0)
        while page := await self._page(after, dead):
            for letter in page:
                yield letter
            after = page[-1].id

    async def replay(self, event_id: UUID | None, now: datetime) -> int:
        """Have one event that was given up, or (None) all of them, sent anew from the first try; return how many."""

        async def work(conn: Connection) -> int:
            which = sa.and_(IS_EVENT, _IS_DEAD, sa.true() if event_id is None else outbox.c.id == event_id)
            anew = {"status": OutboxStatus.NEW, "attempts": 0, "run_at": now, "lease_until": None, "lease_owner": None}
            return (await conn.execute(sa.update(outbox).where(which).values(anew))).count

        return await self._database.write(None, work)

    async def stopped_at(self) -> datetime | None:
        """Return since when the CRM wants no events, None when it does."""

        async def work(conn: Connection) -> datetime | None:
            at: datetime | None = (await conn.execute(sa.select(sa.func.min(event_stops.c.at)))).scalar_one_or_none()
            return at

        return await self._database.read(work)

    async def _page(self, after: UUID, dead: bool) -> list[Letter]:
        wanted = sa.and_(IS_EVENT, outbox.c.id > after, _IS_DEAD if dead else sa.true())
        query = sa.select(outbox, IS_FIRST.label("is_first")).where(wanted).order_by(outbox.c.id).limit(_PAGE)

        async def work(conn: Connection) -> list[Letter]:
            found = (await conn.execute(query)).all()
            return [
                Letter(
                    row.id, row.payload["type"], row.account_id, row.payload["timestamp"], row.attempts, row.run_at,
                    row.status == OutboxStatus.DEAD, not row.is_first, row.error,
                )
                for row in found
            ]  # fmt: skip

        return await self._database.read(work)
