"""What is kept of partners, their campaigns and promo codes, by the names handlers ask for."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from storage.attribution import Attribution
from storage.campaigns import Campaigns
from storage.clicks import Clicks
from storage.database import Database
from storage.funnels import Funnels
from storage.keys import Keys
from storage.limits import Limits
from storage.promo_codes import PromoCodes


@dataclass(frozen=True)
class PartnerStores:
    """Each repository by its name in handlers."""

    campaigns: Campaigns
    clicks: Clicks
    funnels: Funnels
    attribution: Attribution
    promo_codes: PromoCodes


def open_partner_stores(database: Database, keys: Keys, limits: Limits, zone: ZoneInfo) -> PartnerStores:
    """Return the repositories on this database; days begin as in `zone`."""
    return PartnerStores(
        campaigns=Campaigns(database),
        clicks=Clicks(database, zone),
        funnels=Funnels(database, zone),
        attribution=Attribution(database, keys, limits.attribution_window, zone),
        promo_codes=PromoCodes(database, keys, limits),
    )
