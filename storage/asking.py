"""Queueing one more code: its challenge, the ledger's row, the outbox's. Runs in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from storage import outbox
from storage.admission import Admission, Admitted, Refused
from storage.asked import Challenge, SentCode, asked_challenge
from storage.database import Database
from storage.errors import Limit, LimitReached
from storage.keys import Keys
from storage.ledger import Ledger, Recipient, hmac_is, under
from storage.limits import Limits
from storage.models import Account, Channel, CodeSent, SendState
from storage.rows import change, insert, insert_unless_there
from storage.sending import Offer, Sending
from storage.statements import Connection, Statement
from storage.tables import IS_ASKED, ChallengeState, challenges, prefix_blocks

# Percent of the budget at which the operator is told; at the last one nothing more is sent.
_ALERTS = (50, 80)
_REPLACE = Statement(
    sa.update(challenges).where(challenges.c.account_id == sa.bindparam("account"), IS_ASKED), sets=("state",)
)
_OPEN_PREFIX = Statement(
    sa.delete(prefix_blocks).where(
        hmac_is(prefix_blocks.c.prefix_hmac, "prefix"), prefix_blocks.c.until <= sa.bindparam("moment")
    )
)


class Asking:
    """Each method raises what forbids the code, after it wrote the refused row."""

    def __init__(self, database: Database, keys: Keys, limits: Limits, sending: Sending) -> None:
        self.ledger = Ledger(database, keys, limits)
        self.admission = Admission(self.ledger, limits, sending)
        self._database = database
        self._keys = keys
        self._limits = limits
        self._sending = sending

    async def ask(
        self, conn: Connection, account: Account, to: Recipient, language: str, own_contact: bool, now: datetime
    ) -> CodeSent:
        """Queue a code for a number that was given, unless one to it is still waited for.

        Raises LimitReached, NothingIsSent.
        """
        challenge = await asked_challenge(conn, account.id) if account.asked_number else None
        if own_contact:
            # A code that may not be tried is no reason to wait for it.
            wrong = await self.ledger.wrong_codes(conn, to.telegram_id, to.number, now)
            if wrong is not None:
                await self._refuse(conn, wrong, to, challenge, None, now)
        if challenge is None or challenge.number != to.number or not challenge.live_codes(self._limits, now):
            return await self.send_first(conn, account, to, language, None, now)
        has_left, due = challenge.has_sms_left(self._limits), challenge.resend_at(self._limits)
        if not has_left and not own_contact:
            # What was sent is still right: nothing is refused to who gives the same number again.
            return CodeSent(account, to.number, queued=False, resend_at=None)
        if has_left and now < due:
            return CodeSent(account, to.number, queued=False, resend_at=due)
        return await self.send_next(conn, account, challenge, to, language, None, now)

    async def send_first(
        self, conn: Connection, account: Account, to: Recipient, language: str, channel: Channel | None, now: datetime
    ) -> CodeSent:
        """Queue the first code of a new challenge; what was asked before is so no longer."""
        admitted = await self._admitted(conn, to, None, channel, now)
        if account.asked_number is not None:
            await conn.execute(_REPLACE, account=account.id, state=ChallengeState.REPLACED)
        challenge_id = self._database.new_id()
        await insert(
            conn, challenges, id=challenge_id, account_id=account.id, number=to.number,
            number_hmac=self._keys.number(to.number), country=to.country, key_id=self._keys.key_id, language=language,
            codes=1, attempts=0, state=ChallengeState.OPEN, created_at=now, last_action_at=now,
        )  # fmt: skip
        challenge = Challenge(
            challenge_id, to.number, to.country, self._keys.key_id, 1, ChallengeState.OPEN, now, sent=()
        )
        return await self._queue(conn, account, challenge, to, admitted, now)

    async def send_next(
        self,
        conn: Connection,
        account: Account,
        challenge: Challenge,
        to: Recipient,
        language: str,
        channel: Channel | None,
        now: datetime,
    ) -> CodeSent:
        """Queue one more code of a challenge; the earlier ones stay right."""
        admitted = await self._admitted(conn, to, challenge, channel, now)
        challenge = replace(challenge, codes=challenge.codes + 1, last_action_at=now)
        await change(conn, challenges, challenge.id, codes=challenge.codes, language=language, last_action_at=now)
        return await self._queue(conn, account, challenge, to, admitted, now)

    async def may_send(
        self, conn: Connection, to: Recipient, challenge: Challenge, channel: Channel | None, now: datetime
    ) -> Admitted | Refused:
        """Tell whether this challenge's next code may leave at `now`, without holding or writing anything."""
        left = challenge.has_sms_left(self._limits) or not challenge.live_codes(self._limits, now)
        return await self.admission.of(conn, to, channel, now, sms_left=left, holds=False)

    async def _admitted(
        self, conn: Connection, to: Recipient, challenge: Challenge | None, channel: Channel | None, now: datetime
    ) -> Admitted:
        left = challenge is None or challenge.has_sms_left(self._limits)
        found = await self.admission.of(conn, to, channel, now, sms_left=left)
        if isinstance(found, Admitted):
            return found
        if isinstance(found, LimitReached) and found.limit is Limit.SENDS_PER_CHALLENGE and challenge is not None:
            # A new challenge opens when this one ends, limits permitting.
            ends_at = max(challenge.ends_at(self._limits), now)
            later = await self.admission.of(conn, to, channel, ends_at, holds=False)
            found = LimitReached(found.limit, later.retry_at if isinstance(later, LimitReached) else ends_at)
        await self._refuse(conn, found, to, challenge, channel, now)
        raise AssertionError("unreachable: a refusal is raised")

    async def _refuse(
        self,
        conn: Connection,
        refusal: Refused,
        to: Recipient,
        challenge: Challenge | None,
        channel: Channel | None,
        now: datetime,
    ) -> None:
        challenge_id = challenge.id if challenge else None
        await self.ledger.add_refusal(conn, to, challenge_id, channel or Channel.SMS, refusal.limit, now)
        if isinstance(refusal, LimitReached) and refusal.limit is Limit.PREFIX_BLOCKED:
            await self._close_prefix(conn, to, refusal.retry_at, now)
        if refusal.limit is Limit.COUNTRY_UNCONFIRMED:
            await self._alert(conn, "alert-country", f"country:{to.country}:{now.date()}", {"country": to.country}, now)
        if refusal.limit is Limit.DAILY_BUDGET:
            await self._alert(conn, "alert-budget-spent", f"budget-100:{now.date()}", {}, now)
        raise refusal

    async def _close_prefix(self, conn: Connection, to: Recipient, until: datetime, now: datetime) -> None:
        await conn.execute(_OPEN_PREFIX, moment=now, **under("prefix", self._keys.prefixes(to.number)))
        prefix = self._keys.prefix(to.number)
        if await insert_unless_there(conn, prefix_blocks, prefix_hmac=prefix, blocked_at=now, until=until):
            values = {"range": f"{to.number[:-4]}****", "until": until.isoformat()}
            await self._alert(conn, "alert-prefix", f"prefix:{prefix}:{now.isoformat()}", values, now)

    async def _queue(
        self, conn: Connection, account: Account, challenge: Challenge, to: Recipient, admitted: Admitted, now: datetime
    ) -> CodeSent:
        """Queue the challenge's newest code."""
        n, first = challenge.codes, admitted.offers[0]
        send_id = await self.ledger.add_send(conn, to, challenge.id, n, first, now)
        state = SendState.ACCEPTED
        if first.channel is not Channel.TEST:
            state = SendState.QUEUED
            payload = {"send_id": send_id.hex, "route": [offer.written() for offer in admitted.offers]}
            await outbox.put(self._database, conn, outbox.CODE, payload, now, telegram_id=account.telegram_id)
            await self._warn_of_budget(conn, admitted.spent, first, now)
        sent = (*challenge.sent, SentCode(n, now, first.channel, state))
        challenge = replace(challenge, sent=sent)
        # Whoever asks for more after the last SMS is told when; until then the delay is what counts.
        resend_at = challenge.resend_at(self._limits) if challenge.has_sms_left(self._limits) else None
        account = replace(account, asked_number=to.number)
        return CodeSent(account, to.number, queued=True, resend_at=resend_at, is_new=n == 1)

    async def _warn_of_budget(self, conn: Connection, spent: int, offer: Offer, now: datetime) -> None:
        budget = self._sending.daily_budget
        if not budget:
            return
        # Not only who crosses the line: a dearer gateway or the vendor's own price may have done it.
        reached = [percent for percent in _ALERTS if percent * budget <= (spent + offer.price) * 100]
        for percent in reached[-1:]:
            await self._alert(conn, "alert-budget", f"budget-{percent}:{now.date()}", {"percent": percent}, now)

    async def _alert(self, conn: Connection, text: str, once: str, values: Mapping[str, object], now: datetime) -> None:
        payload = {"text": text, "values": dict(values)}
        await outbox.put(self._database, conn, outbox.ALERT, payload, now, dedupe=f"alert:{once}")
