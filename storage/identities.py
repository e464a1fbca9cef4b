"""Accounts with Google, Facebook or another provider, each linked to one person by their own yes.

An identity is (issuer, subject) and nothing else: an e-mail address links and signs in nobody, whoever vouches for it.
It stands beside the person, not the account, since it may be linked before the terms are accepted.

Linking to an existing account moves the identity to the confirmed account that holds the number which the prover just
proved. The account's Telegram id, its address and its number stay where they are, and nothing of it is shown: a number
that was recycled may be proven by a stranger. Its person is told, and may unlink.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from storage import outbox
from storage.accounts import Accounts
from storage.confirmation import Confirmation
from storage.database import Database
from storage.errors import AddressTaken, IdentityTaken, NoAccount
from storage.events import Events
from storage.keys import Keys
from storage.limits import Limits
from storage.linked import vouched
from storage.models import Account, AccountStatus, Progress, UpdateRef
from storage.personal import erase_personal
from storage.records import hold, lock
from storage.rows import change, insert
from storage.statements import Connection, Statement
from storage.tables import accounts, identities

_is_it = sa.and_(identities.c.issuer == sa.bindparam("issuer"), identities.c.subject == sa.bindparam("subject"))
_of_person = identities.c.telegram_id == sa.bindparam("person")
_holder = sa.select(
    identities.c.id,
    identities.c.telegram_id,
    accounts.c.status,
    accounts.c.language,
    accounts.c.blocked_at,
).outerjoin_from(identities, accounts, accounts.c.telegram_id == identities.c.telegram_id)
_HOLDER = Statement(_holder.where(_is_it))
_LOCK = Statement(sa.select(identities.c.id).where(_is_it).with_for_update())
_OF_PERSON = Statement(
    sa.select(identities.c.id, identities.c.provider, identities.c.email, identities.c.email_verified)
    .where(_of_person)
    .order_by(identities.c.linked_at, identities.c.id)
)
_UNLINK = Statement(sa.delete(identities).where(identities.c.id == sa.bindparam("identity"), _of_person))
_WITHDRAW = Statement(sa.delete(identities).where(_is_it, identities.c.linked_at <= sa.bindparam("before")))
_MOVE = Statement(sa.update(identities).where(_of_person), sets=("telegram_id", "linked_at"))
_HOLDS_NUMBER = Statement(
    sa.select(accounts.c.telegram_id, accounts.c.language, accounts.c.blocked_at, accounts.c.phone_proven_at,
              accounts.c.confirmed_at)
    .where(accounts.c.phone == sa.bindparam("number"), accounts.c.telegram_id != sa.bindparam("person"))
    .where(accounts.c.status == sa.literal_column(f"'{AccountStatus.CONFIRMED.value}'"))
    .with_for_update()
)  # fmt: skip
# In the order of `AccountStatus`: these hold their identity against everybody else.
_KEEPS = frozenset({AccountStatus.CONFIRMED, AccountStatus.CONFLICT})


@dataclass(frozen=True)
class Identity:
    """Somebody as a provider knows them. `email` is normalised; `name` is shown once and kept nowhere."""

    provider: str
    issuer: str
    subject: str
    email: str | None
    email_verified: bool
    name: str = ""


@dataclass(frozen=True)
class Linked:
    """One identity of a person, as they see it."""

    id: UUID
    provider: str
    email: str | None
    email_verified: bool


@dataclass(frozen=True)
class Holder:
    """Whose an identity is. `keeps`: their registration is complete, so nobody else may take it."""

    telegram_id: int
    keeps: bool


class Identities:
    """Each public method is one transaction."""

    def __init__(
        self, database: Database, keys: Keys, accounts: Accounts, limits: Limits, terms_version: str,
        events: Events | None = None,
    ) -> None:  # fmt: skip
        """`events`: what the CRM is told; without it nothing."""
        self._database = database
        self._accounts = accounts
        self._limits = limits
        self._confirmation = Confirmation(database, keys, limits, terms_version, events or Events(database))

    async def of(self, telegram_id: int) -> tuple[Linked, ...]:
        """Return the person's identities, the oldest link first."""

        async def work(conn: Connection) -> tuple[Linked, ...]:
            return tuple(Linked(*row) for row in (await conn.execute(_OF_PERSON, person=telegram_id)).all())

        return await self._database.read(work)

    async def vouched(self, telegram_id: int) -> str | None:
        """Return the address that an identity or an invitation vouches for, of who has no account yet."""

        async def work(conn: Connection) -> str | None:
            return await vouched(conn, telegram_id)

        return await self._database.read(work)

    async def holder(self, identity: Identity) -> Holder | None:
        """Return whose the identity is, None when it is nobody's."""

        async def work(conn: Connection) -> Holder | None:
            row = (await conn.execute(_HOLDER, issuer=identity.issuer, subject=identity.subject)).one_or_none()
            return None if row is None else Holder(row.telegram_id, row.status in _KEEPS)

        return await self._database.read(work)

    async def bind(
        self, update: UpdateRef, identity: Identity, now: datetime, *, exists_elsewhere: bool = False
    ) -> Progress | None:
        """Link the identity to the person, who said yes; None while there is no account.

        One that was linked to an unfinished registration of somebody else is taken from it. A verified address becomes
        the account's, unless that has a verified one already or is complete, and is taken from whoever merely claimed
        it. Raises IdentityTaken; AddressTaken when the identity is linked and its address is somebody else's, here or
        (`exists_elsewhere`) as the CRM says.
        """

        async def work(conn: Connection) -> Progress | None:
            await self._lock(conn, identity)
            email = identity.email if identity.email_verified else None
            account = await hold(conn, update.telegram_id, address=email)
            await self._link(conn, identity, update.telegram_id, now)
            if email is None:
                return None if account is None else Progress(account)
            if account is not None and not _wants(account, email):
                return Progress(account)
            if exists_elsewhere or await self._confirmation.address_is_held(conn, email, account, verified=True):
                raise AddressTaken
            if account is None:
                return None
            return await self._confirmation.give_address(conn, account, email, verified=True, now=now)

        return await self._database.write(update, work)

    async def begin_linking(self, update: UpdateRef, language: str, now: datetime) -> Progress:
        """Return the pending account by which the number of an existing one is proven, made without terms if need be.

        It goes once the number is proven to be an existing account's; else it is the new one. Raises NoAccount when the
        person has no identity to link.
        """

        async def work(conn: Connection) -> Progress:
            account = await hold(conn, update.telegram_id)
            linked = [Linked(*row) for row in (await conn.execute(_OF_PERSON, person=update.telegram_id)).all()]
            if not linked:
                raise NoAccount
            if account is not None:
                return Progress(account)
            account = await self._accounts.create(conn, update.telegram_id, language, None, None, now)
            email = next((one.email for one in reversed(linked) if one.email_verified), None)
            if email is None or await self._confirmation.address_is_held(conn, email, account, verified=True):
                return Progress(account)
            return await self._confirmation.give_address(conn, account, email, verified=True, now=now)

        return await self._database.write(update, work)

    async def attach(self, telegram_id: int, number: str, now: datetime) -> bool:
        """Move the person's identities to the confirmed account that holds `number`, which they have just proven.

        False when none holds it, or only one that confirmed it so long ago that the number may have changed hands. The
        unfinished account of the prover goes; the other's person is told. Safe to repeat.
        """

        async def work(conn: Connection) -> bool:
            account = await hold(conn, telegram_id, number=number)
            if account is not None and account.status is not AccountStatus.PENDING:
                return False
            holder = (await conn.execute(_HOLDS_NUMBER, number=number, person=telegram_id)).one_or_none()
            since = now - self._limits.number_recycle_after
            if holder is None or max(holder.phone_proven_at, holder.confirmed_at) < since:
                return False
            moved = await conn.execute(_MOVE, person=telegram_id, telegram_id=holder.telegram_id, linked_at=now)
            if account is not None:
                await erase_personal(conn, [(account.id, telegram_id)], now)
            if moved.count and holder.blocked_at is None:
                whom = (holder.telegram_id, holder.language)
                await outbox.notice(self._database, conn, *whom, "notice-identity-linked", now)
            return True

        return await self._database.write(None, work)

    async def unlink(self, update: UpdateRef, identity_id: UUID) -> bool:
        """Unlink one of the person's own identities; False when there is no such. The account keeps its address."""

        async def work(conn: Connection) -> bool:
            return bool((await conn.execute(_UNLINK, identity=identity_id, person=update.telegram_id)).count)

        return await self._database.write(update, work)

    async def withdraw(self, issuer: str, subject: str, before: datetime, now: datetime) -> int | None:
        """Delete an identity at its provider's word, if it was linked before; return whose it was and tell them."""

        async def work(conn: Connection) -> int | None:
            holder = (await conn.execute(_HOLDER, issuer=issuer, subject=subject)).one_or_none()
            gone = await conn.execute(_WITHDRAW, issuer=issuer, subject=subject, before=before)
            if holder is None or not gone.count:
                return None
            if holder.language is not None and holder.blocked_at is None:
                whom = (holder.telegram_id, holder.language)
                await outbox.notice(self._database, conn, *whom, "notice-identity-withdrawn", now)
            return int(holder.telegram_id)

        return await self._database.write(None, work)

    async def _link(self, conn: Connection, identity: Identity, telegram_id: int, now: datetime) -> None:
        which = {"issuer": identity.issuer, "subject": identity.subject}
        holder = (await conn.execute(_HOLDER, **which)).one_or_none()
        if holder is None:
            await insert(
                conn, identities, id=self._database.new_id(), provider=identity.provider, telegram_id=telegram_id,
                email=identity.email, email_verified=identity.email_verified, linked_at=now, **which,
            )  # fmt: skip
            return
        if holder.telegram_id == telegram_id:
            return
        if holder.status in _KEEPS:
            raise IdentityTaken
        facts = {"email": identity.email, "email_verified": identity.email_verified, "linked_at": now}
        await change(conn, identities, holder.id, telegram_id=telegram_id, **facts)
        if holder.language is not None and holder.blocked_at is None:
            whom = (holder.telegram_id, holder.language)
            await outbox.notice(self._database, conn, *whom, "notice-identity-moved", now)

    async def _lock(self, conn: Connection, identity: Identity) -> None:
        """Hold the identity, before any person: whoever wants the same one queues up here (PostgreSQL)."""
        if conn.is_postgresql:
            name = f"{identity.issuer} {identity.subject}"
            await lock(conn, "identity", hashlib.sha256(name.encode()).hexdigest())
            await conn.execute(_LOCK, issuer=identity.issuer, subject=identity.subject)


def _wants(account: Account, email: str) -> bool:
    """Tell whether a verified address becomes this account's: a complete one keeps its own, made better at most."""
    if account.status is AccountStatus.CONFLICT:
        return False
    if account.status is AccountStatus.CONFIRMED:
        return account.email is None or (account.email == email and not account.email_verified)
    return not account.email_verified


def without_address(identity: Identity) -> Identity:
    """Return the identity as if the provider had told no e-mail address."""
    return replace(identity, email=None, email_verified=False)
