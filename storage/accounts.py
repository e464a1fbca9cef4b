"""Accounts: one person, one account. Each public method is one transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from storage.attribution import LIVE_TOUCH, Stage, reach, reach_without_account, remember_former, toucher
from storage.campaigns import leave
from storage.confirmation import HERE, Confirmation
from storage.database import Database
from storage.errors import AddressTaken
from storage.events import Events
from storage.keys import Keys
from storage.known_accounts import forget
from storage.ledger import Ledger
from storage.limits import Limits
from storage.linked import forget_claims, forget_identities, has_proven
from storage.models import Account, AccountStatus, Progress, TermsAcceptance, UpdateRef
from storage.personal import erase_personal
from storage.promo_codes import HELD_PROMO, prolong, promised
from storage.records import account_of, account_with, hold
from storage.rows import change, insert
from storage.statements import Connection, Statement
from storage.tables import LookupKind, accounts, terms_acceptances

_mine = sa.update(accounts).where(accounts.c.telegram_id == sa.bindparam("person"))
_SET_LANGUAGE = Statement(_mine, sets=("language", *HERE))
_SET_BLOCKED = Statement(_mine, sets=("blocked_at",))
# A new account takes over what is kept of its person: by which link they came, and which promo code they gave.
_TAKEN_OVER = {"touch_id": LIVE_TOUCH, "promo": HELD_PROMO}
_GIVEN = [name for name in Account.__dataclass_fields__ if name not in {"asked_number", "invite", *_TAKEN_OVER}]
_CREATE = Statement(
    sa.insert(accounts).values(_TAKEN_OVER).returning(*(accounts.c[name] for name in _TAKEN_OVER)),
    sets=_GIVEN,
)


class Accounts:
    """Creates, reads, completes and erases accounts.

    `terms_version` is the version in force: an account is complete only when it accepted this one.
    """

    def __init__(
        self, database: Database, keys: Keys, limits: Limits, terms_version: str, events: Events | None = None
    ) -> None:
        """`events`: what the CRM is told; without it nothing."""
        self._database = database
        self._keys = keys
        self._events = events or Events(database)
        self._limits = limits
        self._ledger = Ledger(database, keys, limits)
        self._confirmation = Confirmation(database, keys, limits, terms_version, self._events)

    async def of(self, telegram_id: int) -> Account | None:
        """Return the person's account, None when there is none."""

        async def work(conn: Connection) -> Account | None:
            return await account_of(conn, telegram_id)

        return await self._database.read(work)

    async def accept_terms(
        self,
        update: UpdateRef,
        language: str,
        email: str | None,
        acceptance: TermsAcceptance,
        now: datetime,
        *,
        verified: bool = False,
    ) -> Progress:
        """Record the acceptance and create the account, or renew the acceptance of the one there is.

        `email` (normalised, claimed) is taken when the account has none. `verified`: a linked identity or an invitation
        is said to have proven it, which is looked up. Raises AddressTaken or NumberTaken when that completes the
        account and someone else's right is the better one.
        """

        async def work(conn: Connection) -> Progress:
            account = await hold(conn, update.telegram_id, address=email)
            proven = email is not None and verified and await has_proven(conn, update.telegram_id, email)
            takes = account is None or (account.email is None and account.status is AccountStatus.PENDING)
            claimed = None if proven else email
            if account is None:
                account = await self.create(conn, update.telegram_id, language, claimed, acceptance, now)
            else:
                values = {"language": language, "terms_version": acceptance.version, "terms_accepted_at": now} | HERE
                if takes:
                    values |= {"email": claimed, "email_verified": False}
                await change(conn, accounts, account.id, **values)
                account = await account_with(conn, account.id)
            await reach(conn, account.touch_id, Stage.TERMS)
            await insert(
                conn, terms_acceptances, id=self._database.new_id(), account_id=account.id,
                version=acceptance.version, language=acceptance.language, sentence_hash=acceptance.sentence_hash,
                accepted_at=now,
            )  # fmt: skip
            if email is not None and takes and proven:
                await forget_claims(conn, update.telegram_id)
                return await self._confirmation.give_address(conn, account, email, verified=True, now=now)
            return await self._confirmation.complete(conn, account, now)

        return await self._database.write(update, work)

    async def give_email(
        self, update: UpdateRef, email: str, *, verified: bool, reveal: bool, now: datetime, touched: bool = False
    ) -> Progress | None:
        """Take a normalised address; None while there is no account to keep it. `touched`: they came by a link.

        It counts as a look-up first. Raises LimitReached (addresses_per_person) before anything was looked up,
        AddressTaken when a confirmed account holds it: with `reveal` at once, else only when this completes an account.
        A `verified` address is taken from whoever merely claimed it. A confirmed account keeps the address it has.
        """

        async def work(conn: Connection) -> Progress | None:
            account = await hold(conn, update.telegram_id, address=email)
            limit = await self._ledger.look_up(conn, update.telegram_id, LookupKind.ADDRESS, email, now)
            if limit is not None:
                raise limit
            if account is not None and account.status is AccountStatus.CONFLICT:
                return Progress(account)
            confirmed = account is not None and account.status is AccountStatus.CONFIRMED
            if account is not None and confirmed and account.email is not None:
                return Progress(account)
            # A confirmed account needs the address for itself alone, whatever is revealed to others.
            held = await self._confirmation.address_is_held(conn, email, account, verified=verified)
            if held and (reveal or confirmed):
                raise AddressTaken
            if account is None:
                if touched:
                    await reach_without_account(conn, self._toucher(update.telegram_id, now), Stage.EMAIL)
                return None
            return await self._confirmation.give_address(conn, account, email, verified=verified, now=now)

        return await self._database.write(update, work)

    async def set_language(self, update: UpdateRef, language: str) -> None:
        """Remember the person's language; nothing to do while there is no account."""

        async def work(conn: Connection) -> None:
            await conn.execute(_SET_LANGUAGE, person=update.telegram_id, language=language, **HERE)

        await self._database.write(update, work)

    async def mark_blocked(self, telegram_id: int, blocked: bool, now: datetime) -> None:
        """Remember that the person blocked the bot (nothing is sent on its own initiative then), or came back."""

        async def work(conn: Connection) -> None:
            await conn.execute(_SET_BLOCKED, person=telegram_id, blocked_at=now if blocked else None)

        await self._database.write(None, work)

    async def erase(self, update: UpdateRef, now: datetime) -> bool:
        """Delete the account and everything personal with it; False when there is nothing. The ledger keeps HMACs."""

        async def work(conn: Connection) -> bool:
            account = await hold(conn, update.telegram_id)
            await leave(conn, update.telegram_id)
            if account is None:
                claimed = await forget_claims(conn, update.telegram_id)
                return await forget_identities(conn, update.telegram_id) or claimed
            if account.status is not AccountStatus.PENDING:
                await remember_former(conn, self._keys, account, now)
            await erase_personal(conn, [(account.id, account.telegram_id)], now)
            await self._events.deleted(conn, account, now)
            if account.status is AccountStatus.CONFIRMED:
                # Whoever leaves may come back: what the CRM listed of them was this account.
                await forget(conn, self._keys, account.phone or "", account.email or "")
            return True

        return await self._database.write(update, work)

    async def create(
        self,
        conn: Connection,
        telegram_id: int,
        language: str,
        email: str | None,
        accepted: TermsAcceptance | None,
        now: datetime,
    ) -> Account:
        """Create a pending account in the caller's transaction, which holds the person; `email` is claimed."""
        account = Account(
            id=self._database.new_id(), telegram_id=telegram_id, status=AccountStatus.PENDING, language=language,
            email=email, email_verified=False, terms_version=accepted.version if accepted else None, phone=None,
            asked_number=None, created_at=now, expires_at=now + self._limits.unconfirmed_lifetime, confirmed_at=None,
            terms_accepted_at=now if accepted else None,
        )  # fmt: skip
        row = {name: getattr(account, name) for name in _GIVEN}
        theirs = self._toucher(telegram_id, now) | promised(self._keys, telegram_id, now)
        taken_over = (await conn.execute(_CREATE, **row, **theirs)).one()
        account = replace(account, **taken_over._asdict())
        await prolong(conn, self._keys, account)
        return account

    def _toucher(self, telegram_id: int, now: datetime) -> dict[str, object]:
        return toucher(self._keys, telegram_id, now - self._limits.attribution_window)
