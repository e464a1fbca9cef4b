"""What the operator decided about sending codes, as the engine is given it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from storage.models import Channel


@dataclass(frozen=True)
class Offer:
    """One gateway that could carry a code, by which channel, and what that costs in minor currency units."""

    gateway: str
    channel: Channel
    price: int

    def written(self) -> list[str | int]:
        """Return it as an outbox payload keeps it."""
        return [self.gateway, self.channel, self.price]


class Routes(Protocol):
    """Knows which gateways serve a country, and in which order they are to be tried."""

    def offers(self, country: str, channel: Channel | None) -> tuple[Offer, ...]:
        """Return what can carry a code to a number of this ISO country, the best first.

        `channel` None: whatever goes without being asked for, so no call.
        """
        ...

    def channels(self, country: str) -> frozenset[Channel]:
        """Return every channel that some gateway has for this country."""
        ...


@dataclass(frozen=True)
class FixedRoutes:
    """The same offers for every country, in the given order."""

    all: tuple[Offer, ...] = (Offer("console", Channel.SMS, 0),)

    def offers(self, country: str, channel: Channel | None) -> tuple[Offer, ...]:
        """Return the offers of the channel, or all that need not be asked for."""
        wanted = (Channel.SMS, Channel.TELEGRAM) if channel is None else (channel,)
        return tuple(offer for offer in self.all if offer.channel in wanted)

    def channels(self, country: str) -> frozenset[Channel]:
        """Return every channel there is."""
        return frozenset(offer.channel for offer in self.all)


@dataclass(frozen=True)
class ReviewerNumbers:
    """Numbers of reviewers, which are sent nothing: their codes by number (E.164), and when they end (aware UTC)."""

    codes: Mapping[str, str] = field(default_factory=dict)
    until: datetime | None = None

    def code(self, number: str, now: datetime) -> str | None:
        """Return the number's code, None when it is a number like any other."""
        return self.codes.get(number) if self.until is not None and now < self.until else None


@dataclass(frozen=True)
class Sending:
    """`daily_budget` bounds the prices of any 24 hours, in minor currency units; None: nothing that is sent costs."""

    routes: Routes = field(default_factory=FixedRoutes)
    daily_budget: int | None = None
    paused: bool = False
    test_numbers: ReviewerNumbers = field(default_factory=ReviewerNumbers)
