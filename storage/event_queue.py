"""Events on their way to the CRM: taken under a lease, one account's in order, tried again for days, never lost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from storage import outbox
from storage.attribution import Stage, reach, take_back
from storage.database import Database
from storage.events import EventType, written
from storage.models import AccountStatus
from storage.outbox import EVENT, FREE, IS_EVENT, IS_NEW, LEASE, OutboxItem
from storage.rows import insert_unless_there
from storage.statements import Connection, Statement
from storage.tables import OutboxStatus, accounts, event_stops
from storage.tables import outbox as rows

REFUSED = "conflict"
"""The error of an event that the CRM answered with 409. Stored: permanent."""

# There is one CRM.
_CRM = "crm"
_earlier = rows.alias("earlier")
# Delivered rows are gone: whatever stands before an event has not been taken yet, or was given up.
IS_FIRST = ~sa.exists().where(_earlier.c.account_id == rows.c.account_id, _earlier.c.n < rows.c.n)
_due = (
    sa.select(rows.c.id, rows.c.payload, rows.c.attempts, rows.c.account_id)
    .where(IS_EVENT, IS_NEW, rows.c.run_at <= sa.bindparam("moment"), FREE, IS_FIRST)
    .where(~sa.exists(sa.select(event_stops.c.at)))
    .order_by(rows.c.run_at, rows.c.n)
    .limit(sa.bindparam("batch", type_=sa.Integer))
)
_ANY_DUE = Statement(_due)
_DUE = Statement(_due.with_for_update(skip_locked=True))
_ACCOUNT = accounts.c.id == sa.bindparam("account")
_LOCK_ACCOUNT = Statement(
    sa.select(accounts.c.status, accounts.c.confirmed_at, accounts.c.telegram_id, accounts.c.language)
    .add_columns(accounts.c.blocked_at, accounts.c.email, accounts.c.phone, accounts.c.touch_id)
    .where(_ACCOUNT)
    .with_for_update()
)
_STATUS = Statement(sa.update(accounts).where(_ACCOUNT), sets=("status",))
_RIVAL = Statement(
    sa.select(accounts.c.id)
    .where(accounts.c.status == sa.literal_column(f"'{AccountStatus.CONFIRMED.value}'"))
    .where(sa.or_(accounts.c.email == sa.bindparam("email"), accounts.c.phone == sa.bindparam("phone")))
    .limit(1)
)
_ONCE_AN_HOUR = "%Y-%m-%dT%H"


@dataclass(frozen=True)
class Event(OutboxItem):
    """One leased event; `payload` is what the CRM is sent, `attempts` counts this one."""

    account_id: UUID

    @property
    def type(self) -> EventType:
        """What happened."""
        return EventType(self.payload["type"])


class EventQueue:
    """What the courier of events takes its rows from, and what became of them."""

    def __init__(self, database: Database, lease: timedelta) -> None:
        """`lease`: longer than any call, after which another process takes a row over."""
        self._database = database
        self._lease = lease

    async def take(self, owner: str, now: datetime, batch: int) -> list[Event]:
        """Lease up to `batch` due events to `owner`, oldest first, none before an earlier one of its account.

        None at all after the CRM said that it wants no more.
        """

        async def look(conn: Connection) -> bool:
            return (await conn.execute(_ANY_DUE, moment=now, batch=1)).first() is not None

        async def work(conn: Connection) -> list[Event]:
            due = (await conn.execute(_DUE, moment=now, batch=batch)).all()
            for row in due:
                await conn.execute(LEASE, item=row.id, lease_owner=owner, lease_until=now + self._lease)
            return [Event(row.id, EVENT, row.payload, row.attempts + 1, row.account_id) for row in due]

        # Most often there is nothing, and to see that takes no lock.
        return await self._database.write(None, work) if await self._database.read(look) else []

    async def retry(self, item_id: UUID, owner: str, run_at: datetime, error: str) -> None:
        """Give an event back, due again at `run_at`; `error` says why, without personal data."""

        async def work(conn: Connection) -> None:
            await outbox.change_held(
                conn, item_id, owner, run_at=run_at, error=error, lease_until=None, lease_owner=None
            )

        await self._database.write(None, work)

    async def dead(self, item_id: UUID, owner: str, error: str) -> None:
        """Put an event aside until somebody has it sent again."""

        async def work(conn: Connection) -> None:
            await _aside(conn, item_id, owner, error)

        await self._database.write(None, work)

    async def give_up(self, event: Event, owner: str, error: str, now: datetime) -> None:
        """Put an event aside and tell the operator, at most once an hour."""

        async def work(conn: Connection) -> None:
            if await _aside(conn, event.id, owner, error):
                values = {"id": str(event.id), "error": error}
                once = f"alert:event-dead:{now.strftime(_ONCE_AN_HOUR)}"
                await self._alert(conn, "alert-event-dead", values, now, once)

        await self._database.write(None, work)

    async def delivered(self, event: Event, owner: str, now: datetime) -> int | None:
        """End an event that the CRM took.

        When it had refused this registration before, the account is confirmed again, its person is told, and their
        Telegram id returned: their conversation must be forgotten.
        """

        async def work(conn: Connection) -> int | None:
            account = await _told_of(conn, event)
            await outbox.done(conn, event.id, owner)
            if account is None or account.status != AccountStatus.CONFLICT:
                return None
            if (await conn.execute(_RIVAL, email=account.email, phone=account.phone)).first() is not None:
                # Somebody else has registered with it meanwhile, and the CRM took that too: for people to sort out.
                await self._alert(conn, "alert-conflict", {"account": str(event.account_id)}, now)
                return None
            await self._changed(conn, event, account, AccountStatus.CONFIRMED, "notice-conflict-over", now)
            if event.payload["data"].get("referral") is not None:
                await reach(conn, account.touch_id, Stage.CONFIRMED)
            return int(account.telegram_id)

        return await self._database.write(None, work)

    async def refused(self, event: Event, owner: str, now: datetime) -> int | None:
        """Take over that the CRM has somebody else with this number or address (HTTP 409).

        The account is in conflict, the event is put aside, the person and support are told. Returns the Telegram id
        of whose conversation must be forgotten; None when the account is gone, changed since, or in conflict already.
        """

        async def work(conn: Connection) -> int | None:
            account = await _told_of(conn, event)
            if account is None:
                await outbox.done(conn, event.id, owner)
                return None
            held = await _aside(conn, event.id, owner, REFUSED)
            if not held or account.status != AccountStatus.CONFIRMED:
                return None
            await self._changed(conn, event, account, AccountStatus.CONFLICT, "notice-conflict", now)
            # Somebody who is registered elsewhere: nobody brought them.
            await take_back(conn, [event.account_id])
            await self._alert(conn, "alert-conflict", {"account": str(event.account_id)}, now)
            return int(account.telegram_id)

        return await self._database.write(None, work)

    async def stop(self, event: Event, owner: str, now: datetime) -> None:
        """Take over that the CRM wants no more events (HTTP 410): all are kept, none is sent. The operator is told."""

        async def work(conn: Connection) -> None:
            # It was no try: the schedule goes on where it was.
            values = {"attempts": event.attempts - 1, "run_at": now, "error": "HTTP 410"}
            await outbox.change_held(conn, event.id, owner, **values, lease_until=None, lease_owner=None)
            if await insert_unless_there(conn, event_stops, receiver=_CRM, at=now):
                await self._alert(conn, "alert-events-stopped", {}, now)

        await self._database.write(None, work)

    async def resume(self) -> bool:
        """Send events again after a stop; False when there was none."""

        async def work(conn: Connection) -> bool:
            return (await conn.execute(sa.delete(event_stops))).count > 0

        return await self._database.write(None, work)

    async def _changed(
        self, conn: Connection, event: Event, account: Any, status: AccountStatus, text: str, now: datetime
    ) -> None:
        await conn.execute(_STATUS, account=event.account_id, status=status)
        if account.blocked_at is None:
            await outbox.notice(self._database, conn, account.telegram_id, account.language, text, now)

    async def _alert(
        self, conn: Connection, text: str, values: dict[str, Any], now: datetime, once: str | None = None
    ) -> None:
        payload = {"text": text, "values": values}
        await outbox.put(self._database, conn, outbox.ALERT, payload, now, dedupe=once)


async def _told_of(conn: Connection, event: Event) -> Any:
    """Return the account of a confirmation, locked, before its event's row is: None when it is another one by now."""
    if event.type is not EventType.CONFIRMED:
        return None
    account = (await conn.execute(_LOCK_ACCOUNT, account=event.account_id)).one_or_none()
    same = account is not None and written(account.confirmed_at) == event.payload["data"]["confirmed_at"]
    return account if same else None


async def _aside(conn: Connection, item_id: UUID, owner: str, error: str) -> bool:
    return await outbox.change_held(conn, item_id, owner, status=OutboxStatus.DEAD, error=error, lease_until=None)
