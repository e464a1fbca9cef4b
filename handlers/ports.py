"""What the conversation needs from the outside, as Protocols owned by their consumer.

Handlers and the courier receive the implementations of `bot/gateways/` by parameter; nothing here knows a vendor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from aiogram.methods import SendMessage

from storage.models import Channel, SendState, UpdateRef


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
    """It may have been sent (a timeout after the request left): never repeated by itself.

    `provider_id` names it in delivery reports where the vendor takes an id of ours.
    """

    detail: str
    provider_id: str | None = None


@dataclass(frozen=True)
class Misconfigured:
    """The operator must mend something (credentials, sender name); the detail names the setting."""

    detail: str


SendResult = Accepted | InvalidNumber | Refused | Unavailable | Unknown | Misconfigured


@dataclass(frozen=True, repr=False)
class CodeMessage:
    """One code on its way to one number. No repr: it must not get into a log.

    `number` is E.164 with the plus, `text` the whole message (one SMS segment, the code first), `code` the digits in
    it, `language` the text's. `send_id` is the ledger's id, the same on a repeat. `lifetime`: how long the code is
    still right; delivering it later is of no use.
    """

    number: str
    text: str
    code: str
    language: str
    channel: Channel
    send_id: UUID
    lifetime: timedelta


class Gateway(Protocol):
    """Sends codes by one vendor. Never raises for what the vendor or the network does: the result says it."""

    @property
    def name(self) -> str:
        """Its name in SMS_GATEWAYS and in the ledger: permanent."""

    @property
    def channels(self) -> frozenset[Channel]:
        """How it can carry a code."""

    async def send(self, message: CodeMessage) -> SendResult:
        """Send the message once, by one of its channels."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


@dataclass(frozen=True)
class ReportRequest:
    """A delivery report as it came in by HTTP.

    `url` is the one the vendor was told, with its query; `path_secret` the last part of its path, empty without one.
    Header names are in lower case.
    """

    method: str
    url: str
    path_secret: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Report:
    """What a vendor says of one message: DELIVERED or UNDELIVERED. `detail` is for the log, without personal data."""

    provider_id: str
    state: SendState
    detail: str = ""


class ForgedReport(Exception):
    """A delivery report that is not proven to be the vendor's own, or is too old. Its text is for the log."""


class ReportingGateway(Gateway, Protocol):
    """A gateway whose vendor tells by HTTP what became of a message."""

    @property
    def report_answer(self) -> str:
        """The body the vendor wants to read when the report was taken."""

    async def read_report(self, request: ReportRequest) -> list[Report]:
        """Return what the request says of each message; what is still on its way says nothing and is left out.

        Raises ForgedReport, and ValueError for what the vendor cannot have written.
        """
        ...


class MailDomains(Protocol):
    """Knows whether a domain takes mail."""

    async def accepts_mail(self, domain: str) -> bool | None:
        """Return False only when the domain certainly takes no mail; None when unknown (never a reason to refuse)."""
        ...


class Directory(Protocol):
    """Knows who is registered elsewhere: people register on the CRM's website too."""

    async def has_number(self, number: str, now: datetime) -> bool:
        """Tell whether somebody is registered with this number (E.164); False when no answer came in time."""
        ...

    async def has_address(self, email: str, now: datetime) -> bool:
        """Tell whether somebody is registered with this normalised address; False when no answer came in time."""
        ...


class SignIn(Protocol):
    """Makes the links that open the product already signed in."""

    async def ready(self) -> None:
        """Load what signing takes: quick after the first time."""
        ...

    def link(self, account_id: str, now: datetime) -> str:
        """Return a link that signs this account in, once and soon. Only after `ready`."""
        ...


class SocialLinks(Protocol):
    """Makes the links by which people sign up with a provider."""

    @property
    def names(self) -> tuple[str, ...]:
        """The providers there are, in the order they are offered."""

    def link(self, provider: str, telegram_id: int, language: str, now: datetime) -> str:
        """Return a link for this very person, good for some minutes."""
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


@dataclass(frozen=True)
class Bar:
    """One step of a funnel: its name, how many came so far, and which share that is, in words (empty: not told)."""

    label: str
    number: int
    share: str = ""


@dataclass(frozen=True)
class Chart:
    """A funnel to be drawn: whose it is, of which days, and its steps in order."""

    title: str
    period: str
    bars: tuple[Bar, ...]


class Pictures(Protocol):
    """Draws what is sent as a photo or a file. Whoever gets no picture is given the text all the same."""

    async def qr_png(self, link: str) -> bytes | None:
        """Return a QR code with the product's name below it, to be sent as a photo; None when it was not drawn."""
        ...

    def qr_svg(self, link: str) -> bytes:
        """Return the same for printing."""
        ...

    async def chart_png(self, chart: Chart) -> bytes | None:
        """Return a funnel that reads well on a phone; None when it was not drawn in time."""
        ...
