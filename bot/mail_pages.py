"""The page where whoever got a letter asks never to be written to again.

Looking at it changes nothing, since mail programs and guards look at every link; its button does, and so does a mail
program's own (RFC 8058): a POST to the same address. No limit per address stands before that: a mail service's come
from a few.
"""

from __future__ import annotations

import logging
from urllib.parse import urlencode

from aiohttp import web

from bot.outages import storage_is_away
from bot.pages import Form, Page
from bot.site import Site
from bot.tickets import StopTokens
from storage.letters import Letters

log = logging.getLogger(__name__)

_PATH = "/mail/stop"


class MailPages:
    """The route `/mail/stop?t=<token>`; the token is the mark of an address, signed."""

    def __init__(self, site: Site, tokens: StopTokens, letters: Letters, support_url: str) -> None:
        self._site = site
        self._tokens = tokens
        self._letters = letters
        self._support_url = support_url

    def add_to(self, app: web.Application) -> None:
        """Add the route."""
        app.router.add_get(_PATH, self._site.guarded(self._ask))
        app.router.add_post(_PATH, self._stop)

    def stop_url(self, address: bytes) -> str:
        """Return the page of an address, by its mark."""
        return f"{self._site.base_url}{_PATH}?{urlencode({'t': self._tokens.make(address)})}"

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        language = self._site.spoken(request)
        token = request.query.get("t", "")
        if self._tokens.read(token) is None:
            return self._unknown(language)
        label = self._site.texts.plain(language, "page-mail-stop-button")
        title = self._site.texts.plain(language, "page-mail-stop-title")
        words = (self._site.texts.html(language, "page-mail-stop", None, **self._site.words()),)
        form = Form(label, f"{_PATH}?{urlencode({'t': token})}")
        return self._site.show(Page(title, words, form=form), language)

    async def _stop(self, request: web.Request) -> web.StreamResponse:
        language = self._site.spoken(request)
        address = self._tokens.read(request.query.get("t", ""))
        if address is None:
            return self._unknown(language)
        try:
            await self._letters.stop(address, self._site.clock.now())
        except Exception as error:
            if not storage_is_away(error):
                raise
            log.warning("storage is away, a mailbox is not taken off the list yet")
            return self._site.say("page-outage", language, status=503, headers={"Retry-After": "30"})
        return self._site.say("page-mail-stopped", language, status=200)

    def _unknown(self, language: str) -> web.Response:
        words = (self._site.texts.html(language, "page-mail-stop-unknown", None, url=self._support_url),)
        return self._site.show(Page(self._site.product_name, words), language, status=400)
