"""`/r/<code>`: the web link of a campaign. Counts the click, leads on to the chat, and is pretty in messengers.

Whatever is away or over a limit, the page leads on: a click that is not counted is worth less than a person.
"""

from __future__ import annotations

import asyncio
import logging
import re
from urllib.parse import quote

from aiohttp import web
from markupsafe import Markup

from bot.outages import reason, storage_is_away
from bot.pages import HEADERS, Link, Page, Preview
from bot.partner_stores import PartnerStores
from bot.site import Site
from handlers.payloads import campaign_payload
from handlers.ports import Pictures
from storage import referral_codes

log = logging.getLogger(__name__)

# Whoever does not begin so is no browser: messengers that fetch a preview, scripts. Others name themselves later on.
_BROWSER = re.compile(r"(Mozilla|Opera)/\d")
# A phone of the make Cubot belongs to a person.
_FETCHER = re.compile(
    r"(?<!cu)bot(?![a-z])|crawler|spider|preview|facebookexternalhit|facebookcatalog|meta-external|vkShare|WhatsApp/"
    r"|Viber/|Embedly|Iframely|Slack-|YandexMetrika|Google-|HeadlessChrome|Lighthouse",
    re.IGNORECASE,
)
# Seconds that a person waits for their click to be counted: a store that hangs is not theirs to wait for.
_PATIENCE = 3.0
_APPS = "https://telegram.org/apps"
_DAY = {"Cache-Control": "public, max-age=86400"}


class ReferralPages:
    """The routes under `/r/`."""

    def __init__(self, site: Site, partners: PartnerStores, pictures: Pictures) -> None:
        self._site = site
        self._campaigns = partners.campaigns
        self._clicks = partners.clicks
        self._pictures = pictures

    def add_to(self, app: web.Application) -> None:
        """Add the routes; HEAD is answered too, as a look that is no click."""
        app.router.add_get("/r/{code}", self._page)
        app.router.add_get(r"/r/{code}/qr.{kind:png|svg}", self._site.guarded(self._qr))

    async def _page(self, request: web.Request) -> web.StreamResponse:
        language = self._site.spoken(request)
        campaign_id = referral_codes.read(request.match_info["code"])
        seconds = 0
        try:
            async with asyncio.timeout(_PATIENCE):
                seconds = await self._site.wait(request)
                if not seconds and campaign_id is not None and not await self._is_known(request, campaign_id):
                    campaign_id = None
        except Exception as error:
            if not storage_is_away(error):
                raise
            log.warning("a click is not counted, storage is away: %s", reason(error))
        if campaign_id is None:
            return self._site.say("page-referral-unknown", language, status=404, links=self._ways(language, "go"))
        # A page that was opened too often from there is shown, not counted.
        headers = {"Retry-After": str(seconds)} if seconds else None
        page = self._leading_on(request, language, referral_codes.written(campaign_id))
        return self._site.show(page, language, status=429 if seconds else 200, headers=headers)

    async def _is_known(self, request: web.Request, campaign_id: int) -> bool:
        """Tell whether there is such a campaign, and count the click on it."""
        if await self._campaigns.by_code(referral_codes.written(campaign_id)) is None:
            return False
        if is_a_click(request):
            now = self._site.clock.now()
            await self._clicks.count_click(campaign_id, self._site.visitor(request, self._clicks.day(now)), now)
        return True

    def _leading_on(self, request: web.Request, language: str, code: str) -> Page:
        payload = campaign_payload(code, request.query.get("p"))
        here = f"{self._site.base_url}/r/{code}"
        title = self._site.texts.plain(language, "page-referral-title", **self._site.words())
        about = self._site.texts.plain(language, "page-referral-about", **self._site.words())
        ways = self._ways(language, payload)
        return Page(
            title,
            (Markup("{}").format(about), self._site.texts.html(language, "page-referral-how")),
            ways,
            preview=Preview(title, about, here, f"{here}/qr.png"),
            # Who fetches a preview would show where it leads instead.
            onward="" if is_a_fetcher(request) else ways[0].url,
        )

    def _ways(self, language: str, payload: str) -> tuple[Link, ...]:
        """Return the ways to the chat, with Telegram installed and without."""
        deep = f"tg://resolve?domain={self._site.bot_username}&start={payload}"
        ways = {
            "page-referral-chat": self._site.to_chat(language, payload).url,
            "page-referral-app": deep,
            "page-referral-web": f"https://web.telegram.org/k/#?tgaddr={quote(deep, safe='')}",
            "page-referral-install": _APPS,
        }
        return tuple(Link(self._site.texts.plain(language, key), url) for key, url in ways.items())

    async def _qr(self, request: web.Request) -> web.StreamResponse:
        campaign = await self._campaigns.by_code(request.match_info["code"])
        if campaign is None:
            return self._site.say("page-referral-unknown", self._site.spoken(request), status=404)
        link = self._site.to_chat(self._site.texts.default, campaign_payload(campaign.code)).url
        if request.match_info["kind"] == "svg":
            body: bytes | None = self._pictures.qr_svg(link)
            return web.Response(body=body, content_type="image/svg+xml", headers=HEADERS | _DAY)
        body = await self._pictures.qr_png(link)
        if body is None:
            return self._site.say("page-outage", self._site.spoken(request), status=503, headers={"Retry-After": "30"})
        return web.Response(body=body, content_type="image/png", headers=HEADERS | _DAY)


def is_a_click(request: web.Request) -> bool:
    """Tell whether a person opens the page, as far as can be seen: no look, no preview, no page fetched in advance."""
    said = [request.headers.get(name, "") for name in ("Purpose", "Sec-Purpose", "X-Purpose", "X-Moz")]
    in_advance = any("prefetch" in one or "preview" in one for one in said)
    return request.method == "GET" and not in_advance and not is_a_fetcher(request)


def is_a_fetcher(request: web.Request) -> bool:
    """Tell whether a messenger, a search engine or a script asks, by its own word."""
    agent = request.headers.get("User-Agent", "")
    return _BROWSER.match(agent) is None or _FETCHER.search(agent) is not None
