"""SMSC.ru: POST /sys/send.php, answers as JSON (fmt=3). One call, no retry inside, no redirect followed."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

import aiohttp

from handlers.ports import Accepted, InvalidNumber, Misconfigured, Refused, SendResult, Unavailable, Unknown
from storage.clock import Clock

_BODY_LIMIT = 64 * 1024
_CREDENTIALS = "SMSC_LOGIN and SMSC_PASSWORD, or SMSC_API_KEY"


def vendor_id(send_id: UUID) -> int:
    """Return SMSC's own positive 31-bit message id for a row of the ledger: the same on a repeat."""
    return send_id.int % (2**31 - 1) + 1


class Smsc:
    """One SMSC account. Make it inside a running loop; `close()` it at the end."""

    name = "smsc"

    def __init__(
        self, base_url: str, credentials: dict[str, str], sender: str | None, timeout: timedelta, clock: Clock
    ) -> None:
        """`credentials` are the form's `login` and `psw`, or `apikey`; `timeout` bounds the whole call."""
        self._url = f"{base_url}/sys/send.php"
        self._fixed = {**credentials, "charset": "utf-8", "fmt": "3"} | ({"sender": sender} if sender else {})
        self._clock = clock
        seconds = timeout.total_seconds()
        # Connecting gets half: an address that never answers is then known to have got nothing.
        limits = aiohttp.ClientTimeout(total=seconds, sock_connect=seconds / 2)
        # A fresh connection each time: one kept open may be closed by the vendor just as a message is written into it,
        # and nobody could say whether it was taken.
        self._session = aiohttp.ClientSession(
            timeout=limits, connector=aiohttp.TCPConnector(force_close=True), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def send(self, number: str, text: str, send_id: UUID) -> SendResult:
        """Send `text` to `number` (E.164 with the plus)."""
        form = {**self._fixed, "phones": number, "mes": text, "id": str(vendor_id(send_id))}
        try:
            async with self._session.post(self._url, data=form, allow_redirects=False) as response:
                if response.status != 200:
                    return self._refused_by_http(response.status, response.headers.get("Retry-After"))
                return _read(await _body(response), vendor_id(send_id))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Unavailable(f"no connection: {type(error).__name__}")
        except (TimeoutError, aiohttp.ClientError) as error:
            # The form was on its way: the vendor may have taken it.
            return Unknown(f"no answer: {type(error).__name__}")

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    def _refused_by_http(self, status: int, retry_after: str | None) -> SendResult:
        if status == 429 or status >= 500:
            return Unavailable(f"HTTP {status}", self._seconds(retry_after))
        if status in (401, 403):
            return Misconfigured(f"HTTP {status}: see {_CREDENTIALS}")
        return Misconfigured(f"HTTP {status}: see SMSC_BASE_URL")

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


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Return the body, or nothing readable when it is larger than any answer of this vendor."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(8192):
        body += chunk
        if len(body) > _BODY_LIMIT:
            return b""
    return bytes(body)


def _read(body: bytes, own_id: int) -> SendResult:
    try:
        answer: Any = json.loads(body)
    except (ValueError, RecursionError):
        return Unknown("an answer that is no JSON")
    if not isinstance(answer, dict):
        return Unknown("an answer that is no object")
    code = _integer(answer.get("error_code"))
    if code is not None:
        return _refused_by_vendor(code, own_id)
    given = _integer(answer.get("id"))
    return Unknown("an answer without an id") if given is None else Accepted(provider_id=str(given))


def _integer(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _refused_by_vendor(code: int, own_id: int) -> SendResult:
    """Translate SMSC's error_code (its table of send.php errors)."""
    detail = f"error_code {code}"
    match code:
        case 1 | 5:
            return Misconfigured(f"{detail}: wrong parameters; see SMSC_SENDER")
        case 2:
            return Misconfigured(f"{detail}: wrong credentials; see {_CREDENTIALS}")
        case 6:
            return Refused(f"{detail}: text or sender forbidden")
        case 7 | 8:
            return InvalidNumber(f"{detail}: no such number, or it takes no SMS")
        case 9:
            # The same text to the same number within a minute can only be ours, so it was taken the first time.
            return Accepted(provider_id=str(own_id))
        case _:
            # 3 no money, 4 blocked for a while, and whatever is new: an error means that nothing was sent.
            return Unavailable(detail)
