"""The HTTP routes: Telegram's webhook, health, readiness."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from aiohttp import web
from pydantic import ValidationError

from bot.receive import NotNow, Receiver

log = logging.getLogger(__name__)

# Bytes. An update is a few kilobytes; this is also far above what Telegram sends.
_LONGEST_BODY = 1_000_000
# Seconds a readiness check may take.
_CHECK_WITHIN = 2.0

Check = Callable[[], Awaitable[object]]


class Part(Protocol):
    """What serves some addresses of its own."""

    def add_to(self, app: web.Application, /) -> None:
        """Add their routes."""


def create_web(receiver: Receiver | None, secret: str, checks: Mapping[str, Check]) -> web.Application:
    """Return the application. `POST /telegram` exists only with a receiver (in polling mode there is none).

    `secret` is what setWebhook was told (Bot API, setWebhook, secret_token). `checks` names what must answer before
    this process is ready; a check that raises or takes 2 s is down. Raises ValueError for a receiver without secret.
    """
    if receiver and not secret:
        raise ValueError("a webhook needs a secret: without one anybody could write its updates")
    app = web.Application(client_max_size=_LONGEST_BODY)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _Readiness(checks).answer)
    if receiver:
        app.router.add_post("/telegram", _Webhook(receiver, secret).receive)
    return app


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok")


class _Readiness:
    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks

    async def answer(self, _: web.Request) -> web.Response:
        names = list(self._checks)
        well = await asyncio.gather(*(self._is_well(name) for name in names))
        down = [name for name, ok in zip(names, well, strict=True) if not ok]
        if down:
            return web.Response(status=503, text=f"down: {', '.join(down)}")
        return web.Response(text="ok")

    async def _is_well(self, name: str) -> bool:
        try:
            async with asyncio.timeout(_CHECK_WITHIN):
                await self._checks[name]()
        except Exception as error:
            # Whatever it is, the answer is "down"; the text of an error may hold an address or a password.
            log.warning("%s is not ready: %s", name, type(error).__name__)
            return False
        return True


class _Webhook:
    def __init__(self, receiver: Receiver, secret: str) -> None:
        self._receiver = receiver
        self._secret = secret.encode()

    async def receive(self, request: web.Request) -> web.Response:
        """Answer one update: 2xx only after the work, with the reply in the body; 503 leaves it with Telegram."""
        given = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
        # Bytes, since compare_digest refuses text beyond ASCII; before the body, which may be anybody's.
        if not hmac.compare_digest(given.encode(errors="surrogateescape"), self._secret):
            return web.Response(status=401, text="unauthorized")
        try:
            raw = json.loads(await request.read())
        except (ValueError, RecursionError, web.RequestPayloadError):
            return web.Response(status=400, text="not JSON")
        if not isinstance(raw, dict) or not isinstance(raw.get("update_id"), int):
            return web.Response(status=400, text="not an update")
        try:
            update = self._receiver.parse(raw)
        except ValidationError as error:
            # It would come again for a day, unchanged; without the values, which are personal.
            log.error("update %d is not understood: %s", raw["update_id"], [item["loc"] for item in error.errors()])
            return web.Response()
        try:
            answer = await self._receiver.handle(update)
        except NotNow as error:
            return web.Response(status=503, headers={"Retry-After": str(math.ceil(error.retry_after))})
        return web.Response(text=answer, content_type="application/json") if answer else web.Response()
