"""SMS.ru: POST /sms/send, answers as JSON (json=1). One call, no retry inside, no redirect followed.

Sources: sms.ru/api/send (parameters, codes), sms.ru/api/status (statuses), sms.ru/api/cb (reports). SMS.ru makes up the
codes of its own calls, so it cannot say ours: SMS only. An empty text or one of several segments never comes here:
PRODUCT_NAME is checked against it at start.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from bot.gateways.http import Answer, VendorHttp, form_fields, same, whole_number
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

_DELIVERED = frozenset({103, 110})
_UNDELIVERED = {
    104: "expired",
    105: "deleted by the operator",
    106: "a fault of the telephone",
    107: "for an unknown reason",
    108: "rejected",
    150: "no route to the number",
}
_LONGEST_MINUTES = 1440


def make_smsru(settings: Settings, clock: Clock, report_url: str | None) -> SmsRu:
    """Return the gateway of these settings. SMS.ru's own page, not the call, says where reports go to."""
    api_id = settings.smsru_api_id.get_secret_value() if settings.smsru_api_id else ""
    return SmsRu(
        settings.smsru_base_url, api_id, settings.smsru_sender, settings.gateway_timeout, clock,
        settings.report_tolerance,
    )  # fmt: skip


class SmsRu:
    """One SMS.ru account. Make it inside a running loop; `close()` it at the end."""

    name = "smsru"
    channels = frozenset({Channel.SMS})
    # Without exactly this SMS.ru sends the report again.
    report_answer = "100"

    def __init__(
        self, base_url: str, api_id: str, sender: str | None, timeout: timedelta, clock: Clock, tolerance: timedelta
    ) -> None:
        """`timeout` bounds the whole call; a report further than `tolerance` from the clock is refused."""
        self._url = f"{base_url}/sms/send"
        self._fixed = {"api_id": api_id, "json": "1"} | ({"from": sender} if sender else {})
        self._http = VendorHttp(timeout, clock)
        self._api_id = api_id
        self._clock = clock
        self._tolerance = tolerance

    async def send(self, message: CodeMessage) -> SendResult:
        """Send the message. SMS.ru tells no price."""
        number = message.number.removeprefix("+")
        minutes = int(message.lifetime.total_seconds()) // 60
        ttl = min(max(1, minutes), _LONGEST_MINUTES)
        form = {**self._fixed, "to": number, "msg": message.text, "ttl": str(ttl)}
        return await self._http.post(self._url, lambda answer: _read(answer, number), form=form)

    async def read_report(self, request: ReportRequest) -> list[Report]:
        """Return what the fields data[0], data[1] ... say; raises as its Protocol tells.

        `hash` is SHA-256 of the api_id and all of them in a row. What is too old is left out of a report with newer
        statuses, and refused alone.
        """
        form = form_fields(request.body)
        entries = _entries(form)
        if not self._api_id:
            raise ForgedReport("SMSRU_API_ID is not given, so no report can be proven")
        signed = (self._api_id + "".join(entries)).encode("utf-8", "surrogateescape")
        if not entries or not same(form.get("hash", "").lower(), hashlib.sha256(signed).hexdigest()):
            raise ForgedReport("the hash of the report is not right")
        # Such a hash can be carried on from a known report to a longer one, by bytes that no status holds.
        if not all(re.fullmatch(r"[ -~\n]*", entry) for entry in entries):
            raise ForgedReport("a report with bytes that SMS.ru does not write")
        # Other kinds of news (a test of the address, calls) come to the same place.
        statuses = [_Status(entry) for entry in entries if entry.startswith("sms_status\n")]
        now = self._clock.now().timestamp()
        fresh = [status for status in statuses if abs(now - status.moment) <= self._tolerance.total_seconds()]
        if statuses and not fresh:
            raise ForgedReport("a report from too long ago, or from the future")
        return [report for status in fresh if (report := status.report()) is not None]

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


class _Status:
    """One entry: "sms_status", the message's id, the code, the moment (Unix time), a line each.

    All four must be there: the hash covers the entries in a row, so one without its moment may be another one cut.
    """

    def __init__(self, entry: str) -> None:
        found = re.fullmatch(r"sms_status\n([!-~]{1,64})\n(-?[0-9]{1,4})\n([0-9]{1,12})\n?", entry)
        if not found:
            raise ValueError("a status that is not of the documented form")
        self._id = found[1]
        self._code = int(found[2])
        self.moment = int(found[3])

    def report(self) -> Report | None:
        if self._code in _DELIVERED:
            return Report(self._id, SendState.DELIVERED)
        if self._code in _UNDELIVERED:
            return Report(self._id, SendState.UNDELIVERED, f"status {self._code}: {_UNDELIVERED[self._code]}")
        # 100 to 102: in the queue, with the operator, on its way.
        return None


def _entries(form: Mapping[str, str]) -> list[str]:
    """Return the values of data[0], data[1] ... in the order of their numbers, by which they are signed."""
    numbered = {
        int(found[1]): value for name, value in form.items() if (found := re.fullmatch(r"data\[([0-9]{1,4})]", name))
    }
    return [numbered[n] for n in sorted(numbered)]


def _read(answer: Answer, number: str) -> SendResult:
    if answer.status != 200:
        return answer.refusal("SMSRU_API_ID", "SMSRU_BASE_URL")
    said = answer.json()
    code = _code(said)
    if code is None:
        return Unknown("an answer without a status_code")
    if code != 100:
        return _refused_by_vendor(code)
    # 100 says that the request as a whole was understood; what became of the message stands under its number.
    messages = said.get("sms")
    message = messages.get(number) if isinstance(messages, dict) else None
    own = _code(message)
    if not isinstance(message, dict) or own is None:
        return Unknown("an answer that does not name the message")
    if own != 100:
        return _refused_by_vendor(own)
    sms_id = message.get("sms_id")
    return Accepted(provider_id=sms_id) if isinstance(sms_id, str) and sms_id else Unknown("an answer without an id")


def _code(said: Any) -> int | None:
    return whole_number(said.get("status_code")) if isinstance(said, dict) else None


def _refused_by_vendor(code: int) -> SendResult:
    """Translate SMS.ru's status_code (its table for sms/send)."""
    detail = f"status_code {code}"
    match code:
        case 200 | 300 | 301 | 302:
            return Misconfigured(f"{detail}: wrong key, or an account not confirmed; see SMSRU_API_ID")
        case 204 | 221:
            return Misconfigured(f"{detail}: the sender is not agreed, or not with this operator; see SMSRU_SENDER")
        case 208 | 210 | 211 | 212 | 213:
            return Misconfigured(f"{detail}: the request was not understood; see SMSRU_BASE_URL")
        case 202 | 207:
            return InvalidNumber(f"{detail}: no such number, or no route to it")
        case 203 | 205 | 216 | 217:
            return Refused(f"{detail}: text forbidden")
        case 209 | 214 | 215:
            return Refused(f"{detail}: number in a stop-list, or abroad")
        case 230 | 233:
            # A limit of this number, not of the account: the gateway is well for everybody else.
            return Refused(f"{detail}: too many messages to this number")
        case 231 | 232:
            # The same text to the same number can only be ours, so it was taken the first time.
            return Accepted()
        case _:
            # 201 no money, 206 daily limit, 220 and 500 their fault, and whatever is new: nothing was sent.
            return Unavailable(detail)
