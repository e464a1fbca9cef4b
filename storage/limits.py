"""The shapes of limits. Their values are settings (`bot/settings.py`, one block); storage only counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Window:
    """At most `count` within any sliding `period`."""

    count: int
    period: timedelta


@dataclass(frozen=True)
class Limits:
    """Every number the verification engine counts by; names as in the settings."""

    code_length: int
    code_lifetime: timedelta
    code_attempts: int
    wrong_codes: Window
    live_codes: int
    resend_delays: tuple[timedelta, ...]
    sends_per_challenge: int
    sends_per_number: tuple[Window, ...]
    sends_per_person: tuple[Window, ...]
    numbers_per_person: Window
    addresses_per_person: Window
    challenge_session: timedelta
    unconfirmed_lifetime: timedelta
    reminder_before: timedelta
    number_recycle_after: timedelta
    outbox_lease: timedelta
    outbox_tries: int
