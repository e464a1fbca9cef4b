"""Proving a number: asking for a code, resending it, trying it. Each public method is one transaction."""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from storage import outbox
from storage.asked import Challenge, SentCode, asked_challenge
from storage.confirmation import Confirmation
from storage.database import Database
from storage.errors import (
    CodeExpired,
    Limit,
    LimitReached,
    NoAccount,
    NothingToResend,
    NumberTaken,
    ResendTooEarly,
    TooManyTries,
    WrongCode,
)
from storage.keys import Keys, UnknownKey
from storage.ledger import Ledger, Recipient
from storage.limits import Limits
from storage.models import (
    Account,
    AccountStatus,
    CodeSent,
    PhoneProof,
    Progress,
    Timeline,
    UpdateRef,
)
from storage.records import account_of, hold
from storage.rows import change, insert
from storage.statements import Connection, Statement
from storage.tables import IS_ASKED, AttemptOutcome, ChallengeState, LookupKind, challenges

_STORY = timedelta(hours=24)
_REPLACE = Statement(
    sa.update(challenges).where(challenges.c.account_id == sa.bindparam("account"), IS_ASKED), sets=("state",)
)
_SPEND = Statement(
    sa.update(challenges)
    .where(challenges.c.id == sa.bindparam("challenge"))
    .where(challenges.c.state == sa.literal_column(f"'{ChallengeState.OPEN.value}'"))
    .where(challenges.c.attempts < sa.bindparam("most"))
    .values(attempts=challenges.c.attempts + 1)
    .returning(challenges.c.attempts),
    sets=("last_action_at",),
)


class Challenges:
    """The verification engine. Codes are derived (`Keys.code`), never stored."""

    def __init__(self, database: Database, keys: Keys, limits: Limits, terms_version: str) -> None:
        self._database = database
        self._keys = keys
        self._limits = limits
        self._ledger = Ledger(database, keys, limits)
        self._confirmation = Confirmation(database, limits, terms_version)

    async def ask_code(
        self,
        update: UpdateRef,
        number: str,
        country: str,
        language: str,
        *,
        own_contact: bool,
        contact_needs_code: bool,
        claim: bool,
        reveal: bool,
        now: datetime,
    ) -> CodeSent | Progress:
        """Start (or go on with) the proof of `number` (E.164, of ISO `country`); the SMS will be in `language`.

        `own_contact`: Telegram vouches for the number, so it never counts as a look-up, and proves the number by
        itself when no code is needed or a limit lets none leave. `claim`: the person says a registered number is
        theirs. `reveal`: tell at once that someone else holds it. Raises NoAccount, NumberTaken, LimitReached.
        """

        async def work(conn: Connection) -> CodeSent | Progress:
            account = await hold(conn, update.telegram_id, number=number)
            if account is None:
                raise NoAccount
            if account.status is AccountStatus.CONFIRMED:
                return Progress(account)
            to = Recipient(update.telegram_id, number, country)
            if not own_contact:
                limit = await self._ledger.look_up(conn, update.telegram_id, LookupKind.NUMBER, number, now)
                await self._refuse(conn, limit, to, None, now)
            if account.phone == number:
                return await self._confirmation.ask_no_more(conn, account, number, now)
            if reveal and not claim and await self._confirmation.number_is_held(conn, number, account.id):
                raise NumberTaken
            if own_contact and not contact_needs_code:
                return await self._confirmation.prove(conn, account, number, PhoneProof.CONTACT, now)
            try:
                return await self._ask(conn, account, to, language, own_contact, now)
            except LimitReached:
                # Nobody can lock owners out of their number by using its limits up.
                if not own_contact:
                    raise
                return await self._confirmation.prove(conn, account, number, PhoneProof.CONTACT, now)

        return await self._database.write(update, work)

    async def resend(self, update: UpdateRef, language: str, now: datetime) -> CodeSent:
        """Send one more code to the number being proven; earlier ones stay right.

        When none is live any more it is the first of a new challenge; no limit starts anew by that. Raises NoAccount,
        NothingToResend, ResendTooEarly, LimitReached.
        """

        async def work(conn: Connection) -> CodeSent:
            account = await hold(conn, update.telegram_id)
            if account is None:
                raise NoAccount
            challenge = await asked_challenge(conn, account.id)
            if challenge is None:
                raise NothingToResend
            to = Recipient(update.telegram_id, challenge.number, challenge.country)
            if not challenge.live_codes(self._limits, now):
                return await self._send_first(conn, account, to, language, now)
            due = challenge.resend_at(self._limits)
            if due is not None and now < due:
                raise ResendTooEarly(due)
            await self._refuse(conn, await self._exhausted(conn, challenge, to, now), to, challenge, now)
            return await self._send_next(conn, account, challenge, to, language, now)

        return await self._database.write(update, work)

    async def try_code(self, update: UpdateRef, code: str, now: datetime) -> Progress:
        """Try a code (ASCII digits) against the live ones; a right one proves the number and may complete the account.

        Raises NoAccount, NothingToResend, LimitReached (wrong_codes), CodeExpired and TooManyTries (neither compares
        anything), WrongCode, and what completing may raise: NumberTaken, AddressTaken.
        """

        async def work(conn: Connection) -> Progress:
            account = await hold(conn, update.telegram_id)
            if account is None:
                raise NoAccount
            challenge = await asked_challenge(conn, account.id)
            if account.status is AccountStatus.CONFIRMED or (challenge is None and account.phone is not None):
                return Progress(account)
            if challenge is None:
                raise NothingToResend
            to = Recipient(update.telegram_id, challenge.number, challenge.country)
            limit = await self._ledger.wrong_codes(conn, to.telegram_id, to.number, now)
            if limit is not None:
                raise limit
            left = await self._compare(conn, challenge, to, code, now)
            if left == 0:
                # A new challenge would be no way on when the day's wrong codes are used up too.
                limit = await self._ledger.wrong_codes(conn, to.telegram_id, to.number, now)
                raise limit or WrongCode(left)
            if left is not None:
                raise WrongCode(left)
            return await self._confirmation.prove(conn, account, challenge.number, PhoneProof.CODE, now)

        return await self._database.write(update, work)

    async def timeline(self, telegram_id: int, now: datetime) -> Timeline:
        """Return what became of the codes of the number being proven in the last 24 hours; changes nothing."""

        async def work(conn: Connection) -> Timeline:
            account = await account_of(conn, telegram_id)
            challenge = None if account is None else await asked_challenge(conn, account.id)
            if challenge is None:
                return Timeline((), now, limited=False, challenge_id=None)
            to = Recipient(telegram_id, challenge.number, challenge.country)
            events = await self._ledger.story(conn, to, since=now - _STORY)
            live = challenge.live_codes(self._limits, now)
            delayed = challenge.resend_at(self._limits) if live else now
            due = delayed or challenge.ends_at(self._limits)
            later = await self._ledger.send_refusal(conn, to, max(due, now))
            limited = delayed is None or later is not None
            return Timeline(events, later.retry_at if later else due, limited, challenge.id)

        return await self._database.read(work)

    async def _ask(
        self, conn: Connection, account: Account, to: Recipient, language: str, own_contact: bool, now: datetime
    ) -> CodeSent:
        challenge = await asked_challenge(conn, account.id) if account.asked_number else None
        if own_contact:
            # A code that may not be tried is no reason to wait for it.
            await self._refuse(
                conn, await self._ledger.wrong_codes(conn, to.telegram_id, to.number, now), to, challenge, now
            )
        if challenge is None or challenge.number != to.number or not challenge.live_codes(self._limits, now):
            return await self._send_first(conn, account, to, language, now)
        due = challenge.resend_at(self._limits)
        if due is None and own_contact:
            await self._refuse(conn, await self._exhausted(conn, challenge, to, now), to, challenge, now)
        if due is None or now < due:
            return CodeSent(account, to.number, queued=False, resend_at=due)
        return await self._send_next(conn, account, challenge, to, language, now)

    async def _send_first(
        self, conn: Connection, account: Account, to: Recipient, language: str, now: datetime
    ) -> CodeSent:
        await self._refuse(conn, await self._ledger.send_refusal(conn, to, now), to, None, now)
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
        return await self._queue(conn, account, challenge, to, now)

    async def _send_next(
        self, conn: Connection, account: Account, challenge: Challenge, to: Recipient, language: str, now: datetime
    ) -> CodeSent:
        await self._refuse(conn, await self._ledger.send_refusal(conn, to, now), to, challenge, now)
        challenge = replace(challenge, codes=challenge.codes + 1, last_action_at=now)
        await change(conn, challenges, challenge.id, codes=challenge.codes, language=language, last_action_at=now)
        return await self._queue(conn, account, challenge, to, now)

    async def _queue(
        self, conn: Connection, account: Account, challenge: Challenge, to: Recipient, now: datetime
    ) -> CodeSent:
        """Queue the challenge's newest code."""
        n = challenge.codes
        send_id = await self._ledger.add_send(conn, to, challenge.id, n, now)
        payload = {"send_id": send_id.hex}
        await outbox.put(self._database, conn, outbox.CODE, payload, now, telegram_id=account.telegram_id)
        resend_at = replace(challenge, sent=(*challenge.sent, SentCode(n, now))).resend_at(self._limits)
        account = replace(account, asked_number=to.number)
        return CodeSent(account, to.number, queued=True, resend_at=resend_at, is_new=n == 1)

    async def _exhausted(
        self, conn: Connection, challenge: Challenge, to: Recipient, now: datetime
    ) -> LimitReached | None:
        """Return the limit when a live challenge has no code left; a new one opens when it ends, limits permitting."""
        if challenge.resend_at(self._limits) is not None:
            return None
        ends_at = max(challenge.ends_at(self._limits), now)
        later = await self._ledger.send_refusal(conn, to, ends_at)
        return LimitReached(Limit.SENDS_PER_CHALLENGE, ends_at if later is None else later.retry_at)

    async def _refuse(
        self,
        conn: Connection,
        limit: LimitReached | None,
        to: Recipient,
        challenge: Challenge | None,
        now: datetime,
    ) -> None:
        if limit is None:
            return
        await self._ledger.add_refusal(conn, to, challenge.id if challenge else None, limit.limit, now)
        raise limit

    async def _compare(
        self, conn: Connection, challenge: Challenge, to: Recipient, code: str, now: datetime
    ) -> int | None:
        """Spend one try; return None for a right code, else how many tries are left."""
        if challenge.state is ChallengeState.DEAD:
            raise TooManyTries
        try:
            live = [
                self._keys.code(challenge.id, n, challenge.key_id, self._limits.code_length)
                for n in challenge.live_codes(self._limits, now)
            ]
        except UnknownKey:
            live = []  # made under a key that is gone: nobody can know this code any more
        if not live:
            raise CodeExpired
        # The condition in the UPDATE is what bounds the guesses, whatever else runs at the same time.
        most = self._limits.code_attempts
        spent = await conn.execute(_SPEND, challenge=challenge.id, most=most, last_action_at=now)
        attempts: int | None = spent.scalar_one_or_none()
        if attempts is None:
            raise TooManyTries
        # Every live code is compared, so that the time taken tells nothing.
        right = any([hmac.compare_digest(known.encode(), code.encode()) for known in live])
        outcome = AttemptOutcome.RIGHT if right else AttemptOutcome.WRONG
        await self._ledger.add_attempt(conn, to, challenge.id, outcome, now)
        if right:
            return None
        left = self._limits.code_attempts - attempts
        if left == 0:
            await change(conn, challenges, challenge.id, state=ChallengeState.DEAD)
        return left
