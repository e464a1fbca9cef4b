"""One file per outside service, and the choice among those that send codes."""

from __future__ import annotations

from collections.abc import Callable

from bot.gateways.console import Console
from bot.gateways.smpp import make_smpp
from bot.gateways.smsaero import make_smsaero
from bot.gateways.smsc import make_smsc
from bot.gateways.smsru import make_smsru
from bot.gateways.telegram_gateway import make_telegram
from bot.gateways.twilio import make_twilio
from bot.gateways.vonage import make_vonage
from bot.settings import Settings
from handlers.ports import Gateway
from storage.clock import Clock

# What makes a gateway: the settings, the clock, and where the vendor may report to (None: nowhere).
_MAKERS: dict[str, Callable[[Settings, Clock, str | None], Gateway]] = {
    "console": lambda settings, clock, report_url: Console(),
    "smsc": make_smsc,
    "smsru": make_smsru,
    "smsaero": make_smsaero,
    "twilio": make_twilio,
    "vonage": make_vonage,
    "telegram": make_telegram,
    "smpp": make_smpp,
}


def gateways_of(
    settings: Settings,
    clock: Clock,
    phone: Gateway | None = None,
    report_urls: Callable[[str], str | None] = lambda name: None,
) -> list[Gateway]:
    """Return the gateways of SMS_GATEWAYS in their order. Call it inside a running loop; close each at the end.

    `phone` is the one on the practice page: there it takes the place of the console, unless SMS_GATEWAYS was given.
    `report_urls` says by a gateway's name where its vendor may report to.
    """
    if phone is not None and not chosen_gateways(settings):
        return [phone]
    return [_MAKERS[name](settings, clock, report_urls(name)) for name in settings.sms_gateways]


def chosen_gateways(settings: Settings) -> tuple[str, ...]:
    """Return SMS_GATEWAYS when somebody wrote it, nothing when it is only the default."""
    return settings.sms_gateways if "sms_gateways" in settings.model_fields_set else ()
