"""SMS Aero, API v2: POST /v2/sms/send as JSON with the account's e-mail and key. One call, no retry inside.

Sources: smsaero.ru/integration/documentation/api and the vendor's own clients (github.com/smsaero). It has no lifetime
of a message, and its calls make up their own codes: SMS only. An empty text or one of several segments never comes
here: PRODUCT_NAME is checked against it at start.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import aiohttp

from bot.gateways.http import Answer, VendorHttp, form_fields, minor_units, same, whole_number
from bot.settings import Settings
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

_CREDENTIALS = "SMSAERO_EMAIL and SMSAERO_API_KEY"
# Characters, as of every secret here.
_SHORTEST_SECRET = 32
_DELIVERED = 1
_UNDELIVERED = {2: "not delivered", 6: "rejected"}


def make_smsaero(settings: Settings, clock: Clock, report_url: str | None) -> SmsAero:
    """Return the gateway of these settings. Each call says where its report goes to: `report_url`."""
    key = settings.smsaero_api_key.get_secret_value() if settings.smsaero_api_key else ""
    return SmsAero(
        settings.smsaero_base_url, settings.smsaero_email or "", key, settings.smsaero_sign or "",
        settings.gateway_timeout, clock, report_url=report_url, currency=settings.currency,
    )  # fmt: skip


class SmsAero:
    """One SMS Aero account. Make it inside a running loop; `close()` it at the end."""

    name = "smsaero"
    channels = frozenset({Channel.SMS})
    report_answer = "OK"

    def __init__(
        self,
        base_url: str,
        email: str,
        api_key: str,
        sign: str,
        timeout: timedelta,
        clock: Clock,
        *,
        report_url: str | None = None,
        currency: str = "RUB",
    ) -> None:
        """`timeout` bounds a whole call. SMS Aero tells prices in roubles: with another `currency` they stay unknown.

        What proves a report is the last part of `report_url`; when it is too short for a secret, there are no reports.
        """
        self._base_url = base_url
        self._sign = sign
        self._http = VendorHttp(timeout, clock)
        self._headers = {"Authorization": aiohttp.encode_basic_auth(email, api_key)}
        secret = (report_url or "").rpartition("/")[2]
        self._secret = secret if len(secret) >= _SHORTEST_SECRET else ""
        self._callback = {"callbackUrl": report_url} if report_url and self._secret else {}
        self._tells_price = currency == "RUB"

    async def send(self, message: CodeMessage) -> SendResult:
        """Send the message."""
        body = {"number": message.number.removeprefix("+"), "sign": self._sign, "text": message.text, **self._callback}
        return await self._http.post(f"{self._base_url}/v2/sms/send", self._read, json=body, headers=self._headers)

    async def read_report(self, request: ReportRequest) -> list[Report]:
        """Return what became of the message that the report names; raises as its Protocol tells.

        SMS Aero signs nothing. The secret in the path keeps strangers out, and the status is not taken from the report
        but asked of SMS Aero, so a forged or old one changes nothing; when nobody answers, nothing is said.
        """
        if not self._secret:
            raise ForgedReport("no address for reports was given to SMS Aero, so none can be proven")
        if not same(request.path_secret, self._secret):
            raise ForgedReport("the secret in the address is not right")
        number = whole_number(_fields(request.body).get("id"))
        if number is None:
            raise ValueError("a report without the id of a message")
        url = f"{self._base_url}/v2/sms/status"
        answer = await self._http.call("POST", url, json={"id": number}, headers=self._headers)
        return _reported(answer, number) if isinstance(answer, Answer) else []

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def _read(self, answer: Answer) -> SendResult:
        said = answer.json()
        if answer.status in (400, 402, 422) and isinstance(said, dict):
            return _refused_by_vendor(said)
        if answer.status != 200:
            return answer.refusal(_CREDENTIALS, "SMSAERO_BASE_URL")
        if not isinstance(said, dict):
            return Unknown("an answer that is no JSON object")
        if said.get("success") is not True:
            # Neither of its two ways of saying no: nobody knows what it means.
            return _refused_by_vendor(said) if {"success", "result"} & set(said) else Unknown("an unreadable answer")
        return self._taken(said.get("data"))

    def _taken(self, data: Any) -> SendResult:
        number = whole_number(data.get("id")) if isinstance(data, dict) else None
        if number is None:
            return Unknown("an answer without an id")
        status = whole_number(data.get("status"))
        if status in _UNDELIVERED:
            return Refused(f"status {status}: {_UNDELIVERED[status]}")
        return Accepted(provider_id=str(number), price=minor_units(data.get("cost")) if self._tells_price else None)


def _fields(body: bytes) -> dict[str, Any]:
    """Return the fields of a report: a form, or JSON."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return dict(form_fields(body))
    return said if isinstance(said, dict) else {}


def _reported(answer: Answer, number: int) -> list[Report]:
    said = answer.json()
    data = said.get("data") if answer.status == 200 and isinstance(said, dict) and said.get("success") is True else None
    if not isinstance(data, dict) or whole_number(data.get("id")) != number:
        return []
    status = whole_number(data.get("status"))
    if status == _DELIVERED:
        return [Report(str(number), SendState.DELIVERED)]
    if status in _UNDELIVERED:
        return [Report(str(number), SendState.UNDELIVERED, f"status {status}: {_UNDELIVERED[status]}")]
    # 0 queued, 3 sent, 4 waiting, 8 with a moderator.
    return []


def _refused_by_vendor(said: dict[str, Any]) -> SendResult:
    """Translate an answer without success: fields with what is wrong with each, or words in `message` or `reason`."""
    data = said.get("data")
    wrong = data if isinstance(data, dict) else {}
    words = " ".join(str(said.get(name, "")) for name in ("result", "message", "reason")).casefold()
    if "blacklist" in words or "black" in str(wrong.get("number", "")).casefold():
        return Refused("the number is in the account's black list")
    if "number" in wrong or "destination" in words:
        return InvalidNumber("the number is not taken")
    if "sign" in wrong or "sender" in words or "sign" in words.split():
        return Misconfigured("the sender's sign is not approved; see SMSAERO_SIGN")
    if "text" in wrong:
        return Refused("the text is not taken")
    if "callbackUrl" in wrong:
        return Misconfigured("the address of reports is not taken; see PUBLIC_URL")
    if "credentials" in words or "password" in words:
        return Misconfigured(f"wrong credentials; see {_CREDENTIALS}")
    if said.get("result") == "reject":
        return Refused("rejected")
    # No money, and whatever is new: a refusal means that nothing was sent.
    return Unavailable("no money" if "credits" in words or "money" in words else "refused for an unknown reason")
