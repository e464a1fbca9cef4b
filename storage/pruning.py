"""What is forgotten because it is old and done, in bounded transactions: answers, ended rows, links of nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from storage.database import Database
from storage.invitation_tables import invitations
from storage.limits import Limits
from storage.many import ForMany
from storage.outbox import INVITATION, NO_EVENT
from storage.partner_tables import click_visitors
from storage.spending import slot_of
from storage.statements import Connection, Statement
from storage.tables import OutboxStatus, accounts, applied_updates, early_reports, identities, outbox, running_costs

# Twice the 24 h for which Telegram keeps an update that was not acknowledged.
REMEMBERED = timedelta(hours=48)
# Rows per transaction of each kind. They are small, and nobody else wants them.
_BATCH = 500

_BEFORE: sa.BindParameter[datetime] = sa.bindparam("before")
_NUMBER: sa.ColumnClause[int] = sa.literal_column(str(_BATCH))
_KEY = (applied_updates.c.telegram_id, applied_updates.c.update_id)
_OLD = sa.select(*_KEY).where(applied_updates.c.at < _BEFORE).order_by(applied_updates.c.at).limit(_NUMBER)
FORGET_UPDATES = Statement(
    sa.delete(applied_updates).where(sa.tuple_(*_KEY).in_(_OLD.with_for_update(skip_locked=True)))
)
_IS_DONE = outbox.c.status == sa.literal_column(f"'{OutboxStatus.DONE.value}'")
_ENDED = sa.select(outbox.c.id).where(_IS_DONE, NO_EVENT, outbox.c.run_at < _BEFORE).order_by(outbox.c.run_at)
FORGET_ROWS = Statement(
    sa.delete(outbox).where(outbox.c.id.in_(_ENDED.limit(_NUMBER).with_for_update(skip_locked=True)))
)
# Of a letter that was given up after faults of ours: what it says of the invited goes no later.
_IS_DEAD = outbox.c.status == sa.literal_column(f"'{OutboxStatus.DEAD.value}'")
_IS_LETTER = outbox.c.kind == sa.literal_column(f"'{INVITATION}'")
_LETTERS = sa.select(outbox.c.id).where(_IS_DEAD, NO_EVENT, _IS_LETTER, outbox.c.run_at < _BEFORE)
FORGET_LETTERS = Statement(
    sa.delete(outbox).where(outbox.c.id.in_(_LETTERS.limit(_NUMBER).with_for_update(skip_locked=True)))
)
_INVITED = sa.select(invitations.c.id).where(invitations.c.created_at < _BEFORE).order_by(invitations.c.created_at)
FORGET_INVITATIONS = Statement(
    sa.delete(invitations).where(invitations.c.id.in_(_INVITED.limit(_NUMBER).with_for_update(skip_locked=True)))
)
_CLAIMED = sa.select(invitations.c.id).where(invitations.c.invitee.is_not(None), invitations.c.used_at < _BEFORE)
FORGET_CLAIMS = Statement(
    sa.update(invitations)
    .where(invitations.c.id.in_(_CLAIMED.limit(_NUMBER).with_for_update(skip_locked=True)))
    .values(invitee=None, email=None)
)
_NAME = (early_reports.c.gateway, early_reports.c.provider_id)
_EARLY = sa.select(*_NAME).where(early_reports.c.at < _BEFORE).order_by(early_reports.c.at).limit(_NUMBER)
FORGET_REPORTS = Statement(
    sa.delete(early_reports).where(sa.tuple_(*_NAME).in_(_EARLY.with_for_update(skip_locked=True)))
)
_VISIT = (click_visitors.c.campaign_id, click_visitors.c.day, click_visitors.c.visitor)
_VISITS = sa.select(*_VISIT).where(click_visitors.c.day < sa.bindparam("day")).order_by(click_visitors.c.day)
FORGET_VISITORS = Statement(
    sa.delete(click_visitors).where(sa.tuple_(*_VISIT).in_(_VISITS.limit(_NUMBER).with_for_update(skip_locked=True)))
)
FORGET_COSTS = Statement(sa.delete(running_costs).where(running_costs.c.slot < sa.bindparam("slot")))
_HAS_ACCOUNT = sa.exists().where(accounts.c.telegram_id == identities.c.telegram_id)
LOOK_AT_LINKS = Statement(
    sa.select(identities.c.id, _HAS_ACCOUNT.label("has_account"))
    .where(identities.c.id > sa.bindparam("since"), identities.c.linked_at < _BEFORE)
    .order_by(identities.c.id)
    .limit(_NUMBER)
)
_FORGET_LINKS = ForMany(lambda among: sa.delete(identities).where(among(identities.c.id), ~_HAS_ACCOUNT))


@dataclass(frozen=True)
class Pruned:
    """What one transaction forgot: updates, and all rows together."""

    updates: int
    rows: int


class Pruning:
    """An identity, and the address of an invitation, wait for their person's account as long as that for its number."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database = database
        self._lifetime = limits.unconfirmed_lifetime
        # For so long a row is a link's, or counted.
        windows = (limits.invites_per_person.period, limits.mails_per_address.period)
        self._invitations = max(limits.invite_lifetime, *windows) + REMEMBERED
        # Row ids grow with time (`Database.new_id`). Who has an account takes their identities along when it goes, so
        # that each link is looked at once by each process.
        self._links_seen = UUID(int=0)

    async def run(self, now: datetime) -> AsyncIterator[Pruned]:
        """Forget updates applied more than 48 hours ago and what else is as old, one transaction at each step."""
        while True:
            counts = await self._database.write(None, lambda conn: self._forget(conn, now))
            if any(counts):
                yield Pruned(counts[0], sum(counts))
            if max(counts) < _BATCH:
                break
        while (rows := await self._forget_links(now - self._lifetime)) is not None:
            if rows:
                yield Pruned(0, rows)

    async def _forget_links(self, before: datetime) -> int | None:
        """Delete the links, of the next few, of people who went no further: no account takes them along."""
        since = self._links_seen

        async def look(conn: Connection) -> list[tuple[UUID, bool]]:
            return [
                (row.id, row.has_account)
                for row in (await conn.execute(LOOK_AT_LINKS, since=since, before=before)).all()
            ]

        seen = await self._database.read(look)
        if not seen:
            return None
        nobodys = [link_id for link_id, has_account in seen if not has_account]

        async def work(conn: Connection) -> None:
            await _FORGET_LINKS.execute(conn, nobodys)

        if nobodys:
            await self._database.write(None, work)
        self._links_seen = seen[-1][0]
        return len(nobodys)

    async def _forget(self, conn: Connection, now: datetime) -> list[int]:
        """Return how many rows of each kind went, the updates first."""
        before = now - REMEMBERED
        old = {
            FORGET_UPDATES: before, FORGET_ROWS: before, FORGET_REPORTS: before, FORGET_LETTERS: before,
            FORGET_INVITATIONS: now - self._invitations, FORGET_CLAIMS: now - self._lifetime,
        }  # fmt: skip
        counts = [(await conn.execute(statement, before=moment)).count for statement, moment in old.items()]
        counts.append((await conn.execute(FORGET_COSTS, slot=slot_of(before))).count)
        # Wherever the operator is, that day is over.
        return [*counts, (await conn.execute(FORGET_VISITORS, day=before.toordinal())).count]
