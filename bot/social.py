"""Signing up with providers, wired: the providers there are, their pages, and what the conversation takes of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from aiohttp import web

from bot.gateways.facebook import Facebook
from bot.gateways.google import Google
from bot.settings import Settings
from bot.site import Site
from bot.social_deletion import FacebookDeletion
from bot.social_pages import SocialPages
from bot.stores import Stores
from bot.tickets import Ticket, Tickets
from handlers.ports import SocialLinks
from storage.identities import Identities
from storage.sign_ups import SignUps


@dataclass(frozen=True)
class Links:
    """See SocialLinks."""

    names: tuple[str, ...]
    tickets: Tickets
    pages: SocialPages

    def link(self, provider: str, telegram_id: int, language: str, now: datetime) -> str:
        """See SocialLinks."""
        return self.pages.start_url(provider, self.tickets.make(Ticket(telegram_id, language), now))


@dataclass(frozen=True)
class Social:
    """`links` is None when no provider is configured; then there are no pages either."""

    identities: Identities
    sign_ups: SignUps
    links: SocialLinks | None
    add_to: Callable[[web.Application], None]


def open_social(
    settings: Settings,
    stores: Stores,
    site: Site | None,
    bot_id: int,
    wake: Callable[[], None],
    stack: AsyncExitStack,
) -> Social:
    """Return it; `wake` is the courier's. Call it inside a running loop."""
    identities = Identities(
        stores.database, stores.keys, stores.accounts, settings.limits(), settings.terms_version, stores.events
    )
    sign_ups = SignUps(stores.redis, settings.oauth_state)
    google = Google(settings, stores.clock) if settings.google_client_id else None
    facebook = Facebook(settings, stores.clock) if settings.facebook_app_id else None
    found = [provider for provider in (google, facebook) if provider is not None]
    if not found or site is None:
        return Social(identities, sign_ups, None, lambda app: None)
    for provider in found:
        stack.push_async_callback(provider.close)
    tickets = Tickets(stores.keys, settings.oauth_state)
    pages = SocialPages(site, {provider.name: provider for provider in found}, tickets, sign_ups)
    links = Links(tuple(provider.name for provider in found), tickets, pages)

    def add_to(app: web.Application) -> None:
        pages.add_to(app)
        if facebook is not None:
            forget = partial(stores.conversations.forget, bot_id)
            FacebookDeletion(site, facebook, identities, settings.report_tolerance, forget, wake).add_to(app)

    return Social(identities, sign_ups, links, add_to)
