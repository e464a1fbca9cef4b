"""Who is registered elsewhere: CRM_LOOKUP_URL asked at the steps, and the list that `accounts import` brings in."""

from __future__ import annotations

from contextlib import AsyncExitStack

from bot.crm_settings import signing_key
from bot.gateways.crm_lookup import CrmLookup
from bot.settings import Settings
from bot.stores import Stores
from handlers.registration.elsewhere import Elsewhere
from storage.look_ups import LookUps


def open_elsewhere(settings: Settings, stores: Stores, stack: AsyncExitStack) -> Elsewhere:
    """Return what the steps ask; without CRM_LOOKUP_URL it asks nobody. Call it inside a running loop."""
    look_ups = LookUps(stores.database, stores.keys, settings.limits())
    if settings.crm_lookup_url is None:
        return Elsewhere(None, look_ups)
    keys = [signing_key(secret) for secret in settings.crm_webhook_secret]
    crm = CrmLookup(settings.crm_lookup_url, keys, settings.crm_lookup_timeout)
    stack.push_async_callback(crm.close)
    return Elsewhere(crm, look_ups)
