"""Refusals, named as sentences. They carry data, never words: `handlers/errors.py` alone turns them into text.

Each is raised *after* its transaction was committed (a wrong code counts, a refused send leaves its row). What stands
for a failing database or a lost lock comes last, so that nobody outside needs to know, or to load, any driver.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Limit(StrEnum):
    """Which limit said no: the rows of `limits.md`. Stored in `sends.refused_by`: permanent."""

    SENDS_PER_CHALLENGE = "sends_per_challenge"
    SENDS_PER_NUMBER = "sends_per_number"
    SENDS_PER_PERSON = "sends_per_person"
    NUMBERS_PER_PERSON = "numbers_per_person"
    ADDRESSES_PER_PERSON = "addresses_per_person"
    WRONG_CODES = "wrong_codes"
    CALLS_PER_NUMBER = "calls_per_number"
    SENDS_PER_PREFIX = "sends_per_prefix"
    PREFIX_BLOCKED = "prefix_blocked"
    COUNTRY_UNCONFIRMED = "country_unconfirmed"
    DAILY_BUDGET = "daily_budget"
    PAUSED = "paused"
    NO_GATEWAY = "no_gateway"
    PROMO_GUESSES = "promo_guesses"
    INVITES_PER_PERSON = "invites_per_person"


class Refusal(Exception):
    """The person asked for something that is not to be had now."""


@dataclass
class NoAccount(Refusal):
    """The account is gone (expired, deleted) or never was: the person starts again."""


@dataclass
class AddressTaken(Refusal):
    """A confirmed account of someone else holds this e-mail address. A proven number of the asker is kept."""


@dataclass
class IdentityTaken(Refusal):
    """The identity belongs to a confirmed account of somebody with another Telegram id."""


@dataclass
class NumberTaken(Refusal):
    """A confirmed account of someone else holds this number."""


@dataclass
class LimitReached(Refusal):
    """A limit over a sliding window said no; the same request may be repeated at `retry_at` (aware UTC)."""

    limit: Limit
    retry_at: datetime


@dataclass
class NothingIsSent(Refusal):
    """No code leaves, for as long as the operator says so (`paused`) or has no gateway for this (`no_gateway`)."""

    limit: Limit


@dataclass
class ResendTooEarly(Refusal):
    """The challenge's resend delay has not passed; the next code may be asked for at `retry_at` (aware UTC)."""

    retry_at: datetime


@dataclass
class NothingToResend(Refusal):
    """No number is being proven: it was never given, is proven already, or was taken by another account."""


@dataclass
class WrongCode(Refusal):
    """A well-formed code that is none of the live ones; `tries_left` may be 0."""

    tries_left: int


@dataclass
class CodeExpired(Refusal):
    """No code of this challenge is live any more; costs no try."""


@dataclass
class TooManyTries(Refusal):
    """The challenge died after `code_attempts` tries; a new code (a new challenge) is the way on."""


@dataclass
class PromoUnknown(Refusal):
    """There is no such promo code."""


@dataclass
class PromoNotNow(Refusal):
    """The promo code is valid at another time: it begins later, or has ended."""


@dataclass
class PromoUsedUp(Refusal):
    """All uses of the promo code are taken, or held by others at this moment."""


@dataclass
class PromoUsedBefore(Refusal):
    """This person has used the promo code as often as anybody may."""


@dataclass
class PromoTooLate(Refusal):
    """The registration is complete, and promo codes are for registering."""


@dataclass
class InvitationGone(Refusal):
    """The link of an invitation is none, or too old, or somebody else was quicker."""


class StorageError(Exception):
    """The database failed at a statement or a transaction, of which nothing is left. Its text is one line.

    `orig` is the driver's error. `passing`: the same may well succeed at once, as after a deadlock or on a connection
    that was cut. As such it is a mistake of ours; what is none is StorageAway.
    """

    def __init__(self, orig: Exception, *, passing: bool = False) -> None:
        super().__init__(f"{type(orig).__name__}: {' '.join(str(orig).split())}")
        self.orig = orig
        self.passing = passing


class StorageAway(StorageError):
    """The database could not be reached, or gave the work up for a reason that passes without us."""


class LockLost(Exception):
    """Another process took the person's lock meanwhile, so nothing was saved; the update must be handled again."""


class Busy(Exception):
    """The person's lock stayed with another process for longer than `patience`; the update must be delivered again."""
