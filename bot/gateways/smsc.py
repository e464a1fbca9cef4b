"""SMSC.ru: SMS and calls by POST /sys/send.php, answers as JSON (fmt=3). One call, no retry inside.

Sources: smsc.ru/api/http/send/sms (parameters, error codes), .../send/voice (calls), .../status_messages (statuses),
.../miscellaneous/callback (reports). An empty text or one of several segments never comes here: PRODUCT_NAME is
checked against it at start.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

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

_CREDENTIALS = "SMSC_LOGIN and SMSC_PASSWORD, or SMSC_API_KEY"
# A call: seconds it rings, seconds until the next try, tries. The vendor's own 8 tries would be a nuisance.
_RINGING = "25,10,2"
_DAY = timedelta(hours=24)
# Read, and its link followed, are more than delivered.
_DELIVERED = frozenset({1, 2, 4})
_UNDELIVERED = {
    -2: "cancelled",
    3: "expired",
    6: "taken for spam",
    20: "impossible to deliver",
    22: "wrong number",
    23: "forbidden",
    24: "no money",
    25: "number not available",
}


def vendor_id(send_id: UUID) -> int:
    """Return SMSC's own positive 31-bit message id for a row of the ledger: the same on a repeat."""
    return send_id.int % (2**31 - 1) + 1


def make_smsc(settings: Settings, clock: Clock, report_url: str | None) -> Smsc:
    """Return the gateway of these settings. SMSC's own page, not the call, says where reports go to."""
    if settings.smsc_api_key is not None:
        credentials = {"apikey": settings.smsc_api_key.get_secret_value()}
    else:
        password = settings.smsc_password.get_secret_value() if settings.smsc_password else ""
        credentials = {"login": settings.smsc_login or "", "psw": password}
    secret = settings.smsc_report_secret.get_secret_value() if settings.smsc_report_secret else ""
    return Smsc(
        settings.smsc_base_url, credentials, settings.smsc_sender, settings.gateway_timeout, clock,
        report_secret=secret, currency=settings.currency,
    )  # fmt: skip


class Smsc:
    """One SMSC account. Make it inside a running loop; `close()` it at the end."""

    name = "smsc"
    channels = frozenset({Channel.SMS, Channel.VOICE})
    report_answer = "OK"

    def __init__(
        self,
        base_url: str,
        credentials: dict[str, str],
        sender: str | None,
        timeout: timedelta,
        clock: Clock,
        *,
        report_secret: str = "",
        currency: str = "RUB",
    ) -> None:
        """`credentials` are the form's `login` and `psw`, or `apikey`; `timeout` bounds the whole call.

        SMSC tells prices in roubles: with another `currency` they stay unknown.
        """
        self._url = f"{base_url}/sys/send.php"
        # cost=3: the answer tells the price too.
        self._fixed = {**credentials, "charset": "utf-8", "fmt": "3", "cost": "3"}
        self._sender = {"sender": sender} if sender else {}
        self._http = VendorHttp(timeout, clock)
        self._secret = report_secret
        self._tells_price = currency == "RUB"

    async def send(self, message: CodeMessage) -> SendResult:
        """Send the message, or call and say its code twice."""
        own_id = vendor_id(message.send_id)
        form = {**self._fixed, "phones": message.number, "id": str(own_id)}
        if message.channel is Channel.VOICE:
            # A call comes from a number of SMSC's own: the name agreed for SMS is none.
            form |= {"call": "1", "mes": spoken(message), "param": _RINGING}
        else:
            form |= {**self._sender, "mes": message.text, "valid": _hours_and_minutes(message.lifetime)}
        result = await self._http.post(self._url, lambda answer: self._read(answer, own_id), form=form)
        return replace(result, provider_id=str(own_id)) if isinstance(result, Unknown) else result

    async def read_report(self, request: ReportRequest) -> list[Report]:
        """Return what the report says; raises as its Protocol tells.

        `md5` is the hash of "id:phone:status:secret word". It covers no moment, so a report sent again is as good as
        the first: whoever writes it down must not go back by it.
        """
        form = form_fields(request.body)
        number, phone, status = (form.get(name, "") for name in ("id", "phone", "status"))
        if not self._secret:
            raise ForgedReport("SMSC_REPORT_SECRET is not given, so no report can be proven")
        signed = f"{number}:{phone}:{status}:{self._secret}".encode("utf-8", "surrogateescape")
        # MD5 is the vendor's choice; with the secret at the end it still takes the secret to make one.
        if not same(form.get("md5", "").lower(), hashlib.md5(signed, usedforsecurity=False).hexdigest()):
            raise ForgedReport("the md5 of the report is not right")
        return _reported(number, status)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def _read(self, answer: Answer, own_id: int) -> SendResult:
        if answer.status != 200:
            return answer.refusal(_CREDENTIALS, "SMSC_BASE_URL")
        said = answer.json()
        if not isinstance(said, dict):
            return Unknown("an answer that is no JSON object")
        code = whole_number(said.get("error_code"))
        if code is not None:
            return _refused_by_vendor(code, said.get("error"), own_id)
        given = whole_number(said.get("id"))
        if given is None:
            return Unknown("an answer without an id")
        return Accepted(provider_id=str(given), price=minor_units(said.get("cost")) if self._tells_price else None)


def spoken(message: CodeMessage) -> str:
    """Return what a call says: the text with its code digit by digit, and the code once more."""
    digits = ", ".join(message.code)
    return f"{message.text.replace(message.code, digits)}. {digits}."


def _hours_and_minutes(lifetime: timedelta) -> str:
    """Write a lifetime as `valid` takes it: hh:mm, from 00:01 to 24:00, rounded down."""
    minutes = max(1, int(min(lifetime, _DAY).total_seconds()) // 60)
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _reported(number: str, status: str) -> list[Report]:
    known = whole_number(number)
    state = whole_number(status.removeprefix("-"))
    if known is None or state is None:
        raise ValueError("a report without an id or a status in digits")
    state = -state if status.startswith("-") else state
    if state in _DELIVERED:
        return [Report(str(known), SendState.DELIVERED)]
    if state in _UNDELIVERED:
        return [Report(str(known), SendState.UNDELIVERED, f"status {state}: {_UNDELIVERED[state]}")]
    # Waiting, handed to the operator, or not known: it may still arrive.
    return []


def _refused_by_vendor(code: int, error: Any, own_id: int) -> SendResult:
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
        case 9 if "concurrent" in str(error):
            # The same code for fifteen calls at once under one login ("too many concurrent requests").
            return Unavailable(f"{detail}: too many calls at once")
        case 9:
            # The same text to the same number within a minute can only be ours, so it was taken the first time.
            return Accepted(provider_id=str(own_id))
        case _:
            # 3 no money, 4 blocked for a while, and whatever is new: an error means that nothing was sent.
            return Unavailable(detail)
