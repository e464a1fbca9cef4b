"""Every setting, read from the environment once at start and refused with one clear line per mistake."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    BeforeValidator,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bot import setting_types as kinds
from bot.own_secret import SettingsError, own_secret
from bot.setting_types import Duration, Durations, Link, OneWindow, RedisUrl, ServiceUrl, Switch, Windows
from bot.sms_text import spare
from locales import Texts
from storage.limits import Limits, Window

PAID_GATEWAYS = frozenset({"smsc"})
_EXAMPLE = "https://example.com/"
# Where the conversation's link buttons lead.
_LINKS = (
    "start_url", "terms_url", "privacy_url", "restore_password_url", "support_url", "help_url", "video_url",
)  # fmt: skip

Word = Annotated[str, kinds.like(r"[!-~]{1,64}", "write 1 to 64 Latin letters, digits and signs, without spaces")]
GatewayName = Literal["console", "smsc"]
Countries = Annotated[tuple[str, ...], NoDecode, BeforeValidator(kinds.list_of(kinds.read_country, "the countries"))]
NumberTypes = Annotated[
    tuple[str, ...], NoDecode, BeforeValidator(kinds.list_of(kinds.one_of(kinds.NUMBER_TYPES), "the kinds of number"))
]
Gateways = Annotated[
    tuple[GatewayName, ...],
    NoDecode,
    BeforeValidator(kinds.list_of(kinds.one_of(("console", "smsc")), "the gateways")),
]


def _count(low: int, high: int) -> BeforeValidator:
    return BeforeValidator(kinds.whole_number(low, high))


def _one_of(*choices: str) -> BeforeValidator:
    return BeforeValidator(kinds.one_of(choices))


class LimitSettings(BaseSettings):
    """Every limit, with its unit in the value and its reason beside it. Windows slide."""

    # Six digits are 20 bits, the least for a one-time code (OWASP ASVS 5.0, 6.5.4); the texts say six, so it is fixed.
    code_length: Annotated[int, _count(6, 6)] = 6
    # Ten minutes are the most (ASVS 6.5.5).
    code_lifetime: Duration = timedelta(minutes=10)
    # Five tries at three live codes among a million: guessing pays nothing, a slip costs nothing.
    code_attempts: Annotated[int, _count(1, 10)] = 5
    # Bounds what many challenges for one number could add up to; a resend never resets it.
    wrong_codes: OneWindow = Window(10, timedelta(hours=24))
    # A late first SMS still works after a resend.
    live_codes: Annotated[int, _count(1, 5)] = 3
    # Time for an SMS to arrive before another is paid for; longer each time.
    resend_delays: Durations = tuple(timedelta(seconds=seconds) for seconds in (60, 120, 300, 600))
    # Fits the next row's hour.
    sends_per_challenge: Annotated[int, _count(1, 10)] = 3
    # Whoever asks, a number is not bombed.
    sends_per_number: Windows = (Window(3, timedelta(hours=1)), Window(5, timedelta(hours=24)))
    # Bounds the cost of one person who tries number after number.
    sends_per_person: Windows = (Window(4, timedelta(hours=1)), Window(8, timedelta(hours=24)))
    # Counted before the look-up: the bot is no directory of who is registered.
    numbers_per_person: OneWindow = Window(3, timedelta(hours=24))
    # The same for e-mail addresses; a typing slip or two must still fit.
    addresses_per_person: OneWindow = Window(5, timedelta(hours=24))
    # An abandoned verification ends by itself this long after the last allowed action.
    challenge_session: Duration = timedelta(minutes=10)
    # Promised to the person: without a confirmed number the account is deleted.
    unconfirmed_lifetime: Duration = timedelta(hours=24)
    # Early enough to finish the same day.
    reminder_before: Duration = timedelta(hours=4)
    # How late a deletion or a reminder may come.
    cleanup_every: Duration = timedelta(minutes=10)
    # One transaction must not hold locks for long.
    cleanup_batch: Annotated[int, _count(1, 10_000)] = 500
    # Carriers keep a released number out of use for about this long.
    number_recycle_after: Duration = timedelta(days=90)
    # The whole call to a gateway; it retries nothing inside.
    gateway_timeout: Duration = timedelta(seconds=10)
    # Longer than any gateway call, so that nobody takes over what is still being sent.
    outbox_lease: Duration = timedelta(seconds=60)
    # With 1 to 16 s between them a short outage is survived, and a code is still fresh.
    outbox_tries: Annotated[int, _count(1, 20)] = 5
    # More than a person types or presses; whoever sends more is told to slow down, once, and the rest is not handled.
    updates_per_person: OneWindow = Window(30, timedelta(seconds=10))
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


class Settings(LimitSettings):
    """The whole configuration. Build it with `load()`, which also completes the secret key."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", hide_input_in_errors=True, validate_default=False
    )

    # Telegram
    bot_token: Annotated[
        SecretStr | None, kinds.like(r"[0-9]{1,20}:[A-Za-z0-9_-]{1,200}", "write it as @BotFather gave it")
    ] = None
    telegram_api_base: ServiceUrl = "https://api.telegram.org"
    webhook_url: ServiceUrl | None = None
    webhook_secret: Annotated[
        SecretStr | None,
        kinds.like(r"[A-Za-z0-9_-]{32,256}", "write 32 to 256 characters of A-Z, a-z, 0-9, _ and -, or leave it out"),
    ] = None
    http_host: Word = "127.0.0.1"
    http_port: Annotated[int, _count(0, 65535)] = 8080

    # Where it is kept
    data_dir: Path = Path("data")
    database_url: Annotated[
        SecretStr | None,
        kinds.like(
            r"(postgres(ql)?(\+asyncpg)?://|sqlite(\+aiosqlite)?:///).+",
            "write postgresql://user:password@host/name or sqlite:///path",
        ),
    ] = None
    redis_url: RedisUrl | None = None
    secret_key: SecretStr | None = None

    # Sending codes
    smsc_base_url: ServiceUrl = "https://smsc.ru"
    smsc_login: Word | None = None
    smsc_password: SecretStr | None = None
    smsc_api_key: SecretStr | None = None
    smsc_sender: Word | None = None
    sms_gateways: Gateways = ("console",)
    daily_budget: Annotated[int, _count(0, 10**12)] | None = None
    currency: Annotated[str, kinds.like(r"[A-Z]{3}", "write a currency's three letters, for example RUB")] = "RUB"

    # The product
    default_language: str = "ru"
    product_name: str = "CRM"
    start_url: Link = _EXAMPLE + "start"
    terms_url: Link = _EXAMPLE + "terms"
    privacy_url: Link = _EXAMPLE + "privacy"
    restore_password_url: Link = _EXAMPLE + "restore-password"
    support_url: Link = _EXAMPLE + "support"
    help_url: Link = _EXAMPLE + "help"
    video_url: Link = _EXAMPLE + "video"
    time_zone: Annotated[ZoneInfo, BeforeValidator(kinds.read_zone)] = ZoneInfo("Europe/Moscow")

    # The conversation
    terms_version: Word = "1"
    terms_style: Annotated[Literal["checkbox", "button"], _one_of("checkbox", "button")] = "checkbox"
    phone_reason: Annotated[
        str, kinds.like(r"(?s).{0,1000}", "write 1000 characters at most, for it stands in a message")
    ] = ""
    countries: Countries = ("RU", "BY", "KZ", "AM", "KG", "UZ", "AZ", "GE", "MD", "TJ")
    number_types: NumberTypes = ("mobile", "fixed_line_or_mobile")
    code_for_own_contact: Annotated[Literal["always", "never"], _one_of("always", "never")] = "always"
    existing_account_notice: Annotated[Literal["immediately", "after_proof"], _one_of("immediately", "after_proof")] = (
        "immediately"
    )
    email_mx_check: Switch = False

    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], _one_of("DEBUG", "INFO", "WARNING", "ERROR")] = (
        "INFO"
    )

    _generated_secret: bool = False

    def secret(self) -> str:
        """Return the secret key that `load()` gave or found; raises SettingsError on settings built without it."""
        if self.secret_key is None:
            raise SettingsError(["SECRET_KEY: is not there; write any text of at least 32 characters"])
        return self.secret_key.get_secret_value()

    def secrets(self) -> list[str]:
        """Return every secret value, for what must keep them out of sight."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]

    def warnings(self) -> list[str]:
        """Return one sentence per thing that works but is hardly meant so; none is a reason to refuse."""
        found = []
        if self._generated_secret and (self.database_url or self.redis_url):
            found.append(f"SECRET_KEY: was generated into {self.data_dir}; another replica needs the same one")
        if PAID_GATEWAYS & set(self.sms_gateways) and self.daily_budget is None:
            found.append("DAILY_BUDGET: is not given, so nothing bounds what SMS cost in a day")
        for name in _LINKS:
            link = str(getattr(self, name))
            host = urlsplit(link).hostname or ""
            if "." not in host and ":" not in host:
                found.append(f"{name.upper()}: Telegram takes no button to {link}; write an address with a domain")
            if self.bot_token is not None and link.startswith(_EXAMPLE):
                found.append(f"{name.upper()}: still leads to the example page {link}")
        return found

    @field_validator("telegram_api_base")
    @classmethod
    def _api_needs_token(cls, value: str, info: ValidationInfo) -> str:
        # Runs only when the setting was given. Without a token the bot serves its own local Bot API instead.
        if info.data.get("bot_token", "refused already") is None:
            raise ValueError("is of no use without BOT_TOKEN; give both or neither")
        return value

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("is too short; write any text of at least 32 characters")
        return value

    @field_validator("sms_gateways")
    @classmethod
    def _credentials(cls, value: tuple[GatewayName, ...], info: ValidationInfo) -> tuple[GatewayName, ...]:
        if "smsc" not in value:
            return value
        pair = info.data.get("smsc_login"), info.data.get("smsc_password")
        if info.data.get("smsc_api_key"):
            if any(pair):
                raise ValueError("smsc takes SMSC_API_KEY or SMSC_LOGIN and SMSC_PASSWORD; leave one of them out")
        elif not all(pair):
            raise ValueError("smsc needs SMSC_LOGIN and SMSC_PASSWORD, or SMSC_API_KEY; write them too")
        return value

    @field_validator("default_language")
    @classmethod
    def _spoken(cls, value: str) -> str:
        return kinds.one_of(Texts().languages)(value)

    @field_validator("product_name")
    @classmethod
    def _fits_an_sms(cls, value: str, info: ValidationInfo) -> str:
        if not value.isprintable() or value.strip() != value:
            raise ValueError("holds what cannot be shown; write the name alone, on one line")
        code = "0" * info.data.get("code_length", 6)
        room = min(spare(text) for text in Texts().every("sms-code", code=code, product=value).values())
        if room < 0:
            raise ValueError(f"makes the SMS longer than one segment; write a name {-room} characters shorter")
        return value


def load() -> Settings:
    """Return the settings of the environment, with the secret key generated into DATA_DIR when none is configured.

    Raises SettingsError with every mistake at once.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        raise SettingsError([_line(mistake["loc"], mistake) for mistake in error.errors()]) from None
    if settings.secret_key is None:
        settings.secret_key = SecretStr(own_secret(settings.data_dir))
        settings._generated_secret = True
    return settings


def _line(place: tuple[int | str, ...], mistake: Any) -> str:
    reason = mistake.get("ctx", {}).get("error", mistake["msg"])
    return f"{str(place[0]).upper()}: {reason}"
