"""Facebook's data deletion callback: whoever removes the app there has what came from there deleted here.

Facebook posts a signed request and wants a page to look at and a code to quote. The deletion is done before it is
answered, so the code needs no record: it is signed, and says that it was given out here.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta

from aiohttp import web

from bot.gateways.facebook import Facebook
from bot.gateways.providers import NotProven
from bot.outages import storage_is_away
from bot.site import Site
from bot.tickets import DeletionCodes
from storage.identities import Identities

log = logging.getLogger(__name__)


class FacebookDeletion:
    """The callback and its page."""

    def __init__(
        self,
        site: Site,
        facebook: Facebook,
        identities: Identities,
        tolerance: timedelta,
        forget: Callable[[int], Awaitable[None]],
        wake: Callable[[], None],
    ) -> None:
        """`tolerance`: how far Facebook's clock may be off; `forget`: to drop a conversation; `wake`: the courier's."""
        self._site = site
        self._facebook = facebook
        self._identities = identities
        self._codes = DeletionCodes(site.keys, os.urandom)
        self._tolerance = tolerance
        self._forget = forget
        self._wake = wake

    def add_to(self, app: web.Application) -> None:
        """Add `/oauth/facebook/deletion`, for Facebook, and its page for people."""
        app.router.add_post("/oauth/facebook/deletion", self._delete)
        app.router.add_get("/oauth/facebook/deletion/{code}", self._site.guarded(self._status), allow_head=False)

    async def _delete(self, request: web.Request) -> web.Response:
        form = await request.post()
        try:
            asked = self._facebook.read_signed(str(form.get("signed_request", "")))
        except NotProven as error:
            log.warning("a deletion request is refused: %s", error)
            return web.json_response({"error": "the signed request is not valid"}, status=400)
        now = self._site.clock.now()
        # What was linked after the request was signed is another consent: a repeated request must not undo that.
        before = min(asked.issued_at + self._tolerance, now)
        try:
            person = await self._identities.withdraw(self._facebook.issuer, asked.subject, before, now)
            if person is not None:
                await self._forget(person)
                self._wake()
        except Exception as error:
            if not storage_is_away(error):
                raise
            return web.json_response({"error": "try again later"}, status=503, headers={"Retry-After": "30"})
        code = self._codes.make()
        page = f"{self._site.base_url}/oauth/facebook/deletion/{code}"
        return web.json_response({"url": page, "confirmation_code": code})

    async def _status(self, request: web.Request) -> web.StreamResponse:
        ours = self._codes.is_ours(request.match_info["code"])
        language = self._site.spoken(request)
        return self._site.say("page-deleted" if ours else "page-missing", language, status=200 if ours else 404)
