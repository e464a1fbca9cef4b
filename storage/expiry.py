"""What happens to accounts by the clock: the reminder, the deletion after 24 hours, the pruning of old answers."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from storage import outbox
from storage.database import Database
from storage.limits import Limits
from storage.models import AccountStatus
from storage.personal import erase_personal
from storage.statements import Connection
from storage.tables import OutboxStatus, accounts, applied_updates
from storage.tables import outbox as outbox_rows

# Twice the 24 h for which Telegram keeps an update that was not acknowledged.
_REMEMBERED = timedelta(hours=48)


class Expiry:
    """Each method is one bounded transaction; several processes may run them at once without doing a row twice."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database = database
        self._limits = limits

    async def remind_due(self, now: datetime, batch: int = 500) -> int:
        """Queue the one reminder of up to `batch` pending accounts that expire soon; return how many.

        People who blocked the bot are left out.
        """

        async def work(conn: Connection) -> int:
            due = sa.and_(
                accounts.c.status == AccountStatus.PENDING,
                accounts.c.expires_at > now,
                accounts.c.expires_at <= now + self._limits.reminder_before,
                accounts.c.reminded_at.is_(None),
                accounts.c.blocked_at.is_(None),
            )
            ids = await _claim(conn, due, batch)
            reminded = sa.update(accounts).where(accounts.c.id.in_(ids)).values(reminded_at=now)
            wanted = (accounts.c.telegram_id, accounts.c.language, accounts.c.expires_at)
            for row in (await conn.execute(reminded.returning(*wanted))).all():
                until = {"until": row.expires_at.isoformat()}
                await outbox.notice(self._database, conn, row.telegram_id, row.language, "notice-reminder", now, until)
            return len(ids)

        return await self._database.write(None, work)

    async def expire_due(self, now: datetime, batch: int = 500) -> list[int]:
        """Delete up to `batch` accounts still pending at their end, with everything personal; return Telegram ids.

        Their people are told. An account that is being confirmed at this moment is locked by that and stays.
        """

        async def work(conn: Connection) -> list[int]:
            due = sa.and_(accounts.c.status == AccountStatus.PENDING, accounts.c.expires_at <= now)
            ids = await _claim(conn, due, batch)
            wanted = (accounts.c.id, accounts.c.telegram_id, accounts.c.language, accounts.c.blocked_at)
            rows = (await conn.execute(sa.select(*wanted).where(accounts.c.id.in_(ids)))).all()
            await erase_personal(conn, [(row.id, row.telegram_id) for row in rows], now)
            for row in rows:
                if row.blocked_at is None:
                    await outbox.notice(self._database, conn, row.telegram_id, row.language, "notice-expired", now)
            return [row.telegram_id for row in rows]

        return await self._database.write(None, work)

    async def prune_applied(self, now: datetime) -> int:
        """Forget updates applied more than 48 hours ago, and outbox rows done so long ago; return how many updates."""

        async def work(conn: Connection) -> int:
            done = sa.and_(outbox_rows.c.status == OutboxStatus.DONE, outbox_rows.c.run_at < now - _REMEMBERED)
            await conn.execute(sa.delete(outbox_rows).where(done))
            old = applied_updates.c.at < now - _REMEMBERED
            return (await conn.execute(sa.delete(applied_updates).where(old))).count

        return await self._database.write(None, work)


async def _claim(conn: Connection, due: sa.ColumnElement[bool], batch: int) -> list[UUID]:
    """Lock up to `batch` due accounts that nobody else has locked, the oldest first."""
    query = sa.select(accounts.c.id).where(due).order_by(accounts.c.expires_at, accounts.c.id)
    query = query.limit(batch).with_for_update(skip_locked=True)
    return list((await conn.execute(query)).scalars())
