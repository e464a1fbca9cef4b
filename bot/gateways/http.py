"""What all vendors with an HTTP interface share: one call, no retry inside, no redirect followed, a bounded answer."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp

from handlers.ports import Misconfigured, SendResult, Unavailable, Unknown
from storage.clock import Clock

# Bytes. Any vendor's answer is a few hundred.
_LONGEST_ANSWER = 64 * 1024
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Answer:
    """What a vendor answered. `retry_after`: seconds of the header of that name, None without a readable one."""

    status: int
    body: bytes
    retry_after: float | None

    def json(self) -> Any:
        """Return the body as JSON; None when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def refusal(self, credentials: str, address: str) -> SendResult:
        """Return what a status outside 2xx means when the vendor's body does not say it better.

        `credentials` and `address` name the settings to look at.
        """
        if self.status == 429 or self.status >= 500:
            return Unavailable(f"HTTP {self.status}", self.retry_after)
        if self.status in (401, 403):
            return Misconfigured(f"HTTP {self.status}: see {credentials}")
        return Misconfigured(f"HTTP {self.status}: see {address}")


class VendorHttp:
    """Calls to one vendor. Make it inside a running loop; `close()` it at the end."""

    def __init__(self, timeout: timedelta, clock: Clock) -> None:
        """`timeout` bounds a whole call."""
        self._clock = clock
        seconds = timeout.total_seconds()
        # Connecting, with the name's look-up and TLS, gets half: who never answers is then known to have got nothing.
        limits = aiohttp.ClientTimeout(total=seconds, connect=seconds / 2)
        # A fresh connection each time: one kept open may be closed by the vendor just as a message is written into it,
        # and nobody could say whether it was taken.
        self._session = aiohttp.ClientSession(
            timeout=limits, connector=aiohttp.TCPConnector(force_close=True), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def post(
        self,
        url: str,
        read: Callable[[Answer], SendResult],
        *,
        form: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> SendResult:
        """Post a form or JSON, and return what `read` makes of the answer."""
        answer = await self.call("POST", url, form=form, json=json, headers=headers)
        return read(answer) if isinstance(answer, Answer) else answer

    async def call(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer | Unavailable | Unknown:
        """Make one call. Unavailable: the vendor certainly got nothing. Unknown: it may have taken it."""
        # Written here: aiohttp's own form is made for files too, and costs more than the rest of the request.
        data = None if form is None else aiohttp.BytesPayload(urlencode(form).encode(), content_type=_FORM)
        try:
            async with self._session.request(
                method, url, data=data, json=json, params=query, headers=headers, allow_redirects=False
            ) as response:
                body = await _bounded(response)
                return Answer(response.status, body, self._seconds(response.headers.get("Retry-After")))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Unavailable(f"no connection: {type(error).__name__}")
        except (TimeoutError, aiohttp.ClientError) as error:
            # The request was on its way: the vendor may have taken it.
            return Unknown(f"no answer: {type(error).__name__}")

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    def _seconds(self, retry_after: str | None) -> float | None:
        """Read Retry-After (RFC 9110, 10.2.3): seconds or a date; None when it is neither."""
        if retry_after is None:
            return None
        if re.fullmatch(r"[0-9]{1,9}", retry_after):
            return float(retry_after)
        try:
            at = parsedate_to_datetime(retry_after)
            return max(0.0, (at - self._clock.now()).total_seconds())
        except (ValueError, TypeError):
            return None


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """Return the body, or nothing readable when it is larger than any answer of a vendor."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(8192):
        body += chunk
        if len(body) > _LONGEST_ANSWER:
            return b""
    return bytes(body)


def whole_number(value: Any) -> int | None:
    """Return a JSON number or a text of ASCII digits as an integer; None for anything else, or beyond 18 digits."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        return value
    return None


def minor_units(value: Any) -> int | None:
    """Return an amount such as 4.1 or "4.10" in hundredths, rounded up; None for what is no amount."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > 20:
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    if not amount.is_finite() or not 0 <= amount < 10**9:
        return None
    return int((amount * 100).to_integral_value(ROUND_CEILING))


def form_fields(body: bytes) -> dict[str, str]:
    """Return the fields of a posted form, of each name the last; none for what is no form."""
    try:
        # A byte that is no UTF-8 stays one of its own, so that nothing else has the same signature.
        text = body.decode("utf-8", "surrogateescape")
        return dict(parse_qsl(text, keep_blank_values=True, errors="surrogateescape", max_num_fields=500))
    except ValueError:
        return {}


def same(given: str, expected: str) -> bool:
    """Compare a signature or secret with the right one in constant time. Nothing equals an empty one."""
    # Bytes, since compare_digest refuses text beyond ASCII.
    right = expected.encode("utf-8", "surrogatepass")
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), right) and bool(right)
