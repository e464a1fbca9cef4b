"""Twilio: Programmable Messaging (Messages.json) and calls (Calls.json), with signed delivery reports.

Sources, all below twilio.com/docs: messaging/api/message-resource, voice/api/call-resource, api/errors (the error
dictionary), messaging/guides/outbound-message-status-in-status-callbacks, usage/webhooks/webhooks-security. Twilio has
no key against a repeated send.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping
from datetime import timedelta
from html import escape
from urllib.parse import parse_qsl, urlsplit

import aiohttp

from bot.gateways.http import Answer, VendorHttp, whole_number
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

_CREDENTIALS = "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"
_ADDRESS = "TWILIO_BASE_URL"
_SID = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}")
# Seconds: what Twilio takes as ValidityPeriod (error 21624).
_SHORTEST, _LONGEST = 1, 36_000
# Who speaks a language. A voice and a language that do not fit each other end the call with an error.
_VOICES = {"ru": ("ru-RU", "Polly.Tatyana"), "en": ("en-US", "Polly.Joanna")}

# The error dictionary, as far as a message or a call can meet it.
_NO_SUCH_NUMBER = frozenset({21211, 21217, 21265, 21614, 21635})
_REFUSED = {
    13224: "this number is not called",
    13227: "calls to this country are not permitted",
    21214: "this number cannot be reached by calls",
    21215: "calls to this country are not permitted",
    21216: "this number is blocked for calls",
    21408: "SMS to this country are not permitted",
    21610: "the person has opted out",
    21612: "no route from this sender",
    30450: "taken for SMS pumping",
    30453: "taken for SMS pumping",
}
_MISTAKEN_ACCOUNT = frozenset({20003, 20008, 20403, 20404})
_TRIAL = frozenset({10002, 21219, 21267, 21608})
_MISTAKEN_SENDER = frozenset(
    {21210, 21212, 21213, 21401, 21601, 21603, 21606, 21659, 21660, 21661, 21701, 21702, 21703, 21704, 21705}
)
_MISTAKEN_CALLBACK = frozenset({21205, 21609})

_ON_ITS_WAY = frozenset(
    {"queued", "accepted", "scheduled", "sending", "sent", "initiated", "ringing", "answered", "in-progress"}
)
# A call that was answered has said the code; whether to a person or to a machine, nobody knows.
_ARRIVED = frozenset({"delivered", "read", "completed"})
_FAILED = frozenset({"undelivered", "failed", "canceled", "busy", "no-answer"})


def make_twilio(settings: Settings, clock: Clock, report_url: str | None) -> Twilio:
    """Return the gateway of these settings; `report_url` goes with each message."""
    return Twilio(
        settings.twilio_base_url,
        settings.twilio_account_sid or "",
        settings.twilio_auth_token.get_secret_value() if settings.twilio_auth_token else "",
        settings.twilio_sender or "",
        settings.twilio_voice_number,
        report_url,
        settings.gateway_timeout,
        clock,
    )


class Twilio:
    """One Twilio account. Make it inside a running loop; `close()` it at the end."""

    name = "twilio"
    # Twilio looks at the status of the answer alone.
    report_answer = ""

    def __init__(
        self,
        base_url: str,
        account: str,
        token: str,
        sender: str,
        voice_number: str | None,
        report_url: str | None,
        timeout: timedelta,
        clock: Clock,
    ) -> None:
        """`sender` is a number, a name or a messaging service (MG...); without a `voice_number` there are no calls.

        `timeout` bounds a whole call of the API.
        """
        self.channels = frozenset({Channel.SMS, Channel.VOICE} if voice_number else {Channel.SMS})
        self._url = f"{base_url}/2010-04-01/Accounts/{account}"
        self._token = token.encode()
        service = re.fullmatch(r"MG[0-9a-fA-F]{32}", sender)
        self._sender = {"MessagingServiceSid" if service else "From": sender}
        self._voice_number = voice_number
        self._callback = {"StatusCallback": report_url} if report_url else {}
        self._headers = {"Authorization": aiohttp.encode_basic_auth(account, token)}
        self._http = VendorHttp(timeout, clock)

    async def send(self, message: CodeMessage) -> SendResult:
        """Send the message, or call and say it."""
        if message.channel is Channel.VOICE:
            return await self._call(message)
        validity = min(max(int(message.lifetime.total_seconds()), _SHORTEST), _LONGEST)
        form = {**self._sender, "To": message.number, "Body": message.text, "ValidityPeriod": str(validity)}
        return await self._post("Messages.json", form, "TWILIO_SENDER")

    async def _call(self, message: CodeMessage) -> SendResult:
        if self._voice_number is None:
            return Misconfigured("calls need TWILIO_VOICE_NUMBER")
        form = {"From": self._voice_number, "To": message.number, "Twiml": _spoken(message)}
        return await self._post("Calls.json", form, "TWILIO_VOICE_NUMBER")

    async def _post(self, resource: str, form: dict[str, str], sender: str) -> SendResult:
        return await self._http.post(
            f"{self._url}/{resource}",
            lambda answer: _read(answer, sender),
            form=form | self._callback,
            headers=self._headers,
        )

    async def read_report(self, request: ReportRequest) -> list[Report]:
        """Return what a status callback says; raises ForgedReport, and ValueError for a malformed one.

        Twilio signs no moment, so a repeated report cannot be told from the first: it says the same again.
        """
        # A byte that is no UTF-8 becomes another character and so breaks the signature.
        fields = parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True)
        given = request.headers.get("x-twilio-signature", "").encode(errors="replace")
        if request.method != "POST" or not self._token:
            raise ForgedReport("not a signed POST")
        # A list, so that each spelling takes its time.
        if not any([hmac.compare_digest(given, self._signature(url, fields)) for url in _spellings(request.url)]):
            raise ForgedReport("X-Twilio-Signature does not fit")
        return _report(dict(fields))

    def _signature(self, url: str, fields: list[tuple[str, str]]) -> bytes:
        signed = url + "".join(name + value for name, value in sorted(set(fields)))
        return base64.b64encode(hmac.digest(self._token, signed.encode(errors="replace"), "sha1"))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


def _spoken(message: CodeMessage) -> str:
    """Return TwiML that says the message twice, its code digit by digit.

    In a language that has no voice here only the digits are said, in English.
    """
    code = ", ".join(message.code)
    language, voice = _VOICES.get(message.language, _VOICES["en"])
    words = message.text.replace(message.code, code) if message.language in _VOICES else code
    say = f'<Say language="{language}" voice="{voice}">{escape(words)}</Say>'
    # Time to lift the telephone to the ear, and to look for a pencil.
    return f'<Response><Pause length="1"/>{say}<Pause length="2"/>{say}</Response>'


def _read(answer: Answer, sender: str) -> SendResult:
    """Translate an answer; `sender` is the setting that says from whom."""
    said = answer.json()
    if 200 <= answer.status < 300:
        # Its price is always null here: Twilio knows it only after the carrier took the message.
        given = said.get("sid") if isinstance(said, dict) else None
        if isinstance(given, str) and _SID.fullmatch(given):
            return Accepted(provider_id=given)
        return Unknown("an answer without a sid")
    code = whole_number(said.get("code")) if isinstance(said, dict) else None
    if code is None or answer.status < 400 or answer.status == 429 or answer.status >= 500:
        return answer.refusal(_CREDENTIALS, _ADDRESS)
    return _refused_by_vendor(code, answer, sender)


def _refused_by_vendor(code: int, answer: Answer, sender: str) -> SendResult:
    """Translate the `code` of Twilio's error dictionary."""
    detail = f"code {code}"
    if code in _NO_SUCH_NUMBER:
        return InvalidNumber(f"{detail}: no such number, or it takes no SMS")
    if code in _REFUSED:
        return Refused(f"{detail}: {_REFUSED[code]}")
    if code in _MISTAKEN_ACCOUNT:
        return Misconfigured(f"{detail}: wrong credentials; see {_CREDENTIALS}")
    if code in _TRIAL:
        return Misconfigured(f"{detail}: a trial account serves verified numbers alone; see TWILIO_ACCOUNT_SID")
    if code in _MISTAKEN_SENDER:
        return Misconfigured(f"{detail}: this account cannot send from there; see {sender}")
    if code in _MISTAKEN_CALLBACK:
        return Misconfigured(f"{detail}: reports cannot be sent there; see PUBLIC_URL")
    # An error means that nothing was sent: no money (10001, 20005), too fast (14107, 20429), a full queue (21611), a
    # daily limit (63038), and whatever is new.
    return Unavailable(detail, answer.retry_after)


def _spellings(url: str) -> list[str]:
    """Return the ways Twilio may have written the address it signed: with its port and without."""
    parts = urlsplit(url)
    bare = parts.netloc.removesuffix(f":{parts.port}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return [url, parts._replace(netloc=bare).geturl(), parts._replace(netloc=f"{bare}:{port}").geturl()]


def _report(fields: Mapping[str, str]) -> list[Report]:
    """Read the fields of a message's or a call's status callback."""
    given = fields.get("MessageSid") or fields.get("CallSid") or ""
    status = (fields.get("MessageStatus") if "MessageSid" in fields else fields.get("CallStatus")) or ""
    if not _SID.fullmatch(given):
        raise ValueError("a report without a sid")
    if status in _ON_ITS_WAY:
        return []
    if status in _ARRIVED:
        return [Report(given, SendState.DELIVERED)]
    if status not in _FAILED:
        raise ValueError("a report with a status that Twilio does not document")
    code = whole_number(fields.get("ErrorCode"))
    return [Report(given, SendState.UNDELIVERED, status if code is None else f"{status}, code {code}")]
