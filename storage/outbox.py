"""What is to be sent: rows written in the transaction of their cause, taken under a lease, at least once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from storage.database import Database
from storage.limits import Limits
from storage.rows import insert_many, insert_unless_there
from storage.statements import Connection, Statement
from storage.tables import OutboxStatus, outbox

CODE = "code"
NOTICE = "notice"
HELP = "help"
ALERT = "alert"
EVENT = "event"
FALL_BACK = "fall_back"
INVITATION = "invitation"

IS_NEW = outbox.c.status == sa.literal_column(f"'{OutboxStatus.NEW.value}'")
IS_EVENT = outbox.c.kind == sa.literal_column(f"'{EVENT}'")
NO_EVENT = outbox.c.kind != sa.literal_column(f"'{EVENT}'")
"""Events wait in a queue of their own, `storage/event_queue.py`: nothing else stands behind what the CRM refuses."""
FREE = sa.or_(outbox.c.lease_until.is_(None), outbox.c.lease_until <= sa.bindparam("moment"))
_held = sa.and_(outbox.c.id == sa.bindparam("item"), outbox.c.lease_owner == sa.bindparam("owner"), IS_NEW)
_due_at = sa.case((outbox.c.lease_until > outbox.c.run_at, outbox.c.lease_until), else_=outbox.c.run_at)
_NEXT_DUE = Statement(sa.select(_due_at).where(IS_NEW, NO_EVENT).order_by(_due_at).limit(1))
_DUE = Statement(
    sa.select(outbox.c.id, outbox.c.kind, outbox.c.payload, outbox.c.attempts)
    .where(IS_NEW, NO_EVENT, outbox.c.run_at <= sa.bindparam("moment"), FREE)
    .order_by(outbox.c.run_at, outbox.c.id)
    .limit(sa.bindparam("batch", type_=sa.Integer))
    .with_for_update(skip_locked=True)
)
LEASE = Statement(
    sa.update(outbox).where(outbox.c.id == sa.bindparam("item")).values(attempts=outbox.c.attempts + 1),
    sets=("lease_owner", "lease_until"),
)
_DELETE = Statement(sa.delete(outbox).where(_held, outbox.c.dedupe.is_(None)))
_EMPTY = Statement(
    sa.update(outbox)
    .where(_held)
    .values(status=OutboxStatus.DONE.value, payload={}, telegram_id=None, lease_until=None)
)


@dataclass(frozen=True)
class OutboxItem:
    """One leased row. `attempts` counts this one: 1 the first time.

    Payload of kind "code": {"send_id": hex, "route": [[gateway, channel, price], ...]}. Of kind "notice":
    {"telegram_id", "language", "text": key, "values": {}}. Of kind "alert": {"text": key, "values": {}}. Of kind
    "fall_back": {"send_id": hex}. Of kind "event": what the CRM is sent, see `storage/events.py`. Of kind "invitation":
    {"invitation_id": hex, "address": normalised, "seed": base64, "telegram_id", "language", "name": the inviter's}.
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

        async def work(conn: Connection) -> bool:
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

        async def work(conn: Connection) -> bool:
            return await notice(self._database, conn, telegram_id, language, text, run_at, values, dedupe)

        return await self._database.write(None, work)

    async def take(self, owner: str, now: datetime, batch: int = 20) -> list[OutboxItem]:
        """Lease up to `batch` due rows to `owner`, oldest first; a row whose lease ran out is due again."""

        async def work(conn: Connection) -> list[OutboxItem]:
            due = (await conn.execute(_DUE, moment=now, batch=batch)).all()
            until = now + self._limits.outbox_lease
            if due:
                leases = [{"item": row.id, "lease_owner": owner, "lease_until": until} for row in due]
                await conn.execute_many(LEASE, leases)
            return [OutboxItem(row.id, row.kind, row.payload, row.attempts + 1) for row in due]

        return await self._database.write(None, work)

    async def done(self, item_id: UUID, owner: str) -> None:
        """End a row that was dealt with. One with a dedupe key leaves the key behind, without its payload."""

        async def work(conn: Connection) -> None:
            await done(conn, item_id, owner)

        await self._database.write(None, work)

    async def retry(self, item_id: UUID, owner: str, run_at: datetime, error: str) -> None:
        """Give a row back, due again at `run_at`; `error` says why, without personal data."""
        await self._change(item_id, owner, run_at=run_at, error=error, lease_until=None, lease_owner=None)

    async def dead(self, item_id: UUID, owner: str, error: str) -> None:
        """Give a row up for good; `error` says why, without personal data."""
        await self._change(item_id, owner, status=OutboxStatus.DEAD, error=error, lease_until=None)

    async def next_due(self) -> datetime | None:
        """Return when the next row falls due (a leased one: when its lease runs out), None when all is done."""

        async def work(conn: Connection) -> datetime | None:
            due: datetime | None = (await conn.execute(_NEXT_DUE)).scalar_one_or_none()
            return due

        return await self._database.read(work)

    async def _change(self, item_id: UUID, owner: str, **values: Any) -> None:
        async def work(conn: Connection) -> None:
            await change_held(conn, item_id, owner, **values)

        await self._database.write(None, work)


async def done(conn: Connection, item_id: UUID, owner: str) -> None:
    """End a row that was dealt with, in the caller's transaction."""
    deleted = await conn.execute(_DELETE, item=item_id, owner=owner)
    if not deleted.count:
        await conn.execute(_EMPTY, item=item_id, owner=owner)


async def change_held(conn: Connection, item_id: UUID, owner: str, **values: Any) -> bool:
    """Set these columns of a row leased to `owner`, in the caller's transaction; False when it is not any more."""
    return bool((await conn.execute(_change(tuple(values)), item=item_id, owner=owner, **values)).count)


async def put(
    database: Database,
    conn: Connection,
    kind: str,
    payload: dict[str, Any],
    run_at: datetime,
    *,
    telegram_id: int | None = None,
    dedupe: str | None = None,
) -> bool:
    """Queue a row in the caller's transaction; False when `dedupe` is there already."""
    row = _row(database, kind, payload, run_at, telegram_id)
    return await insert_unless_there(conn, outbox, **row, dedupe=dedupe)


def _row(
    database: Database, kind: str, payload: dict[str, Any], run_at: datetime, telegram_id: int | None
) -> dict[str, Any]:
    return {
        "id": database.new_id(), "kind": kind, "telegram_id": telegram_id, "payload": payload, "run_at": run_at,
        "attempts": 0, "status": OutboxStatus.NEW,
    }  # fmt: skip


async def notice(
    database: Database,
    conn: Connection,
    telegram_id: int,
    language: str,
    text: str,
    run_at: datetime,
    values: dict[str, Any] | None = None,
    dedupe: str | None = None,
) -> bool:
    """Queue a message to a person, by text key, in the caller's transaction; False when `dedupe` is there already."""
    payload = _notice(telegram_id, language, text, values)
    return await put(database, conn, NOTICE, payload, run_at, telegram_id=telegram_id, dedupe=dedupe)


@dataclass(frozen=True)
class Notice:
    """A message to a person, by text key."""

    telegram_id: int
    language: str
    text: str
    run_at: datetime
    values: dict[str, Any] | None = None


async def notices(database: Database, conn: Connection, messages: Iterable[Notice]) -> None:
    """Queue messages to many people in the caller's transaction."""
    payloads = ((each, _notice(each.telegram_id, each.language, each.text, each.values)) for each in messages)
    rows = [_row(database, NOTICE, payload, each.run_at, each.telegram_id) for each, payload in payloads]
    await insert_many(conn, outbox, rows)


def _notice(telegram_id: int, language: str, text: str, values: dict[str, Any] | None) -> dict[str, Any]:
    return {"telegram_id": telegram_id, "language": language, "text": text, "values": values or {}}


@cache
def _change(columns: tuple[str, ...]) -> Statement:
    return Statement(sa.update(outbox).where(_held), sets=columns)
