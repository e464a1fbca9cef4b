"""One file per outside service, and the choice among those that send SMS."""

from __future__ import annotations

from bot.gateways.console import Console
from bot.gateways.smsc import Smsc
from bot.settings import Settings
from handlers.ports import SmsGateway
from storage.clock import Clock


def sms_gateways(settings: Settings, clock: Clock, phone: SmsGateway | None = None) -> list[SmsGateway]:
    """Return the gateways of SMS_GATEWAYS in their order. Call it inside a running loop; close each at the end.

    `phone` is the one on the practice page: there it takes the place of the console, unless SMS_GATEWAYS was given.
    """
    if phone is not None and not chosen_gateways(settings):
        return [phone]
    return [_make(name, settings, clock) for name in settings.sms_gateways]


def chosen_gateways(settings: Settings) -> tuple[str, ...]:
    """Return SMS_GATEWAYS when somebody wrote it, nothing when it is only the default."""
    return settings.sms_gateways if "sms_gateways" in settings.model_fields_set else ()


def _make(name: str, settings: Settings, clock: Clock) -> SmsGateway:
    if name == "console":
        return Console()
    if settings.smsc_api_key is not None:
        credentials = {"apikey": settings.smsc_api_key.get_secret_value()}
    else:
        password = settings.smsc_password.get_secret_value() if settings.smsc_password else ""
        credentials = {"login": settings.smsc_login or "", "psw": password}
    return Smsc(settings.smsc_base_url, credentials, settings.smsc_sender, settings.gateway_timeout, clock)
