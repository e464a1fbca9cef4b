"""How fast a person writes: the moments of their last updates, kept in their conversation's record.

Moments are milliseconds of Redis' clock, the same for all replicas.
"""

from __future__ import annotations

import math

from storage.limits import Window


class TooFast(Exception):
    """More updates than the limit allows; the next one is taken in `retry_in` seconds, at least 1.

    `told` is true when the person was told so before.
    """

    def __init__(self, retry_in: int, *, told: bool) -> None:
        """Take the delay in whole seconds."""
        super().__init__(f"again in {retry_in} s")
        self.retry_in = retry_in
        self.told = told


class Pace:
    """A person's last updates. `now` is the moment of the one at hand."""

    def __init__(self, stored: str, now: int) -> None:
        """Take what `dump` returned, maybe nothing."""
        moments = [int(moment) for moment in stored.split(",")] if stored else [0]
        # The first is the moment until which the person was asked to wait.
        self._closed_until, self._taken = moments[0], moments[1:]
        self._now = now

    def take(self, limit: Window) -> None:
        """Count the update at hand. Raises TooFast, and then it does not count."""
        now = self._now
        if now < self._closed_until:
            raise TooFast(math.ceil((self._closed_until - now) / 1000), told=True)
        period = int(limit.period.total_seconds() * 1000)
        # A moment to come means that another server's clock counts now.
        self._taken = [moment for moment in self._taken if now - period < moment <= now]
        if len(self._taken) >= limit.count:
            retry_in = max(1, math.ceil((self._taken[-limit.count] + period - now) / 1000))
            self._closed_until = now + retry_in * 1000
            raise TooFast(retry_in, told=False)
        self._taken.append(now)

    def dump(self) -> str:
        """Return what is stored."""
        return ",".join(map(str, (self._closed_until, *self._taken)))
