"""Who else has, or asks for, what one account is about to win: how they are found, and how they lose it.

The parameters of all statements: `account` (the winner's id), `address`, `number`. Who may win is decided in
`storage/confirmation.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from storage.known_accounts import ADDRESS_IS_KNOWN, NUMBER_IS_KNOWN
from storage.models import AccountStatus
from storage.statements import Statement
from storage.tables import IS_ASKED, ChallengeState, accounts, challenges, known_accounts


@dataclass(frozen=True)
class Rival:
    """Another account that has, or asks for, what one account is about to win."""

    status: str
    email: str | None
    email_verified: bool
    expires_at: datetime


NO_ADDRESS = {"email": None, "email_verified": False}
NO_NUMBER = {"phone": None, "phone_proof": None, "phone_proven_at": None}
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


CLOSE = Statement(
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
REPLACE = Statement(
    sa.update(challenges).where(challenges.c.account_id == sa.bindparam("account"), IS_ASKED), sets=("state",)
)
TAKE_OWN = Statement(
    sa.update(challenges).where(
        challenges.c.account_id == sa.bindparam("account"), challenges.c.number == sa.bindparam("number")
    ),
    sets=("state",),
)
TAKE = Statement(sa.update(challenges).where(_is_asker), sets=("state",))
# Who is registered elsewhere has the better right, whoever vouches for the address here.
HELD_ADDRESS = Statement(
    sa.select(accounts.c.email_verified, sa.false().label("elsewhere"))
    .where(_address_is, _CONFIRMED, _is_other)
    .union_all(sa.select(sa.true(), sa.true()).select_from(known_accounts).where(ADDRESS_IS_KNOWN))
)
LISTED_ADDRESS = Statement(sa.select(known_accounts.c.kind).where(ADDRESS_IS_KNOWN).limit(sa.literal_column("1")))
HELD_NUMBER = Statement(
    sa.select(accounts.c.phone_proven_at, accounts.c.confirmed_at)
    .where(_number_is, _CONFIRMED, _is_other)
    .union_all(sa.select(sa.null(), sa.null()).select_from(known_accounts).where(NUMBER_IS_KNOWN))
)
LOCK_RIVALS = Statement(
    sa.select(*(accounts.c[name] for name in Rival.__dataclass_fields__))
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
LOSE_ADDRESS = {
    (True, True): _lose(sa.and_(_address_is, sa.or_(_PENDING, _claimed)), NO_ADDRESS),
    (True, False): _lose(sa.and_(_address_is, _claimed), NO_ADDRESS),
    (False, True): _lose(sa.and_(_address_is, _PENDING, _claimed), NO_ADDRESS),
    (False, False): _lose(sa.and_(_address_is, _PENDING, _claimed), NO_ADDRESS),
}
# A confirmed account cannot be without a number: the old holder gets a fresh day to prove another.
MOVE_NUMBER = _lose(
    sa.and_(_number_is, _CONFIRMED),
    NO_NUMBER | {"status": AccountStatus.PENDING.value, "confirmed_at": None, "reminded_at": None},
    sets=("expires_at",),
)
# Not as the index on it has it: SQLite would read all who are pending.
_is_pending = sa.func.coalesce(accounts.c.status, sa.literal_column("''")) == _PENDING.right
# Who proved another number and only asked for this one keeps what is proven.
LOSE_NUMBER = _lose(
    sa.and_(_is_pending, _by_index(phone="number"), sa.or_(_number_is, _asks_for_it)),
    {name: sa.case((_number_is, sa.null()), else_=accounts.c[name]) for name in NO_NUMBER},
)
