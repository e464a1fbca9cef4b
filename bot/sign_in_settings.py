"""Signing people in at the product: the token that "Get started" carries, and the change of SECRET_KEY."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import SecretStr, field_validator
from pydantic_settings import BaseSettings

from bot import setting_types as kinds
from bot.setting_types import Duration


class SignInSettings(BaseSettings):
    """How long a token lives, who signs it, and the key that was used before."""

    # Long enough to open a page, short enough to be of no use to who finds it later.
    start_token_lifetime: Duration = timedelta(minutes=5)
    start_token_issuer: Annotated[
        str, kinds.like(r"[!-~]{0,200}", "write the address or the name that the product expects, without spaces")
    ] = ""
    # What was made with it stays right while it is given: live codes, limits, signatures.
    previous_secret_key: SecretStr | None = None

    @field_validator("start_token_lifetime")
    @classmethod
    def _soon_over(cls, value: timedelta) -> timedelta:
        if value > timedelta(hours=1):
            raise ValueError("a link that signs in may live 1h at most; write 1h or less")
        return value

    @field_validator("previous_secret_key")
    @classmethod
    def _long_enough_too(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("is too short; write what SECRET_KEY was before")
        return value
