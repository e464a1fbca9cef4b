"""Signing up with Google or Facebook: the accounts there, and the web pages that this takes."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import SecretStr, field_validator
from pydantic_settings import BaseSettings

from bot import setting_types as kinds
from bot.setting_types import Duration, OneWindow, ServiceUrl, count
from storage.limits import Window

# Each provider's account: both of them, or neither.
_ACCOUNTS = (("google_client_id", "google_client_secret"), ("facebook_app_id", "facebook_app_secret"))


class SocialSettings(BaseSettings):
    """The providers and the pages; `social_mistakes` says what does not fit together."""

    # Any OpenID provider serves; people see the button of Google.
    google_issuer: ServiceUrl = "https://accounts.google.com"
    google_client_id: Annotated[str, kinds.like(r"[!-~]{1,255}", "write the client's id, without spaces")] | None = None
    google_client_secret: SecretStr | None = None

    # Graph is at the same address with graph. in place of www.
    facebook_base_url: ServiceUrl = "https://www.facebook.com"
    facebook_app_id: Annotated[str, kinds.like(r"[0-9]{1,32}", "write the app's id, digits alone")] | None = None
    facebook_app_secret: SecretStr | None = None

    # Long enough to sign in with a second factor; a link found later is of no use (OWASP ASVS 5.0, 10.1.2).
    oauth_state: Duration = timedelta(minutes=10)
    # A sign-up is four pages; more at once is no person.
    web_per_ip: OneWindow = Window(30, timedelta(minutes=5))
    # How many proxies of the operator's own stand before HTTP_PORT: only what they write is believed.
    trusted_proxies: Annotated[int, count(0, 10)] = 0

    def social_mistakes(self, public_url: str | None) -> list[str]:
        """Return one line per setting that is of no use without another; `public_url` is where browsers reach us."""
        found = []
        for pair in _ACCOUNTS:
            given = [name for name in pair if getattr(self, name) is not None]
            missing = [name.upper() for name in pair if name not in given]
            if given and missing:
                found.append(f"{given[0].upper()}: is of no use without {missing[0]}; write both or neither")
            elif given and public_url is None:
                found.append(
                    f"{given[0].upper()}: needs an address browsers reach; write PUBLIC_URL or WEBHOOK_URL too"
                )
        return found

    @field_validator("oauth_state")
    @classmethod
    def _soon_over_too(cls, value: timedelta) -> timedelta:
        if value > timedelta(minutes=10):
            raise ValueError("a sign-up may take 10m at most; write 10m or less")
        return value
