"""Vonage SMS API: POST /sms/json, which answers HTTP 200 to mistakes too, with signed delivery receipts.

Sources, all below developer.vonage.com: api/sms (the reference), messaging/sms/guides/troubleshooting-sms (an answer's
statuses), messaging/sms/guides/delivery-receipts, getting-started/concepts/signing-messages. Vonage has no key against
a repeated send.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any
from urllib.parse import parse_qsl

from bot.gateways.http import Answer, VendorHttp, whole_number
from bot.settings import Settings
from bot.sms_text import spare
from handlers.ports import (
    Accepted,
    CodeMessage,
    ForgedReport,
    InvalidNumber,
    Misconfigured,
    Refused,
    Report,
    ReportRequest,
    SendResult,
    Unavailable,
    Unknown,
)
from storage.clock import Clock
from storage.models import Channel, SendState

_CREDENTIALS = "VONAGE_API_KEY and VONAGE_API_SECRET"
# Milliseconds: what Vonage takes as ttl.
_SHORTEST, _LONGEST = 20_000, 604_800_000
# Vonage's accounts, balances and prices are in euros (Account API, get-balance).
_CURRENCY = "EUR"
_ON_ITS_WAY = frozenset({"accepted", "buffered", "unknown"})
_FAILED = frozenset({"expired", "failed", "rejected"})


def make_vonage(settings: Settings, clock: Clock, report_url: str | None) -> Vonage:
    """Return the gateway of these settings; `report_url` goes with each message when the reports can be proven."""
    signature = settings.vonage_signature_secret
    return Vonage(
        settings.vonage_base_url,
        {
            "api_key": settings.vonage_api_key or "",
            "api_secret": settings.vonage_api_secret.get_secret_value() if settings.vonage_api_secret else "",
        },
        settings.vonage_sender or "",
        signature.get_secret_value() if signature else None,
        report_url if signature else None,
        settings.currency,
        settings.gateway_timeout,
        settings.report_tolerance,
        clock,
    )


class Vonage:
    """One Vonage account. Make it inside a running loop; `close()` it at the end."""

    name = "vonage"
    channels = frozenset({Channel.SMS})
    # Vonage looks at the status of the answer alone.
    report_answer = ""

    def __init__(
        self,
        base_url: str,
        credentials: Mapping[str, str],
        sender: str,
        signature_secret: str | None,
        report_url: str | None,
        currency: str,
        timeout: timedelta,
        tolerance: timedelta,
        clock: Clock,
    ) -> None:
        """`credentials` are the form's `api_key` and `api_secret`; `currency` is the one prices are wanted in.

        `timeout` bounds a whole call; a receipt signed further than `tolerance` from now is refused, and so is each
        without a `signature_secret`.
        """
        self._url = f"{base_url}/sms/json"
        self._fixed = {**credentials, "from": sender} | ({"callback": report_url} if report_url else {})
        self._secret = (signature_secret or "").encode()
        self._currency = currency
        self._tolerance = tolerance
        self._clock = clock
        self._http = VendorHttp(timeout, clock)

    async def send(self, message: CodeMessage) -> SendResult:
        """Send the message."""
        lifetime = min(max(message.lifetime // timedelta(milliseconds=1), _SHORTEST), _LONGEST)
        form = {
            **self._fixed,
            "to": message.number.removeprefix("+"),
            "text": message.text,
            "ttl": str(lifetime),
            "client-ref": str(message.send_id),
        }
        if _needs_unicode(message.text):
            form["type"] = "unicode"
        return await self._http.post(self._url, self._read, form=form)

    async def read_report(self, request: ReportRequest) -> list[Report]:
        """Return what a delivery receipt says; raises ForgedReport, and ValueError for a malformed one.

        It may come as GET, as a form or as JSON: the account's settings at Vonage say which.
        """
        if not self._secret:
            raise ForgedReport("without VONAGE_SIGNATURE_SECRET no report can be proven")
        fields = _fields(request)
        # The case of its hexadecimal digits is not documented.
        given = fields.pop("sig", "").lower().encode(errors="replace")
        if not hmac.compare_digest(given, self._signature(fields)):
            raise ForgedReport("sig does not fit")
        moment = whole_number(fields.get("timestamp"))
        if moment is None or abs(int(self._clock.now().timestamp()) - moment) > self._tolerance.total_seconds():
            raise ForgedReport("signed too long ago, or no moment was signed")
        return _report(fields)

    def _signature(self, fields: Mapping[str, str]) -> bytes:
        signed = "".join(f"&{name}={re.sub('[&=]', '_', fields[name])}" for name in sorted(fields))
        return hmac.digest(self._secret, signed.encode(errors="replace"), "sha256").hex().encode()

    def _read(self, answer: Answer) -> SendResult:
        if answer.status != 200:
            return answer.refusal(_CREDENTIALS, "VONAGE_BASE_URL")
        said = answer.json()
        parts = said.get("messages") if isinstance(said, dict) else None
        if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
            return Unknown("an answer without messages")
        statuses = [whole_number(part.get("status")) for part in parts]
        if not any(statuses) and None not in statuses:
            given = parts[0].get("message-id")
            return Accepted(given if isinstance(given, str) and given else None, self._price(parts))
        first = statuses[0]
        if first is None or 0 in statuses or None in statuses:
            return Unknown("an answer that takes only a part")
        return _refused_by_vendor(first)

    def _price(self, parts: list[dict[str, Any]]) -> int | None:
        """Return what all parts cost in minor units, rounded up so that a budget is never exceeded."""
        prices = [part.get("message-price") for part in parts]
        if self._currency != _CURRENCY:
            return None
        if not all(isinstance(price, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,12})?", price) for price in prices):
            return None
        total = sum((Decimal(str(price)) for price in prices), Decimal())
        return int((total * 100).to_integral_value(ROUND_CEILING))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


def _needs_unicode(text: str) -> bool:
    """Say whether a text has a character outside GSM-7: one that leaves only what UCS-2 has to spare."""
    return any(spare(character) < 70 for character in text)


def _refused_by_vendor(status: int) -> SendResult:
    """Translate a part's `status` (its table of SMS API error codes)."""
    detail = f"status {status}"
    match status:
        case 2 | 3:
            return Misconfigured(f"{detail}: wrong parameters; see VONAGE_SENDER")
        case 4 | 14 | 32:
            return Misconfigured(f"{detail}: wrong credentials, or signed requests are demanded; see {_CREDENTIALS}")
        case 8 | 11 | 29:
            return Misconfigured(f"{detail}: suspended, in demo mode or without this API; see VONAGE_API_KEY")
        case 15:
            return Misconfigured(f"{detail}: this account cannot send from there; see VONAGE_SENDER")
        case 23:
            return Misconfigured(f"{detail}: reports cannot be sent there; see PUBLIC_URL")
        case 6 | 7 | 12:
            return Refused(f"{detail}: no route, barred, or the text is forbidden")
        case 33:
            return InvalidNumber(f"{detail}: the number is out of use")
        case _:
            # 1 and 10 too fast, 5 a fault of theirs, 9 no money, and whatever is new: an error means that nothing was
            # sent.
            return Unavailable(detail)


def _fields(request: ReportRequest) -> dict[str, str]:
    """Return a receipt's parameters; raises ForgedReport for what nobody could have signed."""
    if request.method == "GET":
        return dict(request.query)
    # A byte that is no UTF-8 becomes another character and so breaks the signature.
    body = request.body.decode(errors="replace")
    if not request.headers.get("content-type", "").lower().startswith("application/json"):
        return dict(parse_qsl(body, keep_blank_values=True))
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise ForgedReport("no JSON") from None
    if not isinstance(said, dict):
        raise ForgedReport("no JSON object")
    return {name: _plain(value) for name, value in said.items()}


def _plain(value: Any) -> str:
    if isinstance(value, str | int):
        return str(value)
    raise ForgedReport("a value that is neither text nor number")


def _report(fields: Mapping[str, str]) -> list[Report]:
    given, status = fields.get("messageId"), fields.get("status", "")
    if not given:
        raise ValueError("a receipt without a messageId")
    if status in _ON_ITS_WAY:
        return []
    if status == "delivered":
        return [Report(given, SendState.DELIVERED)]
    if status not in _FAILED:
        raise ValueError("a receipt with a status that Vonage does not document")
    code = whole_number(fields.get("err-code"))
    return [Report(given, SendState.UNDELIVERED, status if code is None else f"{status}, err-code {code}")]
