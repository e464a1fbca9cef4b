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
    calls_per_number: Window
    sends_per_person: tuple[Window, ...]
    sends_per_prefix: Window
    prefix_evidence: Window
    prefix_confirmed_percent: int
    prefix_blocked_for: timedelta
    verification_message_ttl: timedelta
    numbers_per_person: Window
    addresses_per_person: Window
    challenge_session: timedelta
    unconfirmed_lifetime: timedelta
    reminder_before: timedelta
    number_recycle_after: timedelta
    outbox_lease: timedelta
    outbox_tries: int
    # Of the budget of a day, what codes of one country may cost that nobody entered, while fewer were entered.
    country_unconfirmed_percent: int = 10
    # What many are told at once is spread by it.
    telegram_send_rate: Window = Window(25, timedelta(seconds=1))
    # For so long whoever came by a link first has brought the person.
    attribution_window: timedelta = timedelta(days=30)
    promo_guesses: Window = Window(5, timedelta(minutes=5))
    invite_lifetime: timedelta = timedelta(days=14)
    invites_per_person: Window = Window(10, timedelta(hours=24))
    mails_per_address: Window = Window(1, timedelta(days=14))
