"""Who gets a number or an address when more than one person wants it, and when an account is complete.

Pending rivals coexist; confirming takes from all of them. A verified address beats a claimed one, pending or
confirmed. A number whose holder proved it long ago goes to whoever proves it now. The caller holds the person,
the numbers and the addresses concerned (`records.hold`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import outbox
from storage.database import Database
from storage.errors import AddressTaken, NumberTaken
from storage.limits import Limits
from storage.models import Account, AccountStatus, PhoneProof, Progress
from storage.records import account_with
from storage.tables import ASKED, ChallengeState, accounts, challenges

_NO_ADDRESS = {"email": None, "email_verified": False}
_NO_NUMBER = {"phone": None, "phone_proof": None, "phone_proven_at": None}
_CONFIRMED = accounts.c.status == AccountStatus.CONFIRMED
_PENDING = accounts.c.status == AccountStatus.PENDING


@dataclass(frozen=True)
class Confirmation:
    """Decides, writes and queues the notices; its methods run in the caller's transaction."""

    database: Database
    limits: Limits
    terms_version: str

    async def prove(
        self, conn: AsyncConnection, account: Account, number: str, proof: PhoneProof, now: datetime
    ) -> Progress:
        """Write down that the account's person proved `number`, close what was asked, and go on to `complete`."""
        proven = {"phone": number, "phone_proof": proof, "phone_proven_at": now}
        await conn.execute(sa.update(accounts).where(accounts.c.id == account.id).values(proven))
        return await self.ask_no_more(conn, account, number, now)

    async def ask_no_more(self, conn: AsyncConnection, account: Account, number: str, now: datetime) -> Progress:
        """Close what the account was asked, its proven number being `number`, and go on to `complete`."""
        state = sa.case(
            (challenges.c.number == number, ChallengeState.CONFIRMED.value), else_=ChallengeState.REPLACED.value
        )
        await conn.execute(sa.update(challenges).where(_asked_of(account.id)).values(state=state, last_action_at=now))
        return await self.complete(conn, await account_with(conn, account.id), now)

    async def complete(self, conn: AsyncConnection, account: Account, now: datetime) -> Progress:
        """Confirm the account if nothing is missing.

        Raises NumberTaken (this account loses the number it proved) or AddressTaken (it loses the address and keeps
        the number) when another account's right is the better one; both are to be committed.
        """
        if account.status is AccountStatus.CONFIRMED or account.phone is None:
            return Progress(account)
        held_since = await self._held_since(conn, account.phone, account.id)
        if held_since is not None and held_since >= now - self.limits.number_recycle_after:
            await self._lose_number(conn, account)
            raise NumberTaken
        if account.email is None or account.terms_version != self.terms_version:
            return Progress(account)
        await self.lock_rivals(conn, account, account.email, account.phone)
        if await self._is_outdone(conn, account, account.email, now):
            await conn.execute(sa.update(accounts).where(accounts.c.id == account.id).values(_NO_ADDRESS))
            raise AddressTaken
        displaced = await self.take_address(conn, account, account.email, now, confirming=True)
        displaced += await self._take_number(conn, account, account.phone, now)
        confirmed = {"status": AccountStatus.CONFIRMED, "confirmed_at": now}
        await conn.execute(sa.update(accounts).where(accounts.c.id == account.id).values(confirmed))
        await conn.execute(sa.update(challenges).where(_asked_of(account.id)).values(state=ChallengeState.REPLACED))
        return Progress(await account_with(conn, account.id), confirmed_now=True, displaced=_each_once(displaced))

    async def number_is_held(self, conn: AsyncConnection, number: str, account_id: UUID) -> bool:
        """Tell whether another confirmed account holds the number."""
        return await self._held_since(conn, number, account_id) is not None

    async def address_is_held(
        self, conn: AsyncConnection, email: str, account: Account | None, *, verified: bool
    ) -> bool:
        """Tell whether a confirmed account of someone else holds the address with no weaker right to it."""
        query = sa.select(accounts.c.email_verified).where(accounts.c.email == email, _CONFIRMED)
        if account is not None:
            query = query.where(accounts.c.id != account.id)
        held = (await conn.execute(query)).scalar_one_or_none()
        return held is not None and (held or not verified)

    async def take_address(
        self, conn: AsyncConnection, account: Account, email: str, now: datetime, *, confirming: bool
    ) -> list[int]:
        """Take the address from every other account that must give it up now; return whom to forget.

        A verified address is taken from every claimant at once. Confirming takes it from pending rivals too.
        """
        claimed = accounts.c.email_verified.is_(sa.false())
        if account.email_verified:
            beaten = sa.or_(_PENDING, claimed) if confirming else claimed
        else:
            beaten = sa.and_(_PENDING, claimed)
        losers = sa.and_(accounts.c.email == email, beaten)
        return await self._lose(conn, account, losers, _NO_ADDRESS, "notice-address-lost", now)

    async def lock_rivals(self, conn: AsyncConnection, account: Account, email: str, number: str | None) -> None:
        """Lock everyone who may lose this address or number now, in one order, before anyone loses anything.

        Two people who confirm at once have no number and no address in common, but may have two rivals in common.
        """
        rival = accounts.c.email == email
        if number is not None:
            askers = sa.select(challenges.c.account_id)
            askers = askers.where(challenges.c.number == number, challenges.c.state.in_(ASKED))
            rival = sa.or_(rival, accounts.c.phone == number, accounts.c.id.in_(askers))
        rows = sa.select(accounts.c.id).where(rival, accounts.c.id != account.id).order_by(accounts.c.id)
        await conn.execute(rows.with_for_update())

    async def _is_outdone(self, conn: AsyncConnection, account: Account, email: str, now: datetime) -> bool:
        if await self.address_is_held(conn, email, account, verified=account.email_verified):
            return True
        if account.email_verified:
            return False
        rival = sa.select(accounts.c.id).where(
            accounts.c.email == email, accounts.c.email_verified.is_(sa.true()), accounts.c.id != account.id,
            _PENDING, accounts.c.expires_at > now,
        )  # fmt: skip
        return (await conn.execute(rival.limit(1))).first() is not None

    async def _held_since(self, conn: AsyncConnection, number: str, account_id: UUID) -> datetime | None:
        """Return when the confirmed account that holds the number last showed it does, None when none holds it."""
        query = sa.select(accounts.c.phone_proven_at, accounts.c.confirmed_at)
        query = query.where(accounts.c.phone == number, _CONFIRMED, accounts.c.id != account_id)
        row = (await conn.execute(query)).one_or_none()
        return None if row is None else max(row.phone_proven_at, row.confirmed_at)

    async def _lose_number(self, conn: AsyncConnection, account: Account) -> None:
        await conn.execute(sa.update(accounts).where(accounts.c.id == account.id).values(_NO_NUMBER))
        taken = sa.update(challenges).values(state=ChallengeState.TAKEN)
        await conn.execute(taken.where(challenges.c.account_id == account.id, challenges.c.number == account.phone))

    async def _take_number(self, conn: AsyncConnection, account: Account, number: str, now: datetime) -> list[int]:
        has_it = accounts.c.phone == number
        # A confirmed account cannot be without a number: the old holder gets a fresh day to prove another.
        fresh = {
            **_NO_NUMBER, "status": AccountStatus.PENDING, "confirmed_at": None, "reminded_at": None,
            "expires_at": now + self.limits.unconfirmed_lifetime,
        }  # fmt: skip
        moved = await self._lose(conn, account, sa.and_(has_it, _CONFIRMED), fresh, "notice-number-moved", now)
        taken = (
            sa.update(challenges)
            .where(
                challenges.c.number == number, challenges.c.account_id != account.id, challenges.c.state.in_(ASKED)
            )
            .values(state=ChallengeState.TAKEN)
            .returning(challenges.c.account_id)
        )  # fmt: skip
        askers = (await conn.execute(taken)).scalars().all()
        rivals = sa.and_(_PENDING, sa.or_(has_it, accounts.c.id.in_(askers)))
        # Who proved another number and only asked for this one keeps what is proven.
        keeps_other = {name: sa.case((has_it, sa.null()), else_=accounts.c[name]) for name in _NO_NUMBER}
        return moved + await self._lose(conn, account, rivals, keeps_other, "notice-number-lost", now)

    async def _lose(
        self,
        conn: AsyncConnection,
        winner: Account,
        losers: sa.ColumnElement[bool],
        values: Mapping[str, object],
        text: str,
        now: datetime,
    ) -> list[int]:
        change = sa.update(accounts).where(losers, accounts.c.id != winner.id).values(values)
        told = (accounts.c.telegram_id, accounts.c.language, accounts.c.blocked_at)
        rows = (await conn.execute(change.returning(*told))).all()
        for row in rows:
            if row.blocked_at is None:
                await outbox.notice(self.database, conn, row.telegram_id, row.language, text, now)
        return [row.telegram_id for row in rows]


def _asked_of(account_id: UUID) -> sa.ColumnElement[bool]:
    return sa.and_(challenges.c.account_id == account_id, challenges.c.state.in_(ASKED))


def _each_once(telegram_ids: list[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(telegram_ids))
