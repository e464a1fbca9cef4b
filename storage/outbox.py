"""What is to be sent: rows written in the transaction of their cause, taken under a lease, at least once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import Database
from storage.inserting import insert_unless_there
from storage.limits import Limits
from storage.tables import OutboxStatus, outbox

CODE = "code"
NOTICE = "notice"
HELP = "help"


@dataclass(frozen=True)
class OutboxItem:
    """One leased row. `attempts` counts this one: 1 the first time.

    Payload of kind "code": {"send_id": hex}. Of kind "notice": {"telegram_id", "language", "text": key, "values": {}}.
    """

    id: UUID
    kind: str
    payload: dict[str, Any]
    attempts: int


class Outbox:
    """The queue between what was committed and the outside world."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database = database
        self._limits = limits

    async def put(
        self,
        kind: str,
        payload: dict[str, Any],
        run_at: datetime,
        *,
        telegram_id: int | None = None,
        dedupe: str | None = None,
    ) -> bool:
        """Queue a row in a transaction of its own; False when `dedupe` is there already (also when done, for 48 h).

        A row with `telegram_id` is personal: it goes when the person's account is erased.
        """

        async def work(conn: AsyncConnection) -> bool:
            return await put(self._database, conn, kind, payload, run_at, telegram_id=telegram_id, dedupe=dedupe)

        return await self._database.write(None, work)

    async def notice(
        self,
        telegram_id: int,
        language: str,
        text: str,
        run_at: datetime,
        values: dict[str, Any] | None = None,
        dedupe: str | None = None,
    ) -> bool:
        """Queue a message to a person, by text key, in a transaction of its own; False when `dedupe` is there."""

        async def work(conn: AsyncConnection) -> bool:
            return await notice(self._database, conn, telegram_id, language, text, run_at, values, dedupe)

        return await self._database.write(None, work)

    async def take(self, owner: str, now: datetime, batch: int = 20) -> list[OutboxItem]:
        """Lease up to `batch` due rows to `owner`, oldest first; a row whose lease ran out is due again."""

        async def work(conn: AsyncConnection) -> list[OutboxItem]:
            due = (
                sa.select(outbox.c.id)
                .where(
                    outbox.c.status == OutboxStatus.NEW,
                    outbox.c.run_at <= now,
                    sa.or_(outbox.c.lease_until.is_(None), outbox.c.lease_until <= now),
                )
                .order_by(outbox.c.run_at, outbox.c.id)
                .limit(batch)
                .with_for_update(skip_locked=True)
            )
            ids = (await conn.execute(due)).scalars().all()
            if not ids:
                return []
            lease = sa.update(outbox).where(outbox.c.id.in_(ids)).values(
                lease_owner=owner, lease_until=now + self._limits.outbox_lease, attempts=outbox.c.attempts + 1
            )  # fmt: skip
            wanted = (outbox.c.id, outbox.c.kind, outbox.c.payload, outbox.c.attempts)
            rows = (await conn.execute(lease.returning(*wanted))).all()
            order = {row_id: place for place, row_id in enumerate(ids)}
            return [OutboxItem(*row) for row in sorted(rows, key=lambda row: order[row.id])]

        return await self._database.write(None, work)

    async def done(self, item_id: UUID, owner: str) -> None:
        """End a row that was dealt with. One with a dedupe key leaves the key behind, without its payload."""

        async def work(conn: AsyncConnection) -> None:
            mine = _held_by(item_id, owner)
            await conn.execute(sa.delete(outbox).where(mine, outbox.c.dedupe.is_(None)))
            emptied = sa.update(outbox).values(status=OutboxStatus.DONE, payload={}, telegram_id=None, lease_until=None)
            await conn.execute(emptied.where(mine))

        await self._database.write(None, work)

    async def retry(self, item_id: UUID, owner: str, run_at: datetime, error: str) -> None:
        """Give a row back, due again at `run_at`; `error` says why, without personal data."""
        await self._change(item_id, owner, run_at=run_at, error=error, lease_until=None, lease_owner=None)

    async def dead(self, item_id: UUID, owner: str, error: str) -> None:
        """Give a row up for good; `error` says why, without personal data."""
        await self._change(item_id, owner, status=OutboxStatus.DEAD, error=error, lease_until=None)

    async def next_due(self) -> datetime | None:
        """Return when the next row falls due (a leased one: when its lease runs out), None when all is done."""
        at = sa.case((outbox.c.lease_until > outbox.c.run_at, outbox.c.lease_until), else_=outbox.c.run_at)
        async with self._database.read() as conn:
            query = sa.select(at).where(outbox.c.status == OutboxStatus.NEW).order_by(at).limit(1)
            return (await conn.execute(query)).scalar_one_or_none()

    async def _change(self, item_id: UUID, owner: str, **values: Any) -> None:
        async def work(conn: AsyncConnection) -> None:
            await conn.execute(sa.update(outbox).where(_held_by(item_id, owner)).values(values))

        await self._database.write(None, work)


async def put(
    database: Database,
    conn: AsyncConnection,
    kind: str,
    payload: dict[str, Any],
    run_at: datetime,
    *,
    telegram_id: int | None = None,
    dedupe: str | None = None,
) -> bool:
    """Queue a row in the caller's transaction; False when `dedupe` is there already."""
    row = {
        "id": database.new_id(), "kind": kind, "dedupe": dedupe, "telegram_id": telegram_id, "payload": payload,
        "run_at": run_at, "attempts": 0, "status": OutboxStatus.NEW,
    }  # fmt: skip
    return await insert_unless_there(conn, outbox, row)


async def notice(
    database: Database,
    conn: AsyncConnection,
    telegram_id: int,
    language: str,
    text: str,
    run_at: datetime,
    values: dict[str, Any] | None = None,
    dedupe: str | None = None,
) -> bool:
    """Queue a message to a person, by text key, in the caller's transaction; False when `dedupe` is there already."""
    payload = {"telegram_id": telegram_id, "language": language, "text": text, "values": values or {}}
    return await put(database, conn, NOTICE, payload, run_at, telegram_id=telegram_id, dedupe=dedupe)


def _held_by(item_id: UUID, owner: str) -> sa.ColumnElement[bool]:
    return sa.and_(outbox.c.id == item_id, outbox.c.lease_owner == owner, outbox.c.status == OutboxStatus.NEW)
