"""The CRM's look-up: is somebody registered with this number or address? One signed call, no retry inside.

A POST of `{"phone": "+79161234567"}` or `{"email": "ira@example.org"}`, signed as the events are (Standard Webhooks;
the id is of this one call), answered by `{"exists": true}` or `{"exists": false}`. Late or failed counts as new: a CRM
that is away must keep nobody from registering. After a failure it is left alone for a while: not everybody is to wait.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import aiohttp

from bot.gateways.crm import encoded, signed
from bot.gateways.outward import outward_session

log = logging.getLogger(__name__)

# A CRM that answers in a tenth of a second answers 160 people a second.
_PARALLEL = 16
# Bytes: the answer is one word.
_LONGEST = 4096
_REST = timedelta(seconds=10)


class CrmLookup:
    """`handlers.ports.Directory` over HTTP. Make it inside a running loop; `close()` it at the end."""

    def __init__(
        self, url: str, keys: Sequence[bytes], timeout: timedelta, new_id: Callable[[], uuid.UUID] = uuid.uuid4
    ) -> None:
        """`keys` all sign. `timeout` is for the whole call, the wait for a connection included."""
        self._url = url
        self._keys = keys
        self._new_id = new_id
        # A kept connection may be closed by the CRM just as a question is written into it: that would be a failure.
        self._session = outward_session(timeout, parallel=_PARALLEL, keep=False)
        self._failed_at: datetime | None = None

    async def has_number(self, number: str, now: datetime) -> bool:
        """Tell whether somebody is registered with this number (E.164)."""
        return await self._exists({"phone": number}, now)

    async def has_address(self, email: str, now: datetime) -> bool:
        """Tell whether somebody is registered with this normalised address."""
        return await self._exists({"email": email}, now)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def _exists(self, asked: dict[str, str], now: datetime) -> bool:
        if self._rests(now):
            return False
        try:
            exists = await self._ask(asked, now)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            if not self._rests(now):
                log.warning("CRM_LOOKUP_URL: no answer (%s): whoever registers counts as new", _reason(error))
            self._failed_at = now
            return False
        self._failed_at = None
        return exists

    def _rests(self, now: datetime) -> bool:
        # A clock that was set back must not prolong it.
        return self._failed_at is not None and timedelta(0) <= now - self._failed_at < _REST

    async def _ask(self, asked: dict[str, str], now: datetime) -> bool:
        """Raises what the network does, ClientResponseError for a status that is no answer, ValueError for no JSON."""
        body = encoded(asked)
        headers = {"content-type": "application/json", **signed(self._new_id(), body, now, self._keys)}
        async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
            if response.status != 200:
                raise aiohttp.ClientResponseError(response.request_info, (), status=response.status)
            answer = _read(await _bounded(response))
        exists = answer.get("exists") if isinstance(answer, dict) else None
        if not isinstance(exists, bool):
            raise ValueError("no `exists`")
        return exists


def _reason(error: Exception) -> str:
    """Return why, without the text of a ValueError, which may be the answer's own."""
    return f"HTTP {error.status}" if isinstance(error, aiohttp.ClientResponseError) else type(error).__name__


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """Return the whole body, in however many pieces it comes. Raises ValueError when it is too long."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(_LONGEST):
        body += chunk
        if len(body) > _LONGEST:
            raise ValueError("a long answer")
    return bytes(body)


def _read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("brackets in brackets") from None
