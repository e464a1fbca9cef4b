"""What is personal, and how it goes: one place for erasure by the person and by the clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from storage.attribution import forget_touches
from storage.event_queue import REFUSED
from storage.invitation_tables import invitations
from storage.many import ForMany
from storage.models import SendState
from storage.outbox import IS_EVENT
from storage.statements import Connection
from storage.tables import IS_ASKED, ChallengeState, OutboxStatus, accounts, challenges, identities, outbox, sends

# A code that has not left yet never will: its row must not use up anybody's allowance.
_DROP_UNSENT = ForMany(
    lambda among: (
        sa.update(sends)
        .where(sends.c.challenge_id.in_(sa.select(challenges.c.id).where(among(challenges.c.account_id))))
        .where(sends.c.state == sa.literal_column(f"'{SendState.QUEUED.value}'"))
        .values(state=SendState.FAILED.value, price=0)
    ),
    sets=("changed_at",),
)
_STATE = sa.case((IS_ASKED, sa.literal_column(f"'{ChallengeState.DEAD.value}'")), else_=challenges.c.state)
_EMPTY_CHALLENGES = ForMany(
    lambda among: sa.update(challenges).where(among(challenges.c.account_id)).values(number=None, state=_STATE)
)
_DELETE_QUEUED = ForMany(lambda among: sa.delete(outbox).where(among(outbox.c.telegram_id)))
_DELETE_IDENTITIES = ForMany(lambda among: sa.delete(identities).where(among(identities.c.telegram_id)))
# What an invitation vouches for before there is an account; the rest of its row is nobody's.
_FORGET_CLAIMS = ForMany(
    lambda among: sa.update(invitations).where(among(invitations.c.invitee)).values(invitee=None, email=None)
)
_DELETE_REFUSED = ForMany(
    lambda among: sa.delete(outbox).where(
        among(outbox.c.account_id),
        outbox.c.status == sa.literal_column(f"'{OutboxStatus.DEAD.value}'"),
        outbox.c.error == sa.literal_column(f"'{REFUSED}'"),
        IS_EVENT,
    )
)
_DELETE_ACCOUNTS = ForMany(lambda among: sa.delete(accounts).where(among(accounts.c.id)))


async def erase_personal(conn: Connection, people: Sequence[tuple[UUID, int]], now: datetime) -> None:
    """Delete these accounts (id, Telegram id), their identities, numbers, open codes and queued messages.

    The ledger, the wrong codes, the look-ups, the touches, the uses of promo codes, the invitations and the history of
    accepted terms stay: they hold HMACs only.
    What the CRM is still to be told stays too, and goes once it is told; what it refused to hear goes now.
    """
    account_ids, telegram_ids = [account_id for account_id, _ in people], [telegram_id for _, telegram_id in people]
    await _DROP_UNSENT.execute(conn, account_ids, changed_at=now)
    await _EMPTY_CHALLENGES.execute(conn, account_ids)
    await _DELETE_QUEUED.execute(conn, telegram_ids)
    await _DELETE_IDENTITIES.execute(conn, telegram_ids)
    await _FORGET_CLAIMS.execute(conn, telegram_ids)
    await _DELETE_REFUSED.execute(conn, account_ids)
    await forget_touches(conn, account_ids, telegram_ids)
    await _DELETE_ACCOUNTS.execute(conn, account_ids)
