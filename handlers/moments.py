"""Moments and waits in the person's words; the zone is always named, since Telegram tells nobody's."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, tzinfo

from babel.dates import format_datetime, format_timedelta


def moment(at: datetime, now: datetime, zone: tzinfo, language: str) -> str:
    """Return `at` as "HH:MM (GMT+03:00)", with the day when it is not today in `zone`."""
    local = at.astimezone(zone)
    pattern = "HH:mm (ZZZZ)" if local.date() == now.astimezone(zone).date() else "d MMMM HH:mm (ZZZZ)"
    return format_datetime(local, pattern, tzinfo=zone, locale=language)


def duration(length: timedelta, language: str) -> str:
    """Return a length of time in words, such as "24 hours"."""
    return format_timedelta(length, granularity="minute", threshold=2, locale=language)


def seconds_until(at: datetime, now: datetime) -> int:
    """Return whole seconds left, rounded up, at least 1: a wait must never be said as zero."""
    return max(1, math.ceil((at - now) / timedelta(seconds=1)))
