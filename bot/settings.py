"""Every setting, read from the environment once at start and refused with one clear line per mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    BeforeValidator,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from bot import setting_types as kinds
from bot.crm_settings import CrmSettings
from bot.gateway_settings import GatewaySettings
from bot.limit_settings import LimitSettings
from bot.mail_settings import MailSettings
from bot.own_secret import SettingsError, own_secret
from bot.partner_settings import PartnerSettings
from bot.setting_types import Link, RedisUrl, ServiceUrl, Switch, Word, choice, count
from bot.sign_in_settings import SignInSettings
from bot.sms_text import spare
from bot.social_settings import SocialSettings
from locales import Texts

_EXAMPLE = "https://example.com/"
# Where the conversation's link buttons lead.
_LINKS = (
    "start_url", "terms_url", "privacy_url", "restore_password_url", "support_url", "help_url", "video_url",
)  # fmt: skip

Countries = Annotated[tuple[str, ...], NoDecode, BeforeValidator(kinds.list_of(kinds.read_country, "the countries"))]
NumberTypes = Annotated[
    tuple[str, ...], NoDecode, BeforeValidator(kinds.list_of(kinds.one_of(kinds.NUMBER_TYPES), "the kinds of number"))
]


class Settings(
    LimitSettings, GatewaySettings, SignInSettings, CrmSettings, SocialSettings, PartnerSettings, MailSettings
):
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
    http_port: Annotated[int, count(0, 65535)] = 8080

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
    # A group's id is negative.
    support_chat_id: Annotated[int, BeforeValidator(kinds.read_chat_id)] | None = None
    time_zone: Annotated[ZoneInfo, BeforeValidator(kinds.read_zone)] = ZoneInfo("Europe/Moscow")

    # The conversation
    terms_version: Word = "1"
    terms_style: Annotated[Literal["checkbox", "button"], choice("checkbox", "button")] = "checkbox"
    phone_reason: Annotated[
        str, kinds.like(r"(?s).{0,1000}", "write 1000 characters at most, for it stands in a message")
    ] = ""
    countries: Countries = ("RU", "BY", "KZ", "AM", "KG", "UZ", "AZ", "GE", "MD", "TJ")
    number_types: NumberTypes = ("mobile", "fixed_line_or_mobile")
    code_for_own_contact: Annotated[Literal["always", "never"], choice("always", "never")] = "always"
    existing_account_notice: Annotated[Literal["immediately", "after_proof"], choice("immediately", "after_proof")] = (
        "immediately"
    )
    email_mx_check: Switch = False

    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], choice("DEBUG", "INFO", "WARNING", "ERROR")] = (
        "INFO"
    )

    _generated_secret: bool = False

    def secret(self) -> str:
        """Return the secret key that `load()` gave or found; raises SettingsError on settings built without it."""
        if self.secret_key is None:
            raise SettingsError(["SECRET_KEY: is not there; write any text of at least 32 characters"])
        return self.secret_key.get_secret_value()

    def base_url(self) -> str | None:
        """Return the address at which browsers and vendors reach this bot, None without one."""
        return self.public_url or self.webhook_url

    def previous_secret(self) -> str | None:
        """Return the secret key before this one, while it is still given."""
        return self.previous_secret_key.get_secret_value() if self.previous_secret_key else None

    def secrets(self) -> list[str]:
        """Return every secret value, for what must keep them out of sight."""
        values = [getattr(self, name) for name in type(self).model_fields]
        values += [part for value in values if isinstance(value, tuple) for part in value]
        return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]

    def warnings(self) -> list[str]:
        """Return one sentence per thing that works but is hardly meant so; none is a reason to refuse."""
        found = []
        if self._generated_secret and (self.database_url or self.redis_url):
            found.append(f"SECRET_KEY: was generated into {self.data_dir}; another replica needs the same one")
        if self.sms_paused:
            found.append("SMS_PAUSED: no code is sent; people may go on with their own contact")
        found += self.crm_warnings()
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

    @field_validator("start_url")
    @classmethod
    def _has_no_token(cls, value: str) -> str:
        if "token" in dict(parse_qsl(urlsplit(value).query, keep_blank_values=True)):
            raise ValueError("has a token already; write it without, for each person gets one of their own")
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
    base = settings.base_url()
    if mistakes := [*settings.social_mistakes(base), *settings.mail_mistakes(base)]:
        raise SettingsError(mistakes)
    if settings.secret_key is None:
        settings.secret_key = SecretStr(own_secret(settings.data_dir))
        settings._generated_secret = True
    return settings


def _line(place: tuple[int | str, ...], mistake: Any) -> str:
    reason = mistake.get("ctx", {}).get("error", mistake["msg"])
    return f"{str(place[0]).upper()}: {reason}"
