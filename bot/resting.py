"""Which gateways failed a moment ago and are better left alone for a while."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from storage.sending import Offer

_LONGEST = 16
_LONGEST_ASKED = 3600


class Resting:
    """Known to this process alone: another learns it with its own first failure."""

    def __init__(self, rest: timedelta) -> None:
        """`rest` is doubled with each failure after it in a row, up to sixteen times."""
        self._rest = rest
        self._failures: dict[str, int] = {}
        self._until: dict[str, datetime] = {}

    def failed(self, gateway: str, now: datetime, at_least: float | None = None) -> None:
        """Let a gateway rest; `at_least` is what its vendor asked for, in seconds."""
        asked_for = now + timedelta(seconds=min(at_least or 0, _LONGEST_ASKED))
        until = self._until.get(gateway, now)
        if until <= now:
            # Many codes that meet one fault at once are one failure.
            failures = self._failures[gateway] = self._failures.get(gateway, 0) + 1
            until = now + self._rest * min(2 ** (failures - 1), _LONGEST)
        self._until[gateway] = max(until, asked_for)

    def worked(self, gateway: str) -> None:
        """Forget a gateway's failures."""
        self._failures.pop(gateway, None)
        self._until.pop(gateway, None)

    def last(self, offers: Iterable[Offer], now: datetime) -> list[Offer]:
        """Return the offers with those of resting gateways behind the others: still better than no code."""
        return sorted(offers, key=lambda offer: self._until.get(offer.gateway, now) > now)
