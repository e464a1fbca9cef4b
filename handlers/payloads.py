"""What `/start` may bring: a campaign's code, a promo code, both. Anything else is ignored and the person goes on.

The forms are permanent: `r_<8>`, `p_<1-20>`, `r_<8>-p_<1-20>` of A-Z, a-z, 0-9, _ and - (Bot API, "Deep linking").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from handlers.product import Product
from storage import referral_codes
from storage.promo_codes import FORM

_PROMO = FORM.pattern
_FORMS = (
    re.compile(r"r_(?P<code>[A-Za-z0-9]{8})"),
    re.compile(rf"p_(?P<promo>{_PROMO})"),
    re.compile(rf"r_(?P<code>[A-Za-z0-9]{{8}})-p_(?P<promo>{_PROMO})"),
)


@dataclass(frozen=True)
class Arrival:
    """By which campaign's link somebody came (its id, which nobody may have), and with which promo code."""

    campaign: int | None
    promo: str | None


def read_start(text: str) -> Arrival | None:
    """Return what a `/start` brings, None when that is nothing for us."""
    payload = text.partition(" ")[2].strip()
    if not payload:
        return None
    found = next((match for form in _FORMS if (match := form.fullmatch(payload))), None)
    if found is None:
        return None
    given = found.groupdict()
    campaign = referral_codes.read(given["code"]) if given.get("code") else None
    if given.get("code") and campaign is None:
        return None
    return Arrival(campaign, given.get("promo"))


def read_promo(text: str) -> str | None:
    """Return the promo code that somebody typed, as it is kept; None for what can be none."""
    typed = text.strip()
    return typed.upper() if FORM.fullmatch(typed) else None


def campaign_payload(code: str, promo: str | None = None) -> str:
    """Return what `/start` is to bring: a campaign's code, and a promo code (one that cannot be one is left out)."""
    return f"r_{code}-p_{promo}" if promo and re.fullmatch(_PROMO, promo) else f"r_{code}"


def bot_link(product: Product, code: str) -> str:
    """Return the link of a campaign's code that opens the chat."""
    return f"https://t.me/{product.bot_username}?start={campaign_payload(code)}"


def web_link(product: Product, code: str) -> str | None:
    """Return the link of a campaign's code that opens a page and counts the click; None when there are no pages."""
    return f"{product.web_url}/r/{code}" if product.web_url else None
