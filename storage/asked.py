"""The challenge an account is being asked about, and which of its codes are live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from storage.ledger import COUNTED
from storage.limits import Limits
from storage.models import Channel, SendState
from storage.statements import Connection, Statement
from storage.tables import IS_ASKED, ChallengeState, challenges, sends

_ASKED = Statement(
    sa.select(
        challenges.c.id, challenges.c.number, challenges.c.country, challenges.c.key_id, challenges.c.codes,
        challenges.c.state, challenges.c.last_action_at, sends.c.code_n, sends.c.at.label("sent_at"), sends.c.channel,
        sends.c.state.label("send_state"),
    )
    .outerjoin_from(challenges, sends, sa.and_(sends.c.challenge_id == challenges.c.id, COUNTED))
    .where(challenges.c.account_id == sa.bindparam("account"), IS_ASKED)
    .order_by(sends.c.code_n)
)  # fmt: skip


@dataclass(frozen=True)
class SentCode:
    """One code of a challenge that left, or is about to."""

    n: int
    at: datetime
    channel: Channel
    state: SendState


@dataclass(frozen=True)
class Challenge:
    """One account's proof of one number. `sent` is oldest first; what never left is not in it."""

    id: UUID
    number: str
    country: str
    key_id: str
    codes: int
    state: ChallengeState
    last_action_at: datetime
    sent: tuple[SentCode, ...]

    def live_codes(self, limits: Limits, now: datetime) -> tuple[int, ...]:
        """Return which codes are right now: the last few, each for its lifetime, while the session goes on."""
        if self.state is not ChallengeState.OPEN or now >= self.last_action_at + limits.challenge_session:
            return ()
        return tuple(code.n for code in self.sent[-limits.live_codes :] if now < code.at + limits.code_lifetime)

    def ends_at(self, limits: Limits) -> datetime:
        """Return when the last live code stops being one, if nothing more happens."""
        session = self.last_action_at + limits.challenge_session
        return min(session, self.sent[-1].at + limits.code_lifetime) if self.sent else session

    def has_sms_left(self, limits: Limits) -> bool:
        """Tell whether this challenge allows one more SMS."""
        return sum(code.channel is Channel.SMS for code in self.sent) < limits.sends_per_challenge

    def resend_at(self, limits: Limits) -> datetime:
        """Return when the next code may be asked for by the delays. What did not arrive is not waited for."""
        if not self.sent or self.sent[-1].state is SendState.UNDELIVERED:
            return self.last_action_at
        delay = limits.resend_delays[min(len(self.sent), len(limits.resend_delays)) - 1]
        return self.sent[-1].at + delay


async def asked_challenge(conn: Connection, account_id: UUID) -> Challenge | None:
    """Return the challenge that still counts as asked (open, or dead after too many tries), None when there is none."""
    rows = (await conn.execute(_ASKED, account=account_id)).all()
    if not rows:
        return None
    sent = (
        SentCode(row.code_n, row.sent_at, Channel(row.channel), SendState(row.send_state))
        for row in rows
        if row.code_n is not None
    )
    row = rows[0]
    return Challenge(
        id=row.id, number=row.number, country=row.country, key_id=row.key_id, codes=row.codes,
        state=ChallengeState(row.state), last_action_at=row.last_action_at, sent=tuple(sent),
    )  # fmt: skip
