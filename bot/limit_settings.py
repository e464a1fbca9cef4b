"""Every limit, with its unit in the value and its reason beside it. Windows slide."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from bot.setting_types import Duration, Durations, OneWindow, Windows, count
from storage.limits import Limits, Window


class LimitSettings(BaseSettings):
    """The numbers of the verification engine, the courier and the jobs."""

    # Six digits are 20 bits, the least for a one-time code (OWASP ASVS 5.0, 6.5.4); the texts say six, so it is fixed.
    code_length: Annotated[int, count(6, 6)] = 6
    # Ten minutes are the most (ASVS 6.5.5).
    code_lifetime: Duration = timedelta(minutes=10)
    # Five tries at three live codes among a million: guessing pays nothing, a slip costs nothing.
    code_attempts: Annotated[int, count(1, 10)] = 5
    # Bounds what many challenges for one number could add up to; a resend never resets it.
    wrong_codes: OneWindow = Window(10, timedelta(hours=24))
    # A late first SMS still works after a resend.
    live_codes: Annotated[int, count(1, 5)] = 3
    # Time for an SMS to arrive before another is paid for; longer each time.
    resend_delays: Durations = tuple(timedelta(seconds=seconds) for seconds in (60, 120, 300, 600))
    # Fits the next row's hour.
    sends_per_challenge: Annotated[int, count(1, 10)] = 3
    # Whoever asks, a number is not bombed.
    sends_per_number: Windows = (Window(3, timedelta(hours=1)), Window(5, timedelta(hours=24)))
    # Calls wake people and verification messages cost: once is enough to learn that they arrive.
    calls_per_number: OneWindow = Window(1, timedelta(hours=1))
    # Bounds the cost of one person who tries number after number.
    sends_per_person: Windows = (Window(4, timedelta(hours=1)), Window(8, timedelta(hours=24)))
    # Counted before the look-up: the bot is no directory of who is registered.
    numbers_per_person: OneWindow = Window(3, timedelta(hours=24))
    # The same for e-mail addresses; a typing slip or two must still fit.
    addresses_per_person: OneWindow = Window(5, timedelta(hours=24))
    # Who pumps a range for money asks for many codes and enters none (Twilio Fraud Guard): so many unconfirmed at most.
    sends_per_prefix: OneWindow = Window(10, timedelta(hours=1))
    # With so many sends in the window and fewer than that share of them entered, the range is closed for a while.
    prefix_evidence: OneWindow = Window(20, timedelta(hours=24))
    prefix_confirmed_percent: Annotated[int, count(0, 100)] = 20
    prefix_blocked_for: Duration = timedelta(hours=12)
    # Pumping many ranges a little stays below the rows above. A country of which codes for more than that share of
    # DAILY_BUDGET were not entered, and more than were, gets none to typed numbers: the rest is for other countries.
    # Honest people leave an eighth of theirs, so this much is no chance, and six pumped countries leave a half.
    country_unconfirmed_percent: Annotated[int, count(0, 100)] = 10
    # An abandoned verification ends by itself this long after the last allowed action.
    challenge_session: Duration = timedelta(minutes=10)
    # Promised to the person: without a confirmed number the account is deleted.
    unconfirmed_lifetime: Duration = timedelta(hours=24)
    # Early enough to finish the same day.
    reminder_before: Duration = timedelta(hours=4)
    # How late a deletion or a reminder may come.
    cleanup_every: Duration = timedelta(minutes=10)
    # One transaction must not hold locks for long.
    cleanup_batch: Annotated[int, count(1, 10_000)] = 500
    # Carriers keep a released number out of use for about this long.
    number_recycle_after: Duration = timedelta(days=90)
    # The whole call to a gateway; it retries nothing inside.
    gateway_timeout: Duration = timedelta(seconds=10)
    # A gateway that failed is asked last for as long, doubled while it keeps failing, up to sixteen times.
    gateway_rest: Duration = timedelta(seconds=30)
    # A verification message that was not delivered by then is followed by an SMS (Telegram Gateway API: 30-3600 s).
    verification_message_ttl: Duration = timedelta(seconds=60)
    # A signed delivery report from further away in time is a replay (Standard Webhooks).
    report_tolerance: Duration = timedelta(seconds=300)
    # Longer than any gateway call, so that nobody takes over what is still being sent.
    outbox_lease: Duration = timedelta(seconds=60)
    # With 1 to 16 s between them a short outage is survived, and a code is still fresh.
    outbox_tries: Annotated[int, count(1, 20)] = 5
    # More than a person types or presses; whoever sends more is told to slow down, once, and the rest is not handled.
    updates_per_person: OneWindow = Window(30, timedelta(seconds=10))
    # Whose link somebody followed first has brought them; later, whoever sends them again (Tolt, Dub: 30 to 90 days).
    attribution_window: Duration = timedelta(days=30)
    # Enough for a slip or two; guessing promo codes takes ages.
    promo_guesses: OneWindow = Window(5, timedelta(minutes=5))
    # A colleague may be away for a fortnight; a link found later is of no use.
    invite_lifetime: Duration = timedelta(days=14)
    # A team is invited in a day or two; what goes to strangers' mailboxes in the product's name stays little.
    invites_per_person: OneWindow = Window(10, timedelta(hours=24))
    # Whoever asks: one letter, and no other while its link is good.
    mails_per_address: OneWindow = Window(1, timedelta(days=14))
    # What the bot starts itself: the Bot API allows about 30 messages a second in all (Bots FAQ, "broadcasting") ...
    telegram_send_rate: OneWindow = Window(25, timedelta(seconds=1))
    # ... and one a second in a chat.
    telegram_chat_rate: OneWindow = Window(1, timedelta(seconds=1))

    def limits(self) -> Limits:
        """Return what the verification engine counts by."""
        values = {name: getattr(self, name) for name in Limits.__dataclass_fields__}
        if "reminder_before" not in self.model_fields_set:
            # Who shortens the lifetime and leaves the reminder alone does not want it at the very beginning.
            values["reminder_before"] = min(self.reminder_before, self.unconfirmed_lifetime / 6)
        return Limits(**values)

    @field_validator("code_lifetime")
    @classmethod
    def _ten_minutes(cls, value: timedelta) -> timedelta:
        if value > timedelta(minutes=10):
            raise ValueError("a code may live 10m at most; write 10m or less")
        return value

    @field_validator("outbox_lease")
    @classmethod
    def _outlives_a_call(cls, value: timedelta, info: ValidationInfo) -> timedelta:
        if value < 2 * info.data.get("gateway_timeout", timedelta(0)):
            raise ValueError("must be at least twice GATEWAY_TIMEOUT, else a code still being sent is sent again")
        return value

    @field_validator("reminder_before")
    @classmethod
    def _before_the_end(cls, value: timedelta, info: ValidationInfo) -> timedelta:
        if value >= info.data.get("unconfirmed_lifetime", timedelta.max):
            raise ValueError("must be shorter than UNCONFIRMED_LIFETIME")
        return value
