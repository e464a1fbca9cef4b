"""What the conversation needs from the outside, as Protocols owned by their consumer.

Handlers and the courier receive the implementations of `bot/gateways/` by parameter; nothing here knows a vendor.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from aiogram.methods import SendMessage

from storage.models import UpdateRef


@dataclass(frozen=True)
class Accepted:
    """The vendor took the message. `provider_id` names it in delivery reports; `price` is in minor currency units."""

    provider_id: str | None = None
    price: int | None = None


@dataclass(frozen=True)
class InvalidNumber:
    """The vendor says that no such number exists or that it cannot receive SMS: permanent for this number."""

    detail: str


@dataclass(frozen=True)
class Refused:
    """Opt-out, geography, fraud control: this vendor will not send this; permanent for this message."""

    detail: str


@dataclass(frozen=True)
class Unavailable:
    """Nothing was sent and another gateway (or a later try) may serve: 5xx, throttled, no money, IP blocked."""

    detail: str
    retry_after: float | None = None


@dataclass(frozen=True)
class Unknown:
    """It may have been sent (a timeout after the request left): never repeated by itself."""

    detail: str


@dataclass(frozen=True)
class Misconfigured:
    """The operator must mend something (credentials, sender name); the detail names the setting."""

    detail: str


SendResult = Accepted | InvalidNumber | Refused | Unavailable | Unknown | Misconfigured


class SmsGateway(Protocol):
    """Sends one text message. Never raises for what the vendor or the network does: the result says it."""

    name: str

    async def send(self, number: str, text: str, send_id: UUID) -> SendResult:
        """Send `text` to `number` (E.164, with the plus) once; `send_id` is the ledger's id, the same on a repeat."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class MailDomains(Protocol):
    """Knows whether a domain takes mail."""

    async def accepts_mail(self, domain: str) -> bool | None:
        """Return False only when the domain certainly takes no mail; None when unknown (never a reason to refuse)."""
        ...


class Courier(Protocol):
    """Sends what the outbox holds."""

    def wake(self) -> None:
        """Look into the outbox now: something was committed to it."""
        ...


class Schedule(Protocol):
    """What is to be said at a later moment and survives a restart."""

    async def say_now(self, call: SendMessage) -> int:
        """Send a message by HTTP and return its id, for a later edit of it."""
        ...

    async def edit_help(self, update: UpdateRef, message_id: int, challenge_id: UUID, run_at: datetime) -> None:
        """Bring this help message up to date at `run_at`, once per update, unless the challenge is over by then."""
        ...
