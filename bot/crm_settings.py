"""Where the CRM is told what became of registrations and asked who is known, and how it knows that it is us."""

from __future__ import annotations

import base64
import binascii
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode

from bot.forbidden_addresses import is_forbidden
from bot.setting_types import Duration, Durations, is_loopback, read_link

_PREFIX = "whsec_"
_HOW = f"write {_PREFIX} and the base64 of 24 to 64 random bytes; two of them, by comma, while the CRM changes over"


def read_outward_url(value: Any) -> str:
    """Read an address of the operator's own that the bot calls: a whole one, with its path and query.

    Plain http is taken (see `plain_http`), a link-local or metadata address never (T27).
    """
    text = read_link(value)
    parts = urlsplit(text)
    if "@" in parts.netloc or parts.fragment:
        raise ValueError("holds a name, a password or a hash; write the address without")
    if is_forbidden(parts.hostname or ""):
        raise ValueError("leads to a link-local, metadata or multicast address; write the CRM's own")
    return text


def plain_http(url: str) -> bool:
    """Tell whether what is sent there can be read on the way."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def _read_secrets(value: Any) -> tuple[SecretStr, ...]:
    if isinstance(value, tuple):
        return value
    secrets = tuple(SecretStr(text.strip()) for text in str(value).split(",") if text.strip())
    if not 1 <= len(secrets) <= 2:
        raise ValueError(f"are one or two; {_HOW}")
    for secret in secrets:
        signing_key(secret)
    return secrets


def signing_key(secret: SecretStr) -> bytes:
    """Return the bytes that sign (Standard Webhooks, "Signature scheme"). Raises ValueError without the secret."""
    text = secret.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX) + "=" * (-len(text.removeprefix(_PREFIX)) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(_PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError(f"is of the wrong form; {_HOW}")
    return key


class CrmSettings(BaseSettings):
    """The CRM's addresses; they come after the secret, against which they are checked."""

    crm_webhook_secret: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_read_secrets)] = ()
    # What a receiver has for one event (Standard Webhooks: 15 to 30 s).
    crm_webhook_timeout: Duration = timedelta(seconds=15)
    # Standard Webhooks' own schedule: a CRM may be away over a weekend.
    crm_webhook_retries: Durations = (
        timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=5),
        timedelta(hours=10), timedelta(hours=14), timedelta(hours=20), timedelta(hours=24),
    )  # fmt: skip
    crm_webhook_url: Annotated[str, BeforeValidator(read_outward_url)] | None = None
    # Somebody waits in the chat meanwhile.
    crm_lookup_timeout: Duration = timedelta(seconds=3)
    crm_lookup_url: Annotated[str, BeforeValidator(read_outward_url)] | None = None

    def crm_warnings(self) -> list[str]:
        """Return one sentence per thing that works but is hardly meant so."""
        urls = {"CRM_WEBHOOK_URL": self.crm_webhook_url, "CRM_LOOKUP_URL": self.crm_lookup_url}
        return [
            f"{name}: plain http shows names and numbers to everybody on the way; write https://"
            for name, url in urls.items()
            if url is not None and plain_http(url)
        ]

    @field_validator("crm_webhook_url", "crm_lookup_url")
    @classmethod
    def _signed(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("crm_webhook_secret", "refused already") == ():
            raise ValueError(f"would hear what anybody could write; write CRM_WEBHOOK_SECRET too: {_HOW}")
        return value
