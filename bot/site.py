"""What the web pages for people have in common: where they are, how they speak, how often they may be opened."""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from bot.client_address import client_of
from bot.outages import storage_is_away
from bot.pages import Link, Page, show
from bot.settings import Settings
from bot.stores import Stores
from handlers.product import Product
from locales import Texts
from storage.clock import Clock
from storage.keys import Keys
from storage.web_limit import WebLimit

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Site:
    """`base_url` is where browsers reach this bot, `proxies` how many of the operator's own stand in between."""

    base_url: str
    bot_username: str
    product_name: str
    texts: Texts
    clock: Clock
    proxies: int
    limit: WebLimit
    keys: Keys

    def guarded(self, handler: Handler) -> Handler:
        """Return the handler behind the limit per address; when Redis or SQL is away, a page says so."""

        async def answer(request: web.Request) -> web.StreamResponse:
            language = self.spoken(request)
            try:
                seconds = await self.wait(request)
                if seconds:
                    return self.say("page-busy", language, seconds, status=429, headers={"Retry-After": str(seconds)})
                return await handler(request)
            except Exception as error:
                if not storage_is_away(error):
                    raise
                log.warning("storage is away, a page is not shown")
                return self.say("page-outage", language, status=503, headers={"Retry-After": "30"})

        return answer

    async def wait(self, request: web.Request) -> int:
        """Count one opening; return 0, or the seconds until this address may open another. Raises redis' errors."""
        return math.ceil(await self.limit.wait(self._who(request)))

    def visitor(self, request: web.Request, day: int) -> bytes:
        """Return 16 bytes that stand for one visitor on one day, and tell nothing of them: nobody is followed."""
        parts = (str(day), client_of(request, self.proxies), request.headers.get("User-Agent", ""))
        return hmac.digest(self.keys.derive("click visitor"), "\n".join(parts).encode(), hashlib.sha256)[:16]

    def spoken(self, request: web.Request) -> str:
        """Return the language to speak to who is not known: the first their browser asks for (RFC 9110, 12.5.4)."""
        return self.texts.pick(request.headers.get("Accept-Language", "").split(",")[0].split(";")[0].strip())

    def say(
        self,
        key: str,
        language: str,
        n: int | None = None,
        *,
        status: int,
        headers: Mapping[str, str] | None = None,
        links: tuple[Link, ...] = (),
    ) -> web.Response:
        """Return a page of one paragraph."""
        page = Page(self.product_name, (self.texts.html(language, key, n),), links)
        return self.show(page, language, status=status, headers=headers)

    def show(
        self, page: Page, language: str, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        """Return a page."""
        return show(page, language, status=status, headers=headers)

    def to_chat(self, language: str, payload: str = "go") -> Link:
        """Return the button that leads back to the chat, with what the bot is told there (Bot API, "Deep linking")."""
        url = f"https://t.me/{self.bot_username}?start={payload}"
        return Link(self.texts.plain(language, "page-back"), url)

    def words(self, **more: Any) -> dict[str, Any]:
        """Return the values that texts of pages may name."""
        return {"product": self.product_name, "bot": self.bot_username, **more}

    def _who(self, request: web.Request) -> str:
        """Return what stands for the caller's address in the store: an address is personal data."""
        address = client_of(request, self.proxies)
        return hmac.digest(self.keys.derive("web per ip"), address.encode(), hashlib.sha256)[:16].hex()


def open_site(settings: Settings, stores: Stores, texts: Texts, product: Product) -> Site | None:
    """Return where the pages are, None when no browser reaches this bot."""
    if product.web_url is None:
        return None
    return Site(
        product.web_url, product.bot_username, product.name, texts, stores.clock, settings.trusted_proxies,
        WebLimit(stores.redis, settings.web_per_ip), stores.keys,
    )  # fmt: skip
