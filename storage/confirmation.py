"""Who gets a number or an address when more than one person wants it, and when an account is complete.

Pending rivals coexist; confirming takes from all of them. A verified address beats a claimed one, pending or
confirmed. A number whose holder proved it long ago goes to whoever proves it now. The caller holds the person,
the numbers and the addresses concerned (`records.hold`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from storage import outbox, promo_codes
from storage.attribution import credit
from storage.campaigns import own_campaign
from storage.database import Database
from storage.errors import AddressTaken, NumberTaken
from storage.events import Events
from storage.keys import Keys
from storage.known_accounts import ADDRESS_IS_KNOWN, NUMBER_IS_KNOWN, known_address, known_number
from storage.limits import Limits
from storage.models import Account, AccountStatus, PhoneProof, Progress
from storage.rows import change
from storage.statements import Connection, Rows, Statement
from storage.tables import IS_ASKED, ChallengeState, accounts, challenges, known_accounts

# No account has it: an id is never all zeros.
_NOBODY = UUID(int=0)


@dataclass(frozen=True)
class _Rival:
    """Another account that has, or asks for, what one account is about to win."""

    status: str
    email: str | None
    email_verified: bool
    expires_at: datetime


HERE: dict[str, object] = {"blocked_at": None}
"""Who writes to the bot does not block it: what a courier learnt late, when they were back already, ends with this."""
_NO_ADDRESS = {"email": None, "email_verified": False}
_NO_NUMBER = {"phone": None, "phone_proof": None, "phone_proven_at": None}
_CONFIRMED = accounts.c.status == sa.literal_column(f"'{AccountStatus.CONFIRMED.value}'")
_PENDING = accounts.c.status == sa.literal_column(f"'{AccountStatus.PENDING.value}'")
_address_is = accounts.c.email == sa.bindparam("address")
_number_is = accounts.c.phone == sa.bindparam("number")
_is_other = accounts.c.id != sa.bindparam("account")
# Of other accounts only, and only what is asked now.
_is_asker = sa.and_(
    challenges.c.number == sa.bindparam("number"), challenges.c.account_id != sa.bindparam("account"), IS_ASKED
)
_askers = sa.select(challenges.c.account_id).where(_is_asker)
_asks_for_it = accounts.c.id.in_(_askers)
_found = accounts.alias("found")


def _by_index(**columns: str) -> sa.ColumnElement[bool]:
    """Say once more, for the indexes, which accounts have one of these values, or ask for the number.

    PostgreSQL reads every account for an `or` that holds a query. That `or` stands beside this all the same: of a row
    that somebody changed while it was waited for, only what stands in the row itself is looked at again.
    """
    having = [sa.select(_found.c.id).where(_found.c[name] == sa.bindparam(value)) for name, value in columns.items()]
    return accounts.c.id.in_(sa.union_all(*having, _askers))


_CLOSE = Statement(
    sa.update(challenges)
    .where(challenges.c.account_id == sa.bindparam("account"), IS_ASKED)
    .values(
        state=sa.case(
            (challenges.c.number == sa.bindparam("number"), sa.literal_column(f"'{ChallengeState.CONFIRMED.value}'")),
            else_=sa.literal_column(f"'{ChallengeState.REPLACED.value}'"),
        )
    ),
    sets=("last_action_at",),
)
_REPLACE = Statement(
    sa.update(challenges).where(challenges.c.account_id == sa.bindparam("account"), IS_ASKED), sets=("state",)
)
_TAKE_OWN = Statement(
    sa.update(challenges).where(
        challenges.c.account_id == sa.bindparam("account"), challenges.c.number == sa.bindparam("number")
    ),
    sets=("state",),
)
_TAKE = Statement(sa.update(challenges).where(_is_asker), sets=("state",))
# Who is registered elsewhere has the better right, whoever vouches for the address here.
_HELD_ADDRESS = Statement(
    sa.select(accounts.c.email_verified, sa.false().label("elsewhere"))
    .where(_address_is, _CONFIRMED, _is_other)
    .union_all(sa.select(sa.true(), sa.true()).select_from(known_accounts).where(ADDRESS_IS_KNOWN))
)
_LISTED_ADDRESS = Statement(sa.select(known_accounts.c.kind).where(ADDRESS_IS_KNOWN).limit(sa.literal_column("1")))
_HELD_NUMBER = Statement(
    sa.select(accounts.c.phone_proven_at, accounts.c.confirmed_at)
    .where(_number_is, _CONFIRMED, _is_other)
    .union_all(sa.select(sa.null(), sa.null()).select_from(known_accounts).where(NUMBER_IS_KNOWN))
)
LOCK_RIVALS = Statement(
    sa.select(*(accounts.c[name] for name in _Rival.__dataclass_fields__))
    .where(_by_index(email="address", phone="number"), sa.or_(_address_is, _number_is, _asks_for_it), _is_other)
    .order_by(accounts.c.id)
    .with_for_update()
)


def _lose(losers: sa.ColumnElement[bool], values: Mapping[str, object], sets: tuple[str, ...] = ()) -> Statement:
    """Return the statement that takes `values` from these other accounts and says whom to tell."""
    change = sa.update(accounts).where(losers, _is_other).values(dict(values))
    return Statement(change.returning(accounts.c.telegram_id, accounts.c.language, accounts.c.blocked_at), sets=sets)


# An account in conflict holds nothing against anybody and loses nothing to anybody: it waits for support.
_claimed = sa.and_(
    accounts.c.email_verified.is_(sa.false()),
    accounts.c.status != sa.literal_column(f"'{AccountStatus.CONFLICT.value}'"),
)
# Whose address goes, by (the winner's is verified, the winner is being confirmed).
_LOSE_ADDRESS = {
    (True, True): _lose(sa.and_(_address_is, sa.or_(_PENDING, _claimed)), _NO_ADDRESS),
    (True, False): _lose(sa.and_(_address_is, _claimed), _NO_ADDRESS),
    (False, True): _lose(sa.and_(_address_is, _PENDING, _claimed), _NO_ADDRESS),
    (False, False): _lose(sa.and_(_address_is, _PENDING, _claimed), _NO_ADDRESS),
}
# A confirmed account cannot be without a number: the old holder gets a fresh day to prove another.
_MOVE_NUMBER = _lose(
    sa.and_(_number_is, _CONFIRMED),
    _NO_NUMBER | {"status": AccountStatus.PENDING.value, "confirmed_at": None, "reminded_at": None},
    sets=("expires_at",),
)
# Not as the index on it has it: SQLite would read all who are pending.
_is_pending = sa.func.coalesce(accounts.c.status, sa.literal_column("''")) == _PENDING.right
# Who proved another number and only asked for this one keeps what is proven.
LOSE_NUMBER = _lose(
    sa.and_(_is_pending, _by_index(phone="number"), sa.or_(_number_is, _asks_for_it)),
    {name: sa.case((_number_is, sa.null()), else_=accounts.c[name]) for name in _NO_NUMBER},
)


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
        await conn.execute(_CLOSE, account=account.id, number=number, last_action_at=now)
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
            await change(conn, accounts, account.id, **_NO_ADDRESS)
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
            await conn.execute(_REPLACE, account=account.id, state=ChallengeState.REPLACED)
        invite = account.invite or await own_campaign(conn, account.telegram_id, now, self.random)
        account = replace(account, status=AccountStatus.CONFIRMED, asked_number=None, confirmed_at=now, promo=promo)
        account = replace(account, invite=invite)
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
        holders = (await conn.execute(_HELD_ADDRESS, address=email, account=mine, **known)).all()
        # That the CRM lists the address this account has already is the account itself.
        own = account is not None and account.email == email
        return any((row.email_verified or not verified) and not (row.elsewhere and own) for row in holders)

    async def take_address(
        self, conn: Connection, account: Account, email: str, now: datetime, *, confirming: bool
    ) -> list[int]:
        """Take the address from every other account that must give it up now; return whom to forget.

        A verified address is taken from every claimant at once. Confirming takes it from pending rivals too.
        """
        losers = await conn.execute(
            _LOSE_ADDRESS[account.email_verified, confirming], address=email, account=account.id
        )
        return await self._tell(conn, losers, "notice-address-lost", now)

    async def lock_rivals(self, conn: Connection, account: Account, email: str, number: str | None) -> Sequence[_Rival]:
        """Lock and return everyone who may lose this address or number now, before anyone loses anything.

        In one order: two people who confirm at once have no number and no address in common, but may have two rivals
        in common.
        """
        rivals = await conn.execute(LOCK_RIVALS, address=email, number=number, account=account.id)
        return [_Rival(*row) for row in rivals.all()]

    async def _holders(self, conn: Connection, number: str, account_id: UUID) -> list[datetime | None]:
        """Return, for each that holds the number, when they last showed they do: of who is elsewhere nobody knows."""
        known = known_number(self.keys, number)
        rows = (await conn.execute(_HELD_NUMBER, number=number, account=account_id, **known)).all()
        return [max(row.phone_proven_at, row.confirmed_at) if row.confirmed_at else None for row in rows]

    async def _is_someone_elses(self, conn: Connection, account: Account, email: str) -> bool:
        """Tell whether the CRM listed the address, and not because it was this very account's."""
        # Only whose number moved to somebody else gets a second day.
        was_registered = account.expires_at > account.created_at + self.limits.unconfirmed_lifetime
        if was_registered:
            return False
        return (await conn.execute(_LISTED_ADDRESS, **known_address(self.keys, email))).first() is not None

    async def _lose_number(self, conn: Connection, account: Account) -> None:
        await change(conn, accounts, account.id, **_NO_NUMBER)
        await conn.execute(_TAKE_OWN, account=account.id, number=account.phone, state=ChallengeState.TAKEN)

    async def _take_number(self, conn: Connection, account: Account, number: str, now: datetime) -> list[int]:
        fresh_day = now + self.limits.unconfirmed_lifetime
        holders = await conn.execute(_MOVE_NUMBER, number=number, account=account.id, expires_at=fresh_day)
        moved = await self._tell(conn, holders, "notice-number-moved", now)
        # Before their challenges are closed: by those they are found.
        rivals = await conn.execute(LOSE_NUMBER, number=number, account=account.id)
        await conn.execute(_TAKE, number=number, account=account.id, state=ChallengeState.TAKEN)
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


def _is_outdone(rivals: Sequence[_Rival], account: Account, now: datetime) -> bool:
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
