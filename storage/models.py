"""What storage hands out: plain frozen values, never rows or connections."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class AccountStatus(StrEnum):
    """Stored names: permanent."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    CONFLICT = "conflict"
    """Confirmed here, but the CRM says that somebody else has registered so with it."""


class PhoneProof(StrEnum):
    """How a number was proven. Stored names: permanent."""

    CODE = "code"
    CONTACT = "contact"


@dataclass(frozen=True)
class UpdateRef:
    """Which update of which person causes a change: the key of `applied_updates`."""

    telegram_id: int
    update_id: int


@dataclass(frozen=True)
class TermsAcceptance:
    """What was accepted: the version, the language it was shown in, SHA-256 (hex) of the shown sentence."""

    version: str
    language: str
    sentence_hash: str


@dataclass(frozen=True)
class Account:
    """One person's account as it stands now.

    `phone` is the *proven* number (E.164); `asked_number` is the number of the newest challenge that still counts
    as "asked" (open, dead after too many tries, or past its session), None once proven, taken or replaced. `touch_id`:
    by which touch they came. `promo`: the promo code they gave, for good once they are confirmed. `invite`: the id of
    their own link's campaign, made when they are confirmed.
    """

    id: UUID
    telegram_id: int
    status: AccountStatus
    language: str
    email: str | None
    email_verified: bool
    terms_version: str | None
    phone: str | None
    asked_number: str | None
    created_at: datetime
    expires_at: datetime
    confirmed_at: datetime | None
    phone_proof: PhoneProof | None = None
    terms_accepted_at: datetime | None = None
    touch_id: int | None = None
    promo: str | None = None
    invite: int | None = None


@dataclass(frozen=True)
class Progress:
    """A durable step was taken. `confirmed_now` is true only for the update that completed the registration.

    `displaced`: Telegram ids of people who lost an address or a number by it; their conversation records must be
    forgotten after commit (their notices are already in the outbox).
    """

    account: Account
    confirmed_now: bool = False
    displaced: tuple[int, ...] = ()


@dataclass(frozen=True)
class CodeSent:
    """A code is on its way to `number` (E.164). `queued` is false when an earlier code is still live and none left now.

    `resend_at`: when the next one may be asked for; None when this challenge allows no more. `is_new`: it is the first
    of a new challenge, so earlier codes are right no longer.
    """

    account: Account
    number: str
    queued: bool
    resend_at: datetime | None
    is_new: bool = False


class Channel(StrEnum):
    """How a code reaches its number. Stored names: permanent."""

    SMS = "sms"
    TELEGRAM = "telegram"
    VOICE = "voice"
    TEST = "test"
    """Nowhere: a reviewer's number, whose code is known."""


class SendState(StrEnum):
    """States of one row of the `sends` ledger. Stored names: permanent; never moves back.

    FAILED never left: it costs nothing and counts nowhere. UNDELIVERED was sent, and the vendor says it did not arrive.
    """

    QUEUED = "queued"
    SENDING = "sending"
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True)
class SendEvent:
    """One line of the ledger as the person or staff may see it: no number, no code."""

    at: datetime
    state: SendState
    refused_by: str | None
    channel: Channel = Channel.SMS


@dataclass(frozen=True)
class Timeline:
    """What became of the codes of the number being proven, oldest first, and when the next may be asked for.

    `resend_at` may lie in the past (at once). `limited`: a limit, not only the delay between codes, makes it so late.
    `challenge_id` is None when no number is being proven. `channels`: by which a code may be asked for now.
    """

    events: tuple[SendEvent, ...]
    resend_at: datetime
    limited: bool
    challenge_id: UUID | None
    channels: frozenset[Channel] = frozenset()
