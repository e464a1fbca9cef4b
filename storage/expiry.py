"""What happens to accounts by the clock: the reminder, and the deletion after 24 hours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from storage import outbox
from storage.database import Database
from storage.events import Events
from storage.limits import Limits
from storage.many import ForMany
from storage.models import AccountStatus
from storage.outbox import Notice
from storage.personal import erase_personal
from storage.pruning import Pruning
from storage.statements import Connection, Statement
from storage.tables import accounts

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_PENDING = accounts.c.status == sa.literal_column(f"'{AccountStatus.PENDING.value}'")
_TO_REMIND = sa.and_(
    _PENDING,
    accounts.c.expires_at > sa.bindparam("moment"),
    accounts.c.expires_at <= sa.bindparam("until"),
    accounts.c.reminded_at.is_(None),
    accounts.c.blocked_at.is_(None),
)
_EXPIRED = sa.and_(_PENDING, accounts.c.expires_at <= sa.bindparam("moment"))


def _claim(due: sa.ColumnElement[bool], *columns: sa.Column[Any]) -> Statement:
    """Return the statement that locks due accounts which nobody else has locked, the oldest first."""
    whose = (accounts.c.id, accounts.c.telegram_id, accounts.c.language, accounts.c.expires_at)
    query = (
        sa.select(*whose, *columns)
        .where(due, accounts.c.expires_at >= sa.bindparam("since"))
        .order_by(accounts.c.expires_at)
    )
    return Statement(query.limit(sa.bindparam("batch", type_=sa.Integer)).with_for_update(skip_locked=True))


CLAIM_TO_REMIND = _claim(_TO_REMIND)
CLAIM_EXPIRED = _claim(_EXPIRED, accounts.c.created_at, accounts.c.blocked_at)
_REMINDED = ForMany(lambda among: sa.update(accounts).where(among(accounts.c.id)), sets=("reminded_at",))


def _outlook(due: sa.ColumnElement[bool]) -> Statement:
    blocked = sa.func.count(accounts.c.blocked_at)
    return Statement(
        sa.select(
            sa.func.count().label("n"), blocked.label("blocked"), sa.func.min(accounts.c.expires_at).label("oldest")
        ).where(due)
    )


_HOW_MANY_TO_REMIND, _HOW_MANY_EXPIRED = _outlook(_TO_REMIND), _outlook(_EXPIRED)


@dataclass(frozen=True)
class Due:
    """How many accounts are due, the end of the oldest of them, and how many of their people blocked the bot."""

    count: int
    oldest: datetime | None
    blocked: int


class Expiry:
    """Each method is one bounded transaction; several processes may run them at once without doing a row twice."""

    def __init__(self, database: Database, limits: Limits, events: Events | None = None) -> None:
        """`events`: what the CRM is told; without it nothing."""
        self.database = database
        self.events = events or Events(database)
        self.limits = limits
        self.pruning = Pruning(database, limits)
        self._spread = _Spread(limits)

    def sweep(self, now: datetime) -> Sweep:
        """Return one pass over what is due at this moment."""
        return Sweep(self, self._spread, now)

    async def remind_due(self, now: datetime, batch: int = 500) -> int:
        """Do the first batch of a pass: see `Sweep.remind`."""
        return await self.sweep(now).remind(batch)

    async def expire_due(self, now: datetime, batch: int = 500) -> list[int]:
        """Do the first batch of a pass: see `Sweep.expire`."""
        return await self.sweep(now).expire(batch)

    async def prune_applied(self, now: datetime) -> int:
        """Forget all that is old and done; return how many updates."""
        count = 0
        async for pruned in self.pruning.run(now):
            count += pruned.updates
        return count

    async def outlook(self, now: datetime) -> tuple[Due, Due]:
        """Return what a pass would remind and what it would delete; changes and locks nothing."""

        async def work(conn: Connection) -> tuple[Due, Due]:
            until = now + self.limits.reminder_before
            remind = (await conn.execute(_HOW_MANY_TO_REMIND, moment=now, until=until)).one()
            expire = (await conn.execute(_HOW_MANY_EXPIRED, moment=now)).one()
            return Due(remind.n, remind.oldest, remind.blocked), Due(expire.n, expire.oldest, expire.blocked)

        return await self.database.read(work)


class Sweep:
    """One pass, oldest first. It never comes back to where it was: what others hold at that moment is the next one's.

    So a batch costs the same however many went before: on PostgreSQL the rows they deleted still stand in the index
    while anybody may see them, as a backup does for hours.
    """

    def __init__(self, expiry: Expiry, spread: _Spread, now: datetime) -> None:
        self._database = expiry.database
        self._events = expiry.events
        self._limits = expiry.limits
        self._spread = spread
        self._now = now
        self._reminded = self._expired = _BEGINNING

    async def remind(self, batch: int = 500) -> int:
        """Queue the one reminder of up to `batch` pending accounts that expire soon; return how many.

        People who blocked the bot are left out.
        """

        async def work(conn: Connection) -> Sequence[Any]:
            until = self._now + self._limits.reminder_before
            claim = await conn.execute(
                CLAIM_TO_REMIND, moment=self._now, until=until, since=self._reminded, batch=batch
            )
            rows = claim.all()
            await _REMINDED.execute(conn, [row.id for row in rows], reminded_at=self._now)
            messages = [
                Notice(row.telegram_id, row.language, "notice-reminder", at, {"until": row.expires_at.isoformat()})
                for row, at in zip(rows, self._spread.moments(self._now, len(rows)), strict=True)
            ]
            await outbox.notices(self._database, conn, messages)
            return rows

        rows = await self._database.write(None, work)
        if rows:
            self._reminded = rows[-1].expires_at
        return len(rows)

    async def expire(self, batch: int = 500) -> list[int]:
        """Delete up to `batch` accounts still pending at their end, with everything personal; return Telegram ids.

        Their people are told. An account that is being confirmed at this moment is locked by that and stays.
        """

        async def work(conn: Connection) -> Sequence[Any]:
            claim = await conn.execute(CLAIM_EXPIRED, moment=self._now, since=self._expired, batch=batch)
            rows = claim.all()
            await erase_personal(conn, [(row.id, row.telegram_id) for row in rows], self._now)
            await self._events.expired(conn, [(row.id, row.created_at) for row in rows], self._now)
            told = [row for row in rows if row.blocked_at is None]
            messages = [
                Notice(row.telegram_id, row.language, "notice-expired", at)
                for row, at in zip(told, self._spread.moments(self._now, len(told)), strict=True)
            ]
            await outbox.notices(self._database, conn, messages)
            return rows

        rows = await self._database.write(None, work)
        if rows:
            self._expired = rows[-1].expires_at
        return [row.telegram_id for row in rows]


class _Spread:
    """When each of many people is told, so that nothing else waits behind them all.

    The courier takes rows in the order of their moments and Telegram takes so many a second: a code asked for after a
    hundred thousand notices that are all due now would wait for an hour. Half of what may go stays free.
    """

    def __init__(self, limits: Limits) -> None:
        self._period = limits.telegram_send_rate.period
        self._share = max(1, limits.telegram_send_rate.count // 2)
        self._at = _BEGINNING
        self._taken = 0

    def moments(self, now: datetime, count: int) -> list[datetime]:
        """Return a moment for each of so many messages, the first ones now unless others were promised it before."""
        return [self._next(now) for _ in range(count)]

    def _next(self, now: datetime) -> datetime:
        if self._at < now:
            self._at, self._taken = now, 0
        elif self._taken == self._share:
            self._at, self._taken = self._at + self._period, 0
        self._taken += 1
        return self._at
