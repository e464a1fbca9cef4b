"""Invitations by e-mail: asked for by whoever is registered, and followed once, by whoever has the letter.

The link holds a random name (144 bits) of which only the hash is stored, and the address is sealed under it (AES-GCM):
who has the letter has proven the address, and who steals the database learns no address from it. Until the letter has
left, its row in the outbox holds the address and half of what the name is made from; SECRET_KEY is the other half.

Whether the address takes letters is decided when the letter is about to leave, in `storage/letters.py`: what its
inviter can see until then is the same for every address.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from storage import outbox
from storage.attribution import Attribution, Stage, reach_without_account
from storage.campaigns import own_campaign
from storage.confirmation import Confirmation
from storage.database import Database
from storage.errors import AddressTaken, InvitationGone, Limit, LimitReached, NoAccount
from storage.events import Events
from storage.invitation_tables import InvitationState, invitations
from storage.keys import Keys, hkdf
from storage.ledger import opens_at
from storage.limits import Limits
from storage.marks import mark, mark_is, marks
from storage.models import Account, AccountStatus, Progress, UpdateRef
from storage.records import account_with, hold
from storage.rows import insert
from storage.statements import Connection, Statement

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PURPOSE = "invitation"
# Bytes of a name: 24 letters in the link.
_NAME, _SEED = 18, 16
_LONGEST = 60

_ASKED = Statement(
    sa.select(invitations.c.created_at)
    .where(mark_is(invitations.c.inviter, "inviter"), invitations.c.created_at > sa.bindparam("since"))
    .order_by(invitations.c.created_at.desc())
)
_FOUND = Statement(
    sa.select(
        invitations.c.id, invitations.c.campaign_id, invitations.c.sealed, invitations.c.expires_at,
        invitations.c.used_at, invitations.c.invitee,
    ).where(invitations.c.once == sa.bindparam("once"))
)  # fmt: skip
_USE = Statement(
    sa.update(invitations).where(invitations.c.id == sa.bindparam("invitation"), invitations.c.used_at.is_(None)),
    sets=("used_at", "invitee", "email"),
)


class Invitations:
    """Each public method is one transaction; `random` returns so many random bytes."""

    def __init__(
        self, database: Database, keys: Keys, limits: Limits, terms_version: str, attribution: Attribution,
        events: Events | None = None, random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:  # fmt: skip
        """`events`: what the CRM is told; without it nothing."""
        self._database = database
        self._keys = keys
        self._limits = limits
        self._attribution = attribution
        self._random = random
        self._confirmation = Confirmation(database, keys, limits, terms_version, events or Events(database))

    async def ask(self, update: UpdateRef, email: str, name: str, language: str, now: datetime) -> bool:
        """Queue a letter to a normalised address, in this language, signed with the inviter's name.

        True, always: what a repeated update is answered. Raises NoAccount unless the person is registered, LimitReached
        (invites_per_person).
        """

        async def work(conn: Connection) -> bool:
            account = await hold(conn, update.telegram_id)
            if account is None or account.status is not AccountStatus.CONFIRMED:
                raise NoAccount
            window = self._limits.invites_per_person
            theirs = marks("inviter", self._keys.persons(update.telegram_id))
            asked = (await conn.execute(_ASKED, since=now - window.period, **theirs)).scalars()
            free_at = opens_at(asked, (window,), now)
            if free_at is not None:
                raise LimitReached(Limit.INVITES_PER_PERSON, free_at)
            campaign = account.invite or await own_campaign(conn, update.telegram_id, now, self._random)
            await self._queue(conn, update.telegram_id, campaign, email, {"language": language, "name": name}, now)
            return True

        return await self._database.write(update, work)

    async def address_of(self, name: str, now: datetime) -> str | None:
        """Return the address that a link's name vouches for, None when it is none or too old."""

        async def work(conn: Connection) -> str | None:
            row = (await conn.execute(_FOUND, once=digest(name))).one_or_none()
            return None if row is None or row.expires_at <= now else _opened(row.sealed, name)

        return None if len(name) > _LONGEST else await self._database.read(work)

    async def follow(self, update: UpdateRef, name: str, now: datetime, *, exists_elsewhere: bool) -> Progress | None:
        """Use a link up: the address is the person's, verified, and the inviter brought them.

        None while there is no account: the address is kept for it, for as long as an account without a number is.
        A registered person, and one whose address is verified already, uses nothing up; the same person may come again.
        Raises InvitationGone; AddressTaken when a registered account has a better right to the address, here or
        (`exists_elsewhere`) as the CRM says, and nothing is used up then.
        """

        async def work(conn: Connection) -> Progress | None:
            row = (await conn.execute(_FOUND, once=digest(name))).one_or_none()
            if row is None or row.expires_at <= now:
                raise InvitationGone
            email = _opened(row.sealed, name)
            account = await hold(conn, update.telegram_id, address=email)
            if account is not None and (account.status is not AccountStatus.PENDING or account.email_verified):
                return Progress(account)
            if account is None and row.invitee == update.telegram_id:
                return None
            taken = exists_elsewhere or await self._confirmation.address_is_held(conn, email, account, verified=True)
            if row.used_at is None and taken:
                raise AddressTaken
            # Whoever was quicker has changed the row since it was read.
            kept = {"invitee": update.telegram_id, "email": email} if account is None else {}
            if not (await conn.execute(_USE, invitation=row.id, used_at=now, **{**_NOBODY, **kept})).count:
                raise InvitationGone
            return await self._arrived(conn, account, update.telegram_id, row.campaign_id, email, now)

        return await self._database.write(update, work)

    async def _arrived(
        self, conn: Connection, account: Account | None, telegram_id: int, campaign_id: int, email: str, now: datetime
    ) -> Progress | None:
        await self._attribution.add(conn, account, telegram_id, campaign_id, now)
        if account is None:
            await reach_without_account(conn, self._attribution.toucher(telegram_id, now), Stage.EMAIL)
            return None
        account = await account_with(conn, account.id)
        return await self._confirmation.give_address(conn, account, email, verified=True, now=now)

    async def _queue(
        self, conn: Connection, telegram_id: int, campaign: int, email: str, words: dict[str, str], now: datetime
    ) -> None:
        row_id, seed = self._database.new_id(), self._random(_SEED)
        name = name_of(self._keys.derive(PURPOSE), seed)
        await insert(
            conn, invitations, id=row_id, inviter=mark(self._keys.person(telegram_id)), campaign_id=campaign,
            address=mark(self._keys.address(email)), once=digest(name), sealed=_sealed(email, name),
            state=InvitationState.NEW, created_at=now, expires_at=now + self._limits.invite_lifetime,
        )  # fmt: skip
        own = {"invitation_id": row_id.hex, "seed": base64.b64encode(seed).decode(), "telegram_id": telegram_id}
        payload = {**own, "address": email, **words}
        await outbox.put(self._database, conn, outbox.INVITATION, payload, now, telegram_id=telegram_id)


_NOBODY: dict[str, object] = {"invitee": None, "email": None}


def name_of(key: bytes, seed: bytes) -> str:
    """Return the name in a link that is made from these, in base64url."""
    return base64.urlsafe_b64encode(hmac.digest(key, seed, hashlib.sha256)[:_NAME]).decode()


def digest(name: str) -> bytes:
    """Return what is stored of a name: it is random enough that no key is needed."""
    return hashlib.sha256(name.encode()).digest()


def _sealed(address: str, name: str) -> bytes:
    return _sealing(name).encrypt(_ONLY_NONCE, address.encode(), None)


def _opened(sealed: bytes, name: str) -> str:
    return _sealing(name).decrypt(_ONLY_NONCE, sealed, None).decode()


def _sealing(name: str) -> AESGCM:
    # Here, not at the top: it holds 7 MB of memory, and most bots send no invitations.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(hkdf(name.encode(), b"invited address"))


# A name seals one address, so its key is used once: with it any nonce is as good as another.
_ONLY_NONCE = bytes(12)
