"""By whom codes are sent, what that may cost, and each vendor's account."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode

from bot import setting_types as kinds
from bot.setting_types import ServiceUrl, Switch, Word, count

GatewayName = Literal["console", "smsc", "smsru", "smsaero", "twilio", "vonage", "telegram", "smpp"]
PAID_GATEWAYS = frozenset(get_args(GatewayName)) - {"console"}
GATEWAY = kinds.one_of(get_args(GatewayName))

Gateways = Annotated[tuple[GatewayName, ...], NoDecode, BeforeValidator(kinds.list_of(GATEWAY, "the gateways"))]
Pins = Annotated[dict[str, GatewayName], NoDecode, BeforeValidator(kinds.map_of(kinds.read_country, GATEWAY))]
Codes = Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(kinds.map_of(kinds.read_number, kinds.read_code))]
# Which settings make each gateway's account: any of these sets, whole.
_ACCOUNTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "smsc": (("smsc_login", "smsc_password"), ("smsc_api_key",)),
    "smsru": (("smsru_api_id",),),
    "smsaero": (("smsaero_email", "smsaero_api_key", "smsaero_sign"),),
    "twilio": (("twilio_account_sid", "twilio_auth_token", "twilio_sender"),),
    "vonage": (("vonage_api_key", "vonage_api_secret", "vonage_sender"),),
    "telegram": (("telegram_gateway_token",),),
    "smpp": (("smpp_host", "smpp_system_id", "smpp_password", "smpp_sender"),),
}
_DIGITS = r"\+[1-9][0-9]{6,14}"


class GatewaySettings(BaseSettings):
    """Everything about sending codes; `sms_gateways` comes last, since it is checked against the rest."""

    smsc_base_url: ServiceUrl = "https://smsc.ru"
    smsc_login: Word | None = None
    smsc_password: SecretStr | None = None
    smsc_api_key: SecretStr | None = None
    smsc_sender: Word | None = None
    smsc_report_secret: SecretStr | None = None

    smsru_base_url: ServiceUrl = "https://sms.ru"
    smsru_api_id: SecretStr | None = None
    smsru_sender: Word | None = None

    smsaero_base_url: ServiceUrl = "https://gate.smsaero.ru"
    smsaero_email: Annotated[str, kinds.like(r"[^\s:@]+@[^\s:@]+", "write the account's e-mail address")] | None = None
    smsaero_api_key: SecretStr | None = None
    smsaero_sign: Annotated[str, kinds.like(r"[ -~\u0400-\u04ff]{2,64}", "write the agreed sign")] | None = None

    twilio_base_url: ServiceUrl = "https://api.twilio.com"
    twilio_account_sid: Annotated[str, kinds.like(r"AC[0-9a-f]{32}", "write AC and 32 hex digits")] | None = None
    twilio_auth_token: SecretStr | None = None
    # A number, a sender's name, or a messaging service (MG...).
    twilio_sender: Word | None = None
    # Calls come from a number alone.
    twilio_voice_number: Annotated[str, kinds.like(_DIGITS, "write the number with its plus")] | None = None

    vonage_base_url: ServiceUrl = "https://rest.nexmo.com"
    vonage_api_key: Word | None = None
    vonage_api_secret: SecretStr | None = None
    vonage_sender: Word | None = None
    vonage_signature_secret: SecretStr | None = None

    telegram_gateway_base_url: ServiceUrl = "https://gatewayapi.telegram.org"
    telegram_gateway_token: SecretStr | None = None
    telegram_gateway_sender: Word | None = None

    smpp_host: Word | None = None
    smpp_port: Annotated[int, count(1, 65535)] = 2775
    smpp_tls: Switch = True
    smpp_system_id: Word | None = None
    smpp_password: SecretStr | None = None
    smpp_sender: Word | None = None

    # Where the vendors' reports (and people's browsers) reach this bot; the webhook's address unless told otherwise.
    public_url: ServiceUrl | None = None

    currency: Annotated[str, kinds.like(r"[A-Z]{3}", "write a currency's three letters, for example RUB")] = "RUB"
    daily_budget: Annotated[int, count(0, 10**12)] | None = None
    prices_file: Path | None = None
    gateway_pins: Annotated[
        dict[str, GatewayName], NoDecode, BeforeValidator(kinds.map_of(kinds.read_country, GATEWAY))
    ] = {}
    sms_paused: Switch = False
    test_numbers_until: Annotated[date, BeforeValidator(kinds.read_date)] | None = None
    test_numbers: Annotated[
        dict[str, SecretStr], NoDecode, BeforeValidator(kinds.map_of(kinds.read_number, kinds.read_code))
    ] = {}
    sms_gateways: Gateways = ("console",)

    @field_validator("sms_gateways")
    @classmethod
    def _accounts(cls, value: tuple[GatewayName, ...], info: ValidationInfo) -> tuple[GatewayName, ...]:
        for name in value:
            _check_account(name, info)
        paid = [name for name in value if name in PAID_GATEWAYS]
        if paid and info.data.get("daily_budget", "refused already") is None:
            raise ValueError(f"{paid[0]} costs money; write DAILY_BUDGET too, in hundredths of CURRENCY for 24 hours")
        return value

    @field_validator("test_numbers")
    @classmethod
    def _until_when(cls, value: dict[str, SecretStr], info: ValidationInfo) -> dict[str, SecretStr]:
        # Whoever knows such a number and its code comes in: it must end by itself.
        if value and info.data.get("test_numbers_until", "refused already") is None:
            raise ValueError("would let their codes work for ever; write TEST_NUMBERS_UNTIL too, as 2026-12-31")
        return value


def _check_account(name: str, info: ValidationInfo) -> None:
    ways = _ACCOUNTS.get(name, ())
    if not ways:
        return
    given = [way for way in ways if all(info.data.get(setting) for setting in way)]
    begun = [way for way in ways if any(info.data.get(setting) for setting in way)]
    spoken = ", or ".join(" and ".join(setting.upper() for setting in way) for way in ways)
    if not given:
        raise ValueError(f"{name} needs {spoken}; write them too")
    if len(begun) > 1:
        raise ValueError(f"{name} takes {spoken}; leave one of them out")
