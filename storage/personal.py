"""What is personal, and how it goes: one place for erasure by the person and by the clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from storage.models import SendState
from storage.statements import Connection
from storage.tables import ASKED, ChallengeState, accounts, challenges, outbox, sends


async def erase_personal(conn: Connection, people: Sequence[tuple[UUID, int]], now: datetime) -> None:
    """Delete these accounts (id, Telegram id), their numbers, open codes and queued messages.

    The ledger, the wrong codes, the look-ups and the history of accepted terms stay: they hold HMACs only.
    """
    account_ids = [account_id for account_id, _ in people]
    theirs = challenges.c.account_id.in_(account_ids)
    # A code that has not left yet never will: its row must not use up anybody's allowance.
    unsent = sends.c.challenge_id.in_(sa.select(challenges.c.id).where(theirs))
    failed = {"state": SendState.FAILED, "changed_at": now}
    await conn.execute(sa.update(sends).where(unsent, sends.c.state == SendState.QUEUED).values(failed))
    state = sa.case((challenges.c.state.in_(ASKED), ChallengeState.DEAD.value), else_=challenges.c.state)
    await conn.execute(sa.update(challenges).where(theirs).values(number=None, state=state))
    await conn.execute(sa.delete(outbox).where(outbox.c.telegram_id.in_([telegram_id for _, telegram_id in people])))
    await conn.execute(sa.delete(accounts).where(accounts.c.id.in_(account_ids)))
