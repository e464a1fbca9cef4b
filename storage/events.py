"""What the CRM is to learn: one event per fact, written in the very transaction that makes it one.

A row's id is the event's for good; its payload is what is sent, to the letter. It goes with the row once the CRM has
taken it. No row names its person: erasing an account loses no event.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from storage import referral_codes
from storage.database import Database
from storage.models import Account
from storage.outbox import EVENT
from storage.partner_tables import campaigns, partners, touches
from storage.statements import Connection, Statement
from storage.tables import OutboxStatus, accounts, outbox


class EventType(StrEnum):
    """Names that the CRM knows: permanent."""

    CONFIRMED = "registration.confirmed"
    EXPIRED = "registration.expired"
    DELETED = "registration.deleted"


_earlier = outbox.alias("earlier")
# The account is held by the caller, so nobody else numbers its events at the same time. Taken events are gone, so the
# numbers may begin anew.
_NEXT = (
    sa.select(sa.func.coalesce(sa.func.max(_earlier.c.n), 0) + 1)
    .where(_earlier.c.account_id == sa.bindparam("account"))
    .scalar_subquery()
)
_ADD = Statement(
    sa.insert(outbox).values(
        kind=sa.literal_column(f"'{EVENT}'"),
        status=sa.literal_column(f"'{OutboxStatus.NEW.value}'"),
        attempts=sa.literal_column("0"),
        n=_NEXT,
    ),
    sets=("id", "account_id", "payload", "run_at"),
)
_REFERRED = Statement(
    sa.select(campaigns.c.id, campaigns.c.name, partners.c.name.label("partner"), accounts.c.id.label("inviter"))
    .join_from(touches, campaigns, campaigns.c.id == touches.c.campaign_id)
    .outerjoin(partners, partners.c.id == campaigns.c.partner_id)
    .outerjoin(accounts, accounts.c.telegram_id == campaigns.c.inviter)
    .where(touches.c.id == sa.bindparam("touch"))
)


@dataclass(frozen=True)
class Events:
    """Writes events in the caller's transaction; without a CRM (`told` is false) there is nobody to tell."""

    database: Database
    told: bool = False

    async def confirmed(self, conn: Connection, account: Account, now: datetime, *, credited: bool = False) -> None:
        """Tell who has registered, with everything that is known of them; `credited`: by whose link, too."""
        if not self.told:
            return
        referral = await _referral(conn, account) if credited else None
        await self._add(
            conn, EventType.CONFIRMED, account.id, now,
            telegram_id=account.telegram_id, language=account.language,
            email=account.email, email_verified=account.email_verified,
            phone=account.phone, phone_proof=account.phone_proof,
            terms={"version": account.terms_version, "accepted_at": written(account.terms_accepted_at)},
            created_at=written(account.created_at), confirmed_at=written(account.confirmed_at),
            promo=account.promo, referral=referral,
        )  # fmt: skip

    async def expired(self, conn: Connection, gone: Sequence[tuple[UUID, datetime]], now: datetime) -> None:
        """Tell that accounts were deleted because their numbers were not confirmed in time. Nothing personal.

        `gone`: their ids, and when they were created.
        """
        if self.told and gone:
            at = written(now)
            rows = [
                self._row(EventType.EXPIRED, account_id, now, {"created_at": written(created_at), "expired_at": at})
                for account_id, created_at in gone
            ]
            await conn.execute_many(_ADD, rows)

    async def deleted(self, conn: Connection, account: Account, now: datetime) -> None:
        """Tell that a person had their account erased. Nothing personal."""
        dates = {"created_at": written(account.created_at), "confirmed_at": written(account.confirmed_at)}
        await self._add(conn, EventType.DELETED, account.id, now, **dates, deleted_at=written(now))

    async def _add(self, conn: Connection, kind: EventType, account_id: UUID, now: datetime, **data: Any) -> None:
        if self.told:
            await conn.execute(_ADD, **self._row(kind, account_id, now, data))

    def _row(self, kind: EventType, account_id: UUID, now: datetime, data: dict[str, Any]) -> dict[str, Any]:
        body = {"type": kind.value, "timestamp": written(now), "data": {"account_id": str(account_id), **data}}
        whose = {"account": account_id, "account_id": account_id}
        return {"id": self.database.new_id(), **whose, "payload": body, "run_at": now}


async def _referral(conn: Connection, account: Account) -> dict[str, Any] | None:
    """Return by which campaign they came, and whose that is: a partner's, a person's, or (neither) the house's."""
    row = (await conn.execute(_REFERRED, touch=account.touch_id)).one_or_none()
    if row is None:
        return None
    inviter = None if row.inviter is None else str(row.inviter)
    whose = {"campaign": row.name or None, "partner": row.partner, "inviter_account_id": inviter}
    return {"code": referral_codes.written(row.id), **whose}


def written(moment: datetime | None) -> str | None:
    """Return a moment as events say it: RFC 3339, in UTC, to the millisecond."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
