"""The CRM's webhook: one event, one signed call (Standard Webhooks), no retry inside."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import aiohttp

from bot.gateways.outward import outward_session


@dataclass(frozen=True)
class Taken:
    """The CRM answered 2xx."""


@dataclass(frozen=True)
class Conflict:
    """The CRM answered 409: somebody else is registered with this number or address there."""


@dataclass(frozen=True)
class Gone:
    """The CRM answered 410: it wants no more events."""


@dataclass(frozen=True)
class NotTaken:
    """Anything else, or nothing: the same event is to be sent again. `detail` holds nothing personal."""

    detail: str


EventResult = Taken | Conflict | Gone | NotTaken


def encoded(payload: Mapping[str, Any]) -> bytes:
    """Return the body of an event: compact JSON, byte for byte the same at every try."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def signed(event_id: UUID, body: bytes, now: datetime, keys: Sequence[bytes]) -> dict[str, str]:
    """Return the headers of Standard Webhooks, with a signature by each of `keys`."""
    seconds = str(int(now.timestamp()))
    content = f"{event_id}.{seconds}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys]
    return {
        "webhook-id": str(event_id),
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


class CrmWebhook:
    """Make it inside a running loop; `close()` it at the end."""

    def __init__(self, url: str, keys: Sequence[bytes], timeout: timedelta, *, parallel: int) -> None:
        """`keys` all sign; `parallel` bounds the connections."""
        self._url = url
        self._keys = keys
        self._session = outward_session(timeout, parallel=parallel)

    async def send(self, event_id: UUID, payload: Mapping[str, Any], now: datetime) -> EventResult:
        """Send one event; `now` is the moment of this very try. Never raises for what the CRM or the network does."""
        body = encoded(payload)
        headers = {"content-type": "application/json", **signed(event_id, body, now, self._keys)}
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                return _result(response.status)
        except aiohttp.ClientSSLError as error:
            return NotTaken(f"no connection: {type(error).__name__}")
        except aiohttp.ClientConnectorError as error:
            return NotTaken(f"no connection: {type(error.os_error).__name__}")
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return NotTaken(f"no answer: {type(error).__name__}")

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


def _result(status: int) -> EventResult:
    match status:
        case 409:
            return Conflict()
        case 410:
            return Gone()
        case _ if 200 <= status < 300:
            return Taken()
        case _:
            # A redirect too: where it leads nobody has checked, and the event is not for everybody.
            return NotTaken(f"HTTP {status}")
