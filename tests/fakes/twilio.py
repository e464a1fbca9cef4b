"""A server that speaks Twilio's messages and calls over real HTTP, stricter than the vendor, with signed callbacks."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from urllib.parse import quote_plus, urlsplit
from xml.etree import ElementTree

from aiohttp import web

from bot.sms_text import spare
from storage.models import Channel
from tests.fakes.vendor import FakeVendor, RawReport, Sms

ACCOUNT = "AC" + "0123456789abcdef" * 2
SERVICE = "MG" + "fedcba9876543210" * 2
MESSAGE_FIELDS = frozenset({"To", "From", "MessagingServiceSid", "Body", "StatusCallback", "ValidityPeriod"})
CALL_FIELDS = frozenset({"To", "From", "Twiml", "StatusCallback"})
# Language and voice must fit each other.
VOICES = {("ru-RU", "Polly.Tatyana"), ("en-US", "Polly.Joanna")}
# The status of the answer that carries a code; 400 for all others.
STATUSES = {20003: 401, 20403: 403, 20404: 404, 20004: 405, 20429: 429, 20500: 500, 20503: 503}


class FakeTwilio(FakeVendor):
    """One account that owns `senders` and a messaging service, and may call from `voice_number`."""

    paths = ("/2010-04-01/Accounts/{account}/Messages.json", "/2010-04-01/Accounts/{account}/Calls.json")

    def __init__(self, token: str = "auth-token-of-twilio") -> None:
        super().__init__()
        self.account = ACCOUNT
        self.token = token
        self.senders = {"+15005550006", "SHOP"}
        self.service = SERVICE
        self.voice_number = "+15005550010"
        self.language = ""
        self._count = 0

    async def serve(self, request: web.Request) -> web.Response:
        posted = list((await request.post()).items())
        form = {name: str(value) for name, value in posted}
        calls = request.path.endswith("/Calls.json")
        code = self._envelope(request, len(posted) != len(form))
        code = code or (self._call_mistake(form) if calls else self._message_mistake(form))
        if code:
            return self.refusal(code, request)
        self._count += 1
        sid = f"{'CA' if calls else 'SM'}{self._count:032x}"
        text = " … ".join(self._said(form["Twiml"])) if calls else form["Body"]
        sender = form.get("From") or form.get("MessagingServiceSid")
        await self.deliver(Sms(form["To"], text, sid, sender, Channel.VOICE if calls else Channel.SMS, form))
        status = "accepted" if "MessagingServiceSid" in form else "queued"
        return web.json_response({"sid": sid, "status": status, "price": None, "price_unit": "USD"}, status=201)

    def refusal(self, code: int | str, request: web.Request) -> web.Response:
        status = STATUSES.get(int(code), 400)
        more = f"https://www.twilio.com/docs/errors/{code}"
        # Twilio repeats the number in its message, so nobody may log it.
        message = f"Error {code} for the number that the request named"
        return web.json_response(
            {"code": int(code), "message": message, "more_info": more, "status": status}, status=status
        )

    def report(self, url: str, sid: str, status: str, error_code: int | None = None) -> RawReport:
        """Return a signed status callback for a message or a call, as it would be sent to `url`."""
        fields = {"AccountSid": self.account, "ApiVersion": "2010-04-01", "To": "+79161234567", "From": "+15005550006"}
        if sid.startswith("CA"):
            fields |= {"CallSid": sid, "CallStatus": status, "Direction": "outbound-api", "CallDuration": "12"}
        else:
            fields |= {"MessageSid": sid, "MessageStatus": status, "SmsSid": sid, "SmsStatus": status}
        if error_code is not None:
            fields["ErrorCode"] = str(error_code)
        return self.signed(url, fields)

    def signed(self, url: str, fields: dict[str, str], over: str | None = None) -> RawReport:
        """Return a callback with any fields; `over` is the address that is signed, when it is written otherwise."""
        body = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in fields.items())
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Twilio-Signature": signature(self.token, over or url, fields),
        }
        return RawReport("POST", url, headers, body.encode())

    def _envelope(self, request: web.Request, repeated: bool) -> int:
        if request.method != "POST":
            return 20004
        expected = "Basic " + b64encode(f"{self.account}:{self.token}".encode()).decode()
        if request.headers.get("Authorization") != expected:
            return 20003
        if request.match_info["account"] != self.account:
            return 20404
        plain = request.content_type == "application/x-www-form-urlencoded"
        return 0 if plain and not repeated and not request.query_string else 20001

    def _message_mistake(self, form: dict[str, str]) -> int:
        if set(form) - MESSAGE_FIELDS or ("From" in form) == ("MessagingServiceSid" in form):
            return 21603
        if form.get("From", "SHOP") not in self.senders:
            return 21659
        if form.get("MessagingServiceSid", self.service) != self.service:
            return 21701
        body = form.get("Body", "")
        if not body.strip():
            return 21602
        if spare(body) < 0:
            return 21617
        if not re.fullmatch(r"[1-9][0-9]{0,4}", form.get("ValidityPeriod", "")) or int(form["ValidityPeriod"]) > 36000:
            return 21624
        return self._common_mistake(form, 21609)

    def _call_mistake(self, form: dict[str, str]) -> int:
        if set(form) - CALL_FIELDS:
            return 20001
        if form.get("From") != self.voice_number:
            return 21210
        if len(form.get("Twiml", "")) > 4000 or not self._said(form.get("Twiml", "")):
            return 21618
        return self._common_mistake(form, 21205)

    def _common_mistake(self, form: dict[str, str], callback: int) -> int:
        if not re.fullmatch(r"\+[1-9][0-9]{7,14}", form.get("To", "")):
            return 21211
        address = urlsplit(form.get("StatusCallback", "https://example.com/"))
        return 0 if address.scheme in ("http", "https") and address.hostname else callback

    def _said(self, twiml: str) -> list[str]:
        """Return what a call says, sentence by sentence; nothing when the TwiML is not right."""
        try:
            document = ElementTree.fromstring(twiml)
        except ElementTree.ParseError:
            return []
        if document.tag != "Response" or {verb.tag for verb in document} - {"Say", "Pause"}:
            return []
        says = [verb for verb in document if verb.tag == "Say"]
        if any((say.get("language", ""), say.get("voice", "")) not in VOICES or not say.text for say in says):
            return []
        self.language = says[0].get("language", "") if says else ""
        return [say.text or "" for say in says]


def signature(token: str, url: str, fields: dict[str, str]) -> str:
    """Return X-Twilio-Signature, made from RFC 2104 itself: HMAC with SHA-1 over the address and the sorted fields."""
    text = url
    for name in sorted(fields):
        text += name
        text += fields[name]
    key = token.encode().ljust(64, b"\0")
    inner = hashlib.sha1(bytes(byte ^ 0x36 for byte in key) + text.encode()).digest()
    outer = hashlib.sha1(bytes(byte ^ 0x5C for byte in key) + inner).digest()
    return b64encode(outer).decode()
