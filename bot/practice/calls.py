"""The record of what the bot asked for and what became of it, and the two ways of not answering with a result."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from aiohttp import web

from bot.practice.refusals import Refused
from bot.practice.world import Json

Via = Literal["http", "webhook"]


@dataclass(frozen=True)
class Call:
    """One method call and what became of it. `injected`: a fault asked for, not the bot's own mistake."""

    id: int
    at: datetime
    method: str
    parameters: dict[str, Any]
    via: Via
    ok: bool
    result: Any = None
    code: int = 200
    description: str = ""
    injected: bool = False


def refusal(refused: Refused) -> web.Response:
    """Return the answer that says why not, as the Bot API shapes it."""
    body: Json = {"ok": False, "error_code": refused.code, "description": refused.description}
    if refused.retry_after is not None:
        body["parameters"] = {"retry_after": refused.retry_after}
    return web.json_response(body, status=refused.code)


def cut(request: web.Request) -> web.Response:
    """Break the connection instead of answering."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
