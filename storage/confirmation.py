"""Who gets a number or an address when more than one person wants it, and when an account is complete.

Pending rivals coexist; confirming takes from all of them. A verified address beats a claimed one, pending or
confirmed. A number whose holder proved it long ago goes to whoever proves it now. The caller holds the person,
the numbers and the addresses concerned (`records.hold`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from storage import outbox, promo_codes
from storage.attribution import credit
from storage.campaigns import own_campaign
from storage.database import Database
from storage.errors import AddressTaken, NumberTaken
from storage.events import Events
from storage.keys import Keys
from storage.known_accounts import known_address, known_number
from storage.limits import Limits
from storage.models import Account, AccountStatus, PhoneProof, Progress
from storage.rivals import (
    CLOSE,
    HELD_ADDRESS,
    HELD_NUMBER,
    LISTED_ADDRESS,
    LOCK_RIVALS,
    LOSE_ADDRESS,
    LOSE_NUMBER,
    MOVE_NUMBER,
    NO_ADDRESS,
    NO_NUMBER,
    REPLACE,
    TAKE,
    TAKE_OWN,
    Rival,
)
from storage.rows import change
from storage.statements import Connection, Rows
from storage.tables import ChallengeState, accounts

# No account has it: an id is never all zeros.
_NOBODY = UUID(int=0)

HERE: dict[str, object] = {"blocked_at": None}
"""Who writes to the bot does not block it: what a courier learnt late, when they were back already, ends with this."""


@dataclass(frozen=True)
class Confirmation:
    """Decides, writes and queues the notices; its methods run in the caller's transaction.

    `random` returns so many random bytes.
    """

    database: Database
    keys: Keys
    limits: Limits
    terms_version: str
    events: Events
    random: Callable[[int], bytes] = secrets.token_bytes

    async def prove(
        self, conn: Connection, account: Account, number: str, proof: PhoneProof, now: datetime
    ) -> Progress:
        """Write down that the account's person proved `number`, close what was asked, and go on to `complete`."""
        await change(conn, accounts, account.id, phone=number, phone_proof=proof, phone_proven_at=now, **HERE)
        return await self.ask_no_more(conn, replace(account, phone=number, phone_proof=proof), number, now)

    async def ask_no_more(self, conn: Connection, account: Account, number: str, now: datetime) -> Progress:
        """Close what the account was asked, its proven number being `number`, and go on to `complete`."""
        await conn.execute(CLOSE, account=account.id, number=number, last_action_at=now)
        return await self.complete(conn, replace(account, asked_number=None), now)

    async def complete(self, conn: Connection, account: Account, now: datetime) -> Progress:
        """Confirm the account if nothing is missing.

        Raises NumberTaken (this account loses the number it proved) or AddressTaken (it loses the address and keeps
        the number) when another account's right is the better one; both are to be committed.
        """
        if account.status is not AccountStatus.PENDING or account.phone is None:
            return Progress(account)
        holders = await self._holders(conn, account.phone, account.id)
        if holders and not _may_move(holders, now - self.limits.number_recycle_after):
            await self._lose_number(conn, account)
            raise NumberTaken
        if account.email is None or account.terms_version != self.terms_version:
            return Progress(account)
        rivals = await self.lock_rivals(conn, account, account.email, account.phone)
        if _is_outdone(rivals, account, now) or await self._is_someone_elses(conn, account, account.email):
            await change(conn, accounts, account.id, **NO_ADDRESS)
            raise AddressTaken
        displaced: list[int] = []
        if rivals:
            displaced += await self.take_address(conn, account, account.email, now, confirming=True)
            displaced += await self._take_number(conn, account, account.phone, now)
        promo = await promo_codes.redeem(conn, self.database, self.keys, account, now)
        earned = await credit(conn, self.keys, account, moved=bool(holders))
        given = {} if promo == account.promo else {"promo": promo}
        await change(conn, accounts, account.id, status=AccountStatus.CONFIRMED, confirmed_at=now, **given)
        if account.asked_number is not None:
            await conn.execute(REPLACE, account=account.id, state=ChallengeState.REPLACED)
        invite = account.invite or await own_campaign(conn, account.telegram_id, now, self.random)
        account = replace(
            account, status=AccountStatus.CONFIRMED, asked_number=None, confirmed_at=now, promo=promo, invite=invite
        )
        await self.events.confirmed(conn, account, now, credited=earned)
        return Progress(account, confirmed_now=True, displaced=_each_once(displaced))

    async def give_address(
        self, conn: Connection, account: Account, email: str, *, verified: bool, now: datetime
    ) -> Progress:
        """Write down the account's address, take it from whose right is the weaker one, and go on to `complete`."""
        # What was verified once is not unlearnt by typing it.
        verified = verified or (account.email == email and account.email_verified)
        account = replace(account, email=email, email_verified=verified)
        confirmed = account.status is AccountStatus.CONFIRMED
        displaced: list[int] = []
        if verified or confirmed:
            await self.lock_rivals(conn, account, email, account.phone)
            displaced = await self.take_address(conn, account, email, now, confirming=confirmed)
        await change(conn, accounts, account.id, email=email, email_verified=verified, **HERE)
        progress = await self.complete(conn, account, now)
        return replace(progress, displaced=_each_once([*displaced, *progress.displaced]))

    async def number_is_held(self, conn: Connection, number: str, account_id: UUID) -> bool:
        """Tell whether another confirmed account holds the number, here or elsewhere."""
        return bool(await self._holders(conn, number, account_id))

    async def address_is_held(self, conn: Connection, email: str, account: Account | None, *, verified: bool) -> bool:
        """Tell whether a confirmed account of someone else, here or elsewhere, holds it with no weaker right to it."""
        mine = _NOBODY if account is None else account.id
        known = known_address(self.keys, email)
        holders = (await conn.execute(HELD_ADDRESS, address=email, account=mine, **known)).all()
        # That the CRM lists the address this account has already is the account itself.
        own = account is not None and account.email == email
        return any((row.email_verified or not verified) and not (row.elsewhere and own) for row in holders)

    async def take_address(
        self, conn: Connection, account: Account, email: str, now: datetime, *, confirming: bool
    ) -> list[int]:
        """Take the address from every other account that must give it up now; return whom to forget.

        A verified address is taken from every claimant at once. Confirming takes it from pending rivals too.
        """
        losers = await conn.execute(LOSE_ADDRESS[account.email_verified, confirming], address=email, account=account.id)
        return await self._tell(conn, losers, "notice-address-lost", now)

    async def lock_rivals(self, conn: Connection, account: Account, email: str, number: str | None) -> Sequence[Rival]:
        """Lock and return everyone who may lose this address or number now, before anyone loses anything.

        In one order: two people who confirm at once have no number and no address in common, but may have two rivals
        in common.
        """
        rivals = await conn.execute(LOCK_RIVALS, address=email, number=number, account=account.id)
        return [Rival(*row) for row in rivals.all()]

    async def _holders(self, conn: Connection, number: str, account_id: UUID) -> list[datetime | None]:
        """Return, for each that holds the number, when they last showed they do: of who is elsewhere nobody knows."""
        known = known_number(self.keys, number)
        rows = (await conn.execute(HELD_NUMBER, number=number, account=account_id, **known)).all()
        return [max(row.phone_proven_at, row.confirmed_at) if row.confirmed_at else None for row in rows]

    async def _is_someone_elses(self, conn: Connection, account: Account, email: str) -> bool:
        """Tell whether the CRM listed the address, and not because it was this very account's."""
        # Only whose number moved to somebody else gets a second day.
        was_registered = account.expires_at > account.created_at + self.limits.unconfirmed_lifetime
        if was_registered:
            return False
        return (await conn.execute(LISTED_ADDRESS, **known_address(self.keys, email))).first() is not None

    async def _lose_number(self, conn: Connection, account: Account) -> None:
        await change(conn, accounts, account.id, **NO_NUMBER)
        await conn.execute(TAKE_OWN, account=account.id, number=account.phone, state=ChallengeState.TAKEN)

    async def _take_number(self, conn: Connection, account: Account, number: str, now: datetime) -> list[int]:
        fresh_day = now + self.limits.unconfirmed_lifetime
        holders = await conn.execute(MOVE_NUMBER, number=number, account=account.id, expires_at=fresh_day)
        moved = await self._tell(conn, holders, "notice-number-moved", now)
        # Before their challenges are closed: by those they are found.
        rivals = await conn.execute(LOSE_NUMBER, number=number, account=account.id)
        await conn.execute(TAKE, number=number, account=account.id, state=ChallengeState.TAKEN)
        return moved + await self._tell(conn, rivals, "notice-number-lost", now)

    async def _tell(self, conn: Connection, losers: Rows, text: str, now: datetime) -> list[int]:
        for row in losers.all():
            if row.blocked_at is None:
                await outbox.notice(self.database, conn, row.telegram_id, row.language, text, now)
        return [row.telegram_id for row in losers.all()]


def _may_move(holders: Sequence[datetime | None], before: datetime) -> bool:
    """Tell whether a number may go to who proved it: its holder here showed long ago that it is theirs.

    That the CRM lists it too is this very account. One that only the CRM knows is not for us to take.
    """
    here = [since for since in holders if since is not None]
    return bool(here) and max(here) < before


def _is_outdone(rivals: Sequence[Rival], account: Account, now: datetime) -> bool:
    """Tell whether a rival's right to the account's address is the better one."""
    same = [rival for rival in rivals if rival.email == account.email]
    if any(
        rival.status == AccountStatus.CONFIRMED and rival.email_verified >= account.email_verified for rival in same
    ):
        return True
    return not account.email_verified and any(
        rival.email_verified and rival.status == AccountStatus.PENDING and rival.expires_at > now for rival in same
    )


def _each_once(telegram_ids: list[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(telegram_ids))
