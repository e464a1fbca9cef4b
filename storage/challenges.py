"""Proving a number: asking for a code, resending it, trying it. Each public method is one transaction."""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from storage import outbox
from storage.admission import Admitted
from storage.asked import Challenge, asked_challenge
from storage.asking import Asking
from storage.attribution import Stage, reach
from storage.confirmation import Confirmation
from storage.database import Database
from storage.errors import (
    CodeExpired,
    LimitReached,
    NoAccount,
    NothingIsSent,
    NothingToResend,
    NumberTaken,
    ResendTooEarly,
    TooManyTries,
    WrongCode,
)
from storage.events import Events
from storage.keys import Keys, UnknownKey
from storage.ledger import Recipient
from storage.limits import Limits
from storage.models import (
    AccountStatus,
    Channel,
    CodeSent,
    PhoneProof,
    Progress,
    SendState,
    Timeline,
    UpdateRef,
)
from storage.records import account_of, hold
from storage.rows import change
from storage.sending import Sending
from storage.statements import Connection, Statement
from storage.tables import AttemptOutcome, ChallengeState, accounts, challenges, sends

_STORY = timedelta(hours=24)
_NOT_ARRIVED = (SendState.ACCEPTED, SendState.UNKNOWN, SendState.UNDELIVERED)
_FALLEN = Statement(
    sa.select(sends.c.state, sends.c.challenge_id, sends.c.code_n, challenges.c.language, accounts.c.telegram_id)
    .join(challenges, challenges.c.id == sends.c.challenge_id)
    .join(accounts, accounts.c.id == challenges.c.account_id)
    .where(sends.c.id == sa.bindparam("send"))
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

    def __init__(
        self, database: Database, keys: Keys, limits: Limits, terms_version: str,
        sending: Sending | None = None, events: Events | None = None,
    ) -> None:  # fmt: skip
        """`sending`: by whom codes are sent and what that may cost; without it by the console, for nothing.

        `events`: what the CRM is told; without it nothing.
        """
        sending = sending or Sending()
        self._database = database
        self._keys = keys
        self._limits = limits
        self._sending = sending
        self._asking = Asking(database, keys, limits, sending)
        self._ledger = self._asking.ledger
        self._confirmation = Confirmation(database, keys, limits, terms_version, events or Events(database))

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

        `own_contact`: Telegram vouches for the number, so it never counts as a look-up, and proves it by itself when no
        code is needed or a limit lets none leave. `claim`: a registered number is said to be theirs. `reveal`: tell at
        once that someone else holds it. Raises NoAccount, NumberTaken, LimitReached, NothingIsSent.
        """

        async def work(conn: Connection) -> CodeSent | Progress:
            account = await hold(conn, update.telegram_id, number=number)
            if account is None:
                raise NoAccount
            if account.status is not AccountStatus.PENDING:
                return Progress(account)
            await reach(conn, account.touch_id, Stage.PHONE)
            to = Recipient(update.telegram_id, number, country)
            if not own_contact:
                await self._ledger.look_up_number(conn, to, now)
            if account.phone == number:
                return await self._confirmation.ask_no_more(conn, account, number, now)
            if reveal and not claim and await self._confirmation.number_is_held(conn, number, account.id):
                raise NumberTaken
            if own_contact and not contact_needs_code:
                return await self._confirmation.prove(conn, account, number, PhoneProof.CONTACT, now)
            try:
                return await self._asking.ask(conn, account, to, language, own_contact, now)
            except (LimitReached, NothingIsSent):
                # Nobody can lock owners out of their number by using its limits up.
                if not own_contact:
                    raise
                return await self._confirmation.prove(conn, account, number, PhoneProof.CONTACT, now)

        return await self._database.write(update, work)

    async def resend(self, update: UpdateRef, language: str, now: datetime, channel: Channel | None = None) -> CodeSent:
        """Send one more code to the number being proven; earlier ones stay right.

        By `channel`, or (None) by whatever need not be asked for. When no code is live any more it is the first of a
        new challenge; no limit starts anew by that. Raises NoAccount, NothingToResend, ResendTooEarly, LimitReached,
        NothingIsSent.
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
                return await self._asking.send_first(conn, account, to, language, channel, now)
            due = challenge.resend_at(self._limits)
            if now < due and (challenge.has_sms_left(self._limits) or channel not in (None, Channel.SMS)):
                raise ResendTooEarly(due)
            return await self._asking.send_next(conn, account, challenge, to, language, channel, now)

        return await self._database.write(update, work)

    async def fall_back(self, send_id: UUID, now: datetime) -> bool:
        """Follow a verification message that did not arrive by an SMS, unless the person went on meanwhile.

        Raises LimitReached, NothingIsSent: the SMS may not leave either. True when one is on its way.
        """

        async def work(conn: Connection) -> bool:
            row = (await conn.execute(_FALLEN, send=send_id)).one_or_none()
            account = None if row is None else await hold(conn, row.telegram_id)
            if row is None or account is None or row.state not in _NOT_ARRIVED:
                return False
            challenge = await asked_challenge(conn, account.id)
            asked_anew = challenge is None or challenge.id != row.challenge_id or challenge.codes != row.code_n
            if challenge is None or asked_anew or not challenge.live_codes(self._limits, now):
                return False
            to = Recipient(account.telegram_id, challenge.number, challenge.country)
            try:
                await self._asking.send_next(conn, account, challenge, to, row.language, Channel.SMS, now)
            except (LimitReached, NothingIsSent):
                if row.state == SendState.UNDELIVERED:
                    # Nothing comes any more, so whoever waits for it is told.
                    others = {"channels": sorted(await self._channels(conn, to, challenge, now))}
                    text, whom = "notice-code-undelivered", account.telegram_id
                    dedupe = f"{text}:{send_id}"
                    await outbox.notice(self._database, conn, whom, row.language, text, now, others, dedupe)
                raise
            return True

        return await self._database.write(None, work)

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
            if account.status is not AccountStatus.PENDING or (challenge is None and account.phone is not None):
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
            live = bool(challenge.live_codes(self._limits, now))
            has_left = not live or challenge.has_sms_left(self._limits)
            due = max(challenge.resend_at(self._limits) if live else now, now)
            if not has_left:
                due = max(challenge.ends_at(self._limits), now)
            later = await self._asking.may_send(conn, to, challenge, None, due)
            retry_at = later.retry_at if isinstance(later, LimitReached) else due
            channels = await self._channels(conn, to, challenge, now) if live else frozenset()
            limited = not has_left or not isinstance(later, Admitted)
            return Timeline(events, retry_at, limited, challenge.id, channels)

        return await self._database.read(work)

    async def _channels(
        self, conn: Connection, to: Recipient, challenge: Challenge, now: datetime
    ) -> frozenset[Channel]:
        """Return the channels beside SMS by which a code may be asked for once the delay between codes is over."""
        found = set()
        due = max(challenge.resend_at(self._limits), now)
        for channel in self._sending.routes.channels(to.country) - {Channel.SMS}:
            if isinstance(await self._asking.may_send(conn, to, challenge, channel, due), Admitted):
                found.add(channel)
        return frozenset(found)

    async def _compare(
        self, conn: Connection, challenge: Challenge, to: Recipient, code: str, now: datetime
    ) -> int | None:
        """Spend one try; return None for a right code, else how many tries are left."""
        if challenge.state is ChallengeState.DEAD:
            raise TooManyTries
        live = self._live(challenge, now)
        if not live:
            raise CodeExpired
        # The condition in the UPDATE is what bounds the guesses, whatever else runs at the same time.
        most = self._limits.code_attempts
        spent = await conn.execute(_SPEND, challenge=challenge.id, most=most, last_action_at=now)
        attempts: int | None = spent.scalar_one_or_none()
        if attempts is None:
            raise TooManyTries
        # Every live code is compared, so that the time taken tells nothing.
        matching = [n for n, known in live if hmac.compare_digest(known.encode(), code.encode())]
        outcome = AttemptOutcome.RIGHT if matching else AttemptOutcome.WRONG
        await self._ledger.add_attempt(conn, to, challenge.id, outcome, now)
        if matching:
            await self._ledger.entered(conn, challenge.id, matching[-1], now)
            return None
        left = self._limits.code_attempts - attempts
        if left == 0:
            await change(conn, challenges, challenge.id, state=ChallengeState.DEAD)
        return left

    def _live(self, challenge: Challenge, now: datetime) -> list[tuple[int, str]]:
        """Return the codes that are right now, each with its place in the challenge."""
        numbers = challenge.live_codes(self._limits, now)
        known = self._sending.test_numbers.code(challenge.number, now)
        if known is not None:
            return [(n, known) for n in numbers]
        try:
            return [(n, self._keys.code(challenge.id, n, challenge.key_id, self._limits.code_length)) for n in numbers]
        except UnknownKey:
            # Made under a key that is gone: nobody can know this code any more.
            return []
