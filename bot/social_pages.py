"""The web side of signing up with a provider: the page a chat's link opens, the click, and the way back.

Nothing is bound here. A ticket proves whose chat the link stood in; the click makes a state, which works once and in
the browser that made it; who comes back gets a link to the chat, and there alone, for the same Telegram id and after
their yes, the identity is bound. So a link sent to somebody else binds nothing to anybody.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from urllib.parse import urlencode

from aiohttp import web
from markupsafe import Markup

from bot.gateways.providers import NotProven, Provider, ProviderAway
from bot.in_app import is_in_app, way_out
from bot.pages import Link, Page
from bot.site import Handler, Site
from bot.tickets import ExpiredTicket, Ticket, Tickets
from handlers.registration import addresses
from storage.identities import Identity, without_address
from storage.sign_ups import Arrival, Attempt, SignUps

log = logging.getLogger(__name__)

_COOKIE = re.compile(r"[A-Za-z0-9_-]{32}")
# Seconds. Longer than any state, since a second click keeps the first one's.
_COOKIE_LIFETIME = 1200
# What a provider says of itself (RFC 6749, 4.1.2.1); anything else is a refusal.
_AWAY = frozenset({"server_error", "temporarily_unavailable"})


class SocialPages:
    """The routes under `/oauth/<provider>/`."""

    def __init__(self, site: Site, providers: Mapping[str, Provider], tickets: Tickets, sign_ups: SignUps) -> None:
        """`providers` by name."""
        self._site = site
        self._providers = providers
        self._tickets = tickets
        self._sign_ups = sign_ups
        self._is_https = site.base_url.startswith("https://")
        # A browser takes a cookie of such a name from this very host alone (RFC 6265bis, 4.1.3.2).
        self._cookie = "__Host-oauth" if self._is_https else "oauth"

    def add_to(self, app: web.Application) -> None:
        """Add the routes. No HEAD: a look at the way back must not use it up."""
        for path, handler in (("start", self._start), ("go", self._go), ("callback", self._callback)):
            app.router.add_get(f"/oauth/{{provider}}/{path}", self._known(handler), allow_head=False)

    def start_url(self, provider: str, ticket: str) -> str:
        """Return the address of the page that a chat's link opens."""
        return self._site.base_url + _path(provider, "start", ticket)

    def _known(self, handler: Callable[[web.Request, Provider], Awaitable[web.StreamResponse]]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            provider = self._providers.get(request.match_info["provider"])
            if provider is None:
                return self._site.say("page-missing", self._site.spoken(request), status=404)
            return await handler(request, provider)

        return self._site.guarded(answer)

    async def _start(self, request: web.Request, provider: Provider) -> web.StreamResponse:
        """Say what will happen; the link on it is the click."""
        ticket = self._ticket(request)
        if isinstance(ticket, web.Response):
            return ticket
        language, shown = ticket.language, request.query["ticket"]
        go = Link(self._plain(language, f"button-{provider.name}"), _path(provider.name, "go", shown))
        page = Page(
            self._plain(language, "page-start-title", provider),
            (self._html(language, "page-start", provider), self._html(language, "page-start-warning", provider)),
            (go,),
        )
        agent = request.headers.get("User-Agent", "")
        return self._site.show(self._for_in_app(page, provider, ticket, shown, agent), language)

    def _for_in_app(self, page: Page, provider: Provider, ticket: Ticket, shown: str, agent: str) -> Page:
        """Return the page with the ways out of a browser that the provider refuses to work in."""
        if not is_in_app(agent):
            return page
        language, here = ticket.language, self.start_url(provider.name, shown)
        out = way_out(here, agent)
        links = (Link(self._plain(language, "page-open-in-browser"), out), *page.links) if out else page.links
        label, copy, copied = (self._plain(language, key) for key in ("page-address", "page-copy", "page-copied"))
        words = (self._html(language, "page-in-app", provider), *page.text)
        return Page(page.title, words, links, address=(label, here, copy, copied))

    async def _go(self, request: web.Request, provider: Provider) -> web.StreamResponse:
        """Make the state and lead on to the provider, to where its own description says."""
        ticket = self._ticket(request)
        if isinstance(ticket, web.Response):
            return ticket
        shown = request.cookies.get(self._cookie, "")
        browser = shown if _COOKIE.fullmatch(shown) else self._sign_ups.name()
        attempt = Attempt(
            provider.name, ticket.telegram_id, ticket.language, _hash(browser),
            nonce=self._sign_ups.name(), verifier=self._sign_ups.name(32), ticket=request.query["ticket"],
        )  # fmt: skip
        state = await self._sign_ups.begin(attempt, self._site.clock.now())
        try:
            place = await provider.consent_url(state, attempt.nonce, attempt.verifier, self._callback_url(provider))
        except ProviderAway as error:
            return self._away(provider, attempt, error)
        headers = {"Location": place, "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
        response = web.Response(status=303, headers=headers)
        # Lax: it is shown when the provider sends the browser back, and in nobody's frame or form.
        response.set_cookie(
            self._cookie, browser, max_age=_COOKIE_LIFETIME, path="/", secure=self._is_https, httponly=True,
            samesite="Lax",
        )  # fmt: skip
        return response

    async def _callback(self, request: web.Request, provider: Provider) -> web.StreamResponse:
        """Take who comes back, and show the way to the chat."""
        attempt = await self._sign_ups.take(request.query.get("state", ""), self._site.clock.now())
        if attempt is None or attempt.provider != provider.name:
            spoken = self._site.spoken(request)
            return self._site.say("page-used", spoken, status=400, links=(self._site.to_chat(spoken),))
        if not hmac.compare_digest(_hash(request.cookies.get(self._cookie, "")), attempt.browser):
            log.warning("a state of %s came back in another browser", provider.name)
            return self._sorry("page-other-browser", provider, attempt)
        try:
            identity = await self._identified(request, provider, attempt)
        except _Denied:
            return self._sorry("page-denied", provider, attempt, status=200)
        except ProviderAway as error:
            return self._away(provider, attempt, error)
        except NotProven as error:
            log.warning("a sign-up with %s is refused: %s", provider.name, error)
            return self._sorry("page-refused", provider, attempt)
        name = await self._sign_ups.arrive(Arrival(attempt.telegram_id, identity), self._site.clock.now())
        language = attempt.language
        words = (self._html(language, "page-arrived", provider),)
        back = self._site.to_chat(language, f"o_{name}")
        return self._site.show(Page(self._plain(language, "page-arrived-title"), words, (back,)), language)

    async def _identified(self, request: web.Request, provider: Provider, attempt: Attempt) -> Identity:
        query = request.query
        if query.get("iss", provider.issuer).rstrip("/") != provider.issuer:
            # One provider's answer must not be taken for another's (RFC 9207).
            raise NotProven("the answer names another issuer")
        if (error := query.get("error")) is not None:
            if error == "access_denied":
                raise _Denied
            # Its text is the caller's: anybody can write an address.
            raise (ProviderAway if error in _AWAY else NotProven)("the provider answers with an error")
        code = query.get("code", "")
        if not code:
            raise NotProven("there is no code")
        identity = await provider.identify(code, attempt.nonce, attempt.verifier, self._callback_url(provider))
        try:
            return replace(identity, email=addresses.parse_address(identity.email)) if identity.email else identity
        except addresses.BadAddress:
            return without_address(identity)

    def _ticket(self, request: web.Request) -> Ticket | web.Response:
        """Return whose chat the link stood in, or the page that says why it opens nothing."""
        language = self._site.spoken(request)
        try:
            ticket = self._tickets.read(request.query.get("ticket", ""), self._site.clock.now())
        except ExpiredTicket as expired:
            ticket, language = None, self._site.texts.pick(expired.ticket.language)
        if ticket is None:
            return self._site.say("page-expired", language, status=400, links=(self._site.to_chat(language),))
        return replace(ticket, language=self._site.texts.pick(ticket.language))

    def _away(self, provider: Provider, attempt: Attempt, error: ProviderAway) -> web.Response:
        log.error("%s is away: %s", provider.name, error)
        return self._sorry("page-away", provider, attempt, status=503)

    def _sorry(self, key: str, provider: Provider, attempt: Attempt, status: int = 400) -> web.Response:
        """Say what went wrong after the click, with the way to try again and the way to the chat."""
        language = attempt.language
        again = Link(self._plain(language, "page-again"), _path(provider.name, "start", attempt.ticket))
        words = (self._html(language, key, provider),)
        page = Page(self._plain(language, "page-sorry-title"), words, (again, self._site.to_chat(language)))
        return self._site.show(page, language, status=status)

    def _plain(self, language: str, key: str, provider: Provider | None = None) -> str:
        return self._site.texts.plain(language, key, None, **self._values(language, provider))

    def _html(self, language: str, key: str, provider: Provider) -> Markup:
        return self._site.texts.html(language, key, None, **self._values(language, provider))

    def _values(self, language: str, provider: Provider | None) -> dict[str, str]:
        name = "" if provider is None else self._site.texts.plain(language, f"provider-{provider.name}")
        return self._site.words(provider=name)

    def _callback_url(self, provider: Provider) -> str:
        return f"{self._site.base_url}/oauth/{provider.name}/callback"


class _Denied(Exception):
    """The person did not give their consent."""


def _path(provider: str, page: str, ticket: str) -> str:
    return f"/oauth/{provider}/{page}?{urlencode({'ticket': ticket})}"


def _hash(browser: str) -> str:
    return hashlib.sha256(browser.encode()).hexdigest()
