"""Invitations by e-mail, wired: the mail server, the letters, the page where people say no."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from bot.gateways.smtp import Smtp
from bot.invitation_delivery import InvitationDelivery, Post
from bot.letter import Composer
from bot.mail_pages import MailPages
from bot.settings import Settings
from bot.site import Site
from bot.stores import Stores
from bot.tickets import StopTokens
from handlers.product import Product
from locales import Texts
from storage.letters import Letters


@dataclass(frozen=True)
class Mail:
    """`delivery` is there without a mail server too: what was queued while there was one is settled by it."""

    delivery: InvitationDelivery
    add_to: Callable[[web.Application], None]


def open_mail(
    settings: Settings, stores: Stores, site: Site | None, texts: Texts, product: Product, owner: str
) -> Mail:
    """Return it; `owner` names this process on its leases. The page stays for letters that were sent before."""
    letters = Letters(stores.database, stores.keys, settings.limits())
    pages = MailPages(site, StopTokens(stores.keys), letters, product.support_url) if site else None
    post = None
    if pages is not None and settings.smtp_host is not None and settings.mail_from is not None:
        post = Post(Smtp(settings), Composer(texts, product, settings.mail_from), pages.stop_url)
    delivery = InvitationDelivery(stores.outbox, letters, post, stores.clock, random.SystemRandom(), owner)
    return Mail(delivery, pages.add_to if pages else lambda app: None)
