"""Telegram Gateway (core.telegram.org/gateway/api): a verification message in Telegram, for less than an SMS costs.

checkSendAbility is asked first: a number that has no Telegram goes to the next gateway within the same try, and the
check's `request_id` pays for the message. Telegram writes the text; what is ours is the code and how long it may
travel. The price in the answer is in credits of the account, not in CURRENCY, so the price table says what it costs.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from datetime import timedelta
from typing import Any

from bot.gateways.http import Answer, VendorHttp
from bot.settings import Settings
from handlers.ports import (
    Accepted,
    CodeMessage,
    ForgedReport,
    Misconfigured,
    Report,
    ReportRequest,
    SendResult,
    Unavailable,
    Unknown,
)
from storage.clock import Clock
from storage.models import Channel, SendState

_TOKEN = "TELEGRAM_GATEWAY_TOKEN"  # noqa: S105 - the name of a setting
_BASE_URL = "TELEGRAM_GATEWAY_BASE_URL"
# Errors that only the operator can mend, by the setting to look at. The API's page names ACCESS_TOKEN_INVALID alone;
# the other codes are those that public clients of it have met.
_SETTINGS = {
    "ACCESS_TOKEN_INVALID": _TOKEN,
    "ACCESS_TOKEN_REQUIRED": _TOKEN,
    "SENDER_USERNAME_INVALID": "TELEGRAM_GATEWAY_SENDER",
    "SENDER_NOT_VERIFIED": "TELEGRAM_GATEWAY_SENDER",
    "SENDER_NOT_OWNED": "TELEGRAM_GATEWAY_SENDER",
    "CALLBACK_URL_INVALID": "PUBLIC_URL",
    "TTL_INVALID": "VERIFICATION_MESSAGE_TTL",
    "UNKNOWN_METHOD": _BASE_URL,
}
# Seconds: what the API takes as `ttl`.
_SHORTEST_TTL, _LONGEST_TTL = 30, 3600
_STATES = {
    "delivered": SendState.DELIVERED,
    "read": SendState.DELIVERED,
    "expired": SendState.UNDELIVERED,
    "revoked": SendState.UNDELIVERED,
}


def make_telegram(settings: Settings, clock: Clock, report_url: str | None) -> Telegram:
    """Return the gateway of these settings."""
    token = settings.telegram_gateway_token
    return Telegram(
        settings.telegram_gateway_base_url,
        token.get_secret_value() if token else "",
        settings.telegram_gateway_sender,
        clock,
        ttl=settings.verification_message_ttl,
        timeout=settings.gateway_timeout,
        tolerance=settings.report_tolerance,
        report_url=report_url,
    )


class Telegram:
    """One account of the Telegram Gateway. Make it inside a running loop; `close()` it at the end."""

    name = "telegram"
    channels = frozenset({Channel.TELEGRAM})
    report_answer = "ok"

    def __init__(
        self,
        base_url: str,
        token: str,
        sender: str | None,
        clock: Clock,
        *,
        ttl: timedelta,
        timeout: timedelta,
        tolerance: timedelta,
        report_url: str | None,
    ) -> None:
        """`sender`: a verified channel's username. `timeout` bounds both calls together.

        `ttl`: what is not delivered by then never will be. `tolerance`: how far a report's time may be from ours.
        """
        self._url = base_url
        self._headers = {"Authorization": f"Bearer {token}"}
        # The vendor's key of signatures; none without a token, whose hash anybody knows.
        self._key = hashlib.sha256(token.encode()).digest() if token else None
        self._fixed = ({"sender_username": sender.removeprefix("@")} if sender else {}) | (
            {"callback_url": report_url} if report_url else {}
        )
        self._clock = clock
        self._ttl = ttl
        self._tolerance = tolerance
        # Two calls make one send.
        self._http = VendorHttp(timeout / 2, clock)

    async def send(self, message: CodeMessage) -> SendResult:
        """Send the message if the number's owner can read it in Telegram; Unavailable when not."""
        ability = await self._call("checkSendAbility", {"phone_number": message.number})
        if isinstance(ability, str):
            return _refused(ability)
        if isinstance(ability, Unknown):
            return Unavailable(f"checkSendAbility: {ability.detail}")
        if not isinstance(ability, dict):
            return ability
        request_id = ability.get("request_id")
        if not isinstance(request_id, str) or not request_id:
            return Unavailable("checkSendAbility: an answer without a request_id")
        sent = await self._call(
            "sendVerificationMessage",
            {
                **self._fixed,
                "phone_number": message.number,
                "request_id": request_id,
                "code": message.code,
                "ttl": self._seconds(message.lifetime),
                "payload": str(message.send_id),
            },
        )
        # The request was made a moment ago and for this message alone, so what was "already sent" with it is this one.
        if isinstance(sent, dict) or sent == "MESSAGE_ALREADY_SENT":
            return Accepted(provider_id=request_id)
        return _refused(sent) if isinstance(sent, str) else sent

    async def read_report(self, request: ReportRequest) -> list[Report]:
        """Read a RequestStatus that is signed by our token and not too old."""
        self._authenticate(request)
        said = json.loads(request.body)
        if not isinstance(said, dict) or not isinstance(said.get("request_id"), str) or not said["request_id"]:
            raise ValueError("a report without a request_id")
        delivery = said.get("delivery_status")
        if delivery is None:
            # It tells that a code was entered at Telegram, or what it cost.
            return []
        status = delivery.get("status") if isinstance(delivery, dict) else None
        if not isinstance(status, str):
            raise ValueError("a delivery status that is none")
        state = _STATES.get(status)
        if state is None:
            return []
        return [Report(said["request_id"], state, "" if state is SendState.DELIVERED else status)]

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def _seconds(self, lifetime: timedelta) -> int:
        """Return the message's `ttl`: an expired code is of no use to anybody."""
        wanted = int(min(self._ttl, lifetime).total_seconds())
        return max(_SHORTEST_TTL, min(_LONGEST_TTL, wanted))

    async def _call(self, method: str, fields: dict[str, str | int]) -> dict[str, Any] | str | SendResult:
        """Return the result, or the vendor's code of an error, or what the answer means when it is neither."""
        answer = await self._http.call("POST", f"{self._url}/{method}", json=fields, headers=self._headers)
        if not isinstance(answer, Answer):
            return answer
        said = answer.json()
        if isinstance(said, dict) and said.get("ok") is False and isinstance(said.get("error"), str):
            return str(said["error"])
        if answer.status != 200:
            return answer.refusal(_TOKEN, _BASE_URL)
        if isinstance(said, dict) and said.get("ok") is True:
            result = said.get("result")
            return result if isinstance(result, dict) else {}
        return Unknown("an answer that says neither yes nor no")

    def _authenticate(self, request: ReportRequest) -> None:
        """Check the signature as the API's page has it: HMAC-SHA256 by SHA256(token) over timestamp, newline, body."""
        if self._key is None:
            raise ForgedReport(f"{_TOKEN} is not set")
        timestamp = request.headers.get("x-request-timestamp", "")
        signature = request.headers.get("x-request-signature", "")
        if not re.fullmatch(r"[0-9]{1,12}", timestamp):
            raise ForgedReport("no readable X-Request-Timestamp")
        expected = hmac.new(self._key, timestamp.encode() + b"\n" + request.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
            raise ForgedReport("a wrong X-Request-Signature")
        if abs(self._clock.now().timestamp() - int(timestamp)) > self._tolerance.total_seconds():
            raise ForgedReport("signed too long ago, or in the future")


def _refused(error: str) -> SendResult:
    """Translate an error of the API. Whatever it is, nothing was sent, and an SMS may still reach the number."""
    flood = re.fullmatch(r"FLOOD_WAIT_([0-9]{1,6})", error)
    if flood:
        return Unavailable("FLOOD_WAIT", float(flood[1]))
    # Only what looks like a code is repeated: a detail must not hold what the request held.
    detail = error if re.fullmatch(r"[A-Z_]{1,64}", error) else "an error that is no code"
    if error in _SETTINGS:
        return Misconfigured(f"{detail}: see {_SETTINGS[error]}")
    # PHONE_NUMBER_NOT_FOUND, PHONE_NUMBER_INVALID, PHONE_NUMBER_NOT_AVAILABLE, PHONE_NUMBER_BLOCKED: not on Telegram,
    # which says nothing about the telephone network. BALANCE_NOT_ENOUGH: no money. The rest is a fault of this call.
    return Unavailable(detail)
