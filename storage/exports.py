"""What is stored about one person, for that person: everything personal, without HMACs, codes and internal ids.

Rows that hold an HMAC of the person are theirs too; the HMAC stays out, the moment and what happened go in.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from storage import referral_codes
from storage.column_types import UnixTime, UtcDateTime
from storage.database import Database
from storage.invitation_tables import invitations
from storage.keys import Keys
from storage.marks import mark
from storage.outbox import INVITATION
from storage.partner_tables import campaigns, touches
from storage.statements import Connection
from storage.tables import (
    OutboxStatus,
    accounts,
    applied_updates,
    challenges,
    code_attempts,
    identities,
    lookups,
    outbox,
    sends,
    terms_acceptances,
)

ACCOUNT = (
    "status", "telegram_id", "language", "email", "email_verified", "phone", "phone_proof", "phone_proven_at",
    "terms_version", "terms_accepted_at", "created_at", "expires_at", "reminded_at", "confirmed_at", "blocked_at",
    "promo",
)  # fmt: skip
NUMBERS = ("number", "country", "language", "state", "codes", "attempts", "created_at", "last_action_at")
LINKED = ("provider", "issuer", "subject", "email", "email_verified", "linked_at")
CODES = ("at", "country", "channel", "gateway", "state", "left_at", "changed_at", "entered_at", "refused_by")
_accepted = terms_acceptances.c
TERMS = (
    _accepted.version,
    _accepted.language,
    _accepted.sentence_hash.label("sentence_sha256"),
    _accepted.accepted_at,
)
Json = dict[str, Any]


class Exports:
    """Reads one person's data; nothing is changed by it."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database = database
        self._keys = keys

    async def of(self, telegram_id: int) -> Json | None:
        """Return the person's data as plain JSON, None when there is none. Moments are ISO 8601, in UTC.

        `account`; `linked`: accounts elsewhere that sign them in, which may be there before the account is, and then is
        all; `invited`: addresses that an invitation vouches for, likewise; `came_by`: the link that brought them;
        `own_link`: the one they invite by; `invitations`: when they had letters sent (to whom nobody knows any more,
        and what became of them would tell who is registered); `terms`: each acceptance; `numbers`: each that was to be
        proven; `codes`: each that was asked for and what became of it, refused ones too; `entered_codes`, `looked_up`:
        moments that limits count; `waiting`: what is queued for them or about them; `updates`: when their messages
        changed something, kept for 48 hours. What is counted of an earlier account of the same person, erased since, is
        not told: that account is nobody's.
        """

        async def work(conn: Connection) -> Json | None:
            wanted = sa.select(accounts.c.id, accounts.c.touch_id, *(accounts.c[name] for name in ACCOUNT))
            account = (await conn.execute(wanted.where(accounts.c.telegram_id == telegram_id))).first()
            theirs = _select([identities.c[name] for name in LINKED], identities.c.telegram_id == telegram_id)
            linked = await _rows(conn, theirs)
            claimed = [invitations.c.used_at, invitations.c.email]
            invited = await _rows(conn, _select(claimed, invitations.c.invitee == telegram_id))
            early = {"linked": linked, "invited": invited}
            if account is None:
                return {"account": None, **early} if linked or invited else None
            own = {"id": str(account.id), **_named(ACCOUNT, account)}
            came_by = await _rows(conn, _came_by(account.touch_id))
            history = await self._history(conn, account.id, telegram_id, account.created_at)
            link = _select([campaigns.c.id, campaigns.c.created_at], campaigns.c.inviter == telegram_id)
            own_link = [{**row, "id": referral_codes.written(row["id"])} for row in await _rows(conn, link)]
            return {"account": own, **early, "came_by": came_by, "own_link": own_link, **history}

        return await self._database.read(work)

    async def _history(self, conn: Connection, account_id: UUID, telegram_id: int, since: datetime) -> Json:
        persons = self._keys.persons(telegram_id)
        asked, sent, tried, looked, queued = challenges.c, sends.c, code_attempts.c, lookups.c, outbox.c
        theirs = sa.select(asked.id).where(asked.account_id == account_id)
        for_them = sa.or_(queued.telegram_id == telegram_id, queued.account_id == account_id)
        # Which letters wait would tell which did not have to.
        waits = sa.and_(queued.status != OutboxStatus.DONE.value, queued.kind != INVITATION)
        asked_for, inviters = invitations.c, [mark(hmac) for hmac in persons]
        wanted = {
            "invitations": _select(
                [asked_for.created_at], asked_for.inviter.in_(inviters), asked_for.created_at >= since
            ),
            "terms": _select(TERMS, terms_acceptances.c.account_id == account_id),
            "numbers": _select([asked[name] for name in NUMBERS], asked.account_id == account_id),
            "codes": _select([sent[name] for name in CODES], sent.person_hmac.in_(persons), sent.at >= since),
            "entered_codes": _select([tried.at, tried.outcome], tried.challenge_id.in_(theirs)),
            "looked_up": _select([looked.at, looked.kind], looked.person_hmac.in_(persons), looked.at >= since),
            "waiting": _select([queued.run_at, queued.kind], for_them, waits),
            "updates": _select([applied_updates.c.at], applied_updates.c.telegram_id == telegram_id),
        }
        return {name: await _rows(conn, query) for name, query in wanted.items()}


def _came_by(touch_id: int | None) -> sa.Select[Any]:
    query = _select([touches.c.at, campaigns.c.name.label("campaign")], touches.c.id == touch_id)
    return query.join_from(touches, campaigns, campaigns.c.id == touches.c.campaign_id)


def _select(columns: Sequence[sa.ColumnElement[Any]], *which: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Return the query of these columns, in the order of the first moment among them."""
    first = next(column for column in columns if isinstance(column.type, UtcDateTime | UnixTime))
    return sa.select(*columns).where(*which).order_by(first)


async def _rows(conn: Connection, query: sa.Select[Any]) -> list[Json]:
    names = tuple(query.exported_columns.keys())
    return [_named(names, row) for row in (await conn.execute(query)).all()]


def _named(names: tuple[str, ...], row: Any) -> Json:
    return {name: _plain(getattr(row, name)) for name in names}


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
