"""A server that speaks Vonage's SMS API over real HTTP, stricter than the vendor, with signed delivery receipts."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote_plus, urlsplit

from aiohttp import web

from tests.fakes.vendor import FakeVendor, RawReport, Sms

KNOWN = frozenset({"api_key", "api_secret", "from", "to", "text", "type", "ttl", "client-ref", "callback"})
ERRORS = {
    1: "Throttled",
    2: "Missing params",
    3: "Invalid params",
    4: "Bad credentials",
    5: "Internal error",
    6: "Unroutable message",
    7: "Number barred",
    8: "Partner account barred",
    9: "Partner quota exceeded",
    12: "Message too long",
    15: "Invalid sender",
    23: "Invalid callback url",
    29: "Non-whitelisted destination",
    33: "Number de-activated",
}
PRICE = "0.03330000"
# The characters that Vonage sends with type=text (its guide on encoding), apart from printable ASCII.
_BEYOND_ASCII = frozenset("£¥èéùìòÇØøÅåÄÖÑÜäöñüàΔΦΓΛΩΠΨΣΘΞÆæßÉ¡¿§¤€\n\r")


class FakeVonage(FakeVendor):
    """One account that may send from `sender`."""

    paths = ("/sms/json",)

    def __init__(
        self, key: str = "abcd1234", secret: str = "abcdef0123456789", signature_secret: str = "signs-the-receipts"
    ) -> None:
        super().__init__()
        self.key = key
        self.secret = secret
        self.signature_secret = signature_secret
        self.sender = "SHOP"
        self._count = 0

    async def serve(self, request: web.Request) -> web.Response:
        posted = list((await request.post()).items())
        form = {name: str(value) for name, value in posted}
        plain = request.content_type == "application/x-www-form-urlencoded" and not request.query_string
        status = 2 if request.method != "POST" or not plain or len(posted) != len(form) else self._mistake(form)
        if status:
            return self.refusal(status, request)
        self._count += 1
        given = f"0A{self._count:014X}"
        # Sent as type=text, a character outside GSM-7 arrives as a question mark.
        text = form["text"] if "type" in form else "".join(c if _is_gsm(c) else "?" for c in form["text"])
        await self.deliver(Sms("+" + form["to"], text, given, form["from"], fields=form))
        part = {"to": form["to"], "message-id": given, "status": "0", "remaining-balance": "15.53590000",
                "message-price": PRICE, "network": "25099"}  # fmt: skip
        return _answer(part)

    def refusal(self, code: int | str, request: web.Request) -> web.Response:
        # Vonage answers 200 to mistakes too.
        return _answer({"status": str(code), "error-text": ERRORS.get(int(code), "Something new")})

    def report(
        self,
        url: str,
        message_id: str,
        status: str,
        at: datetime,
        err_code: int = 0,
        kind: Literal["GET", "form", "JSON"] = "form",
    ) -> RawReport:
        """Return a receipt signed at `at`, as it would be sent to `url` in the way the account chose."""
        fields = {
            "msisdn": "79161234567", "to": "A&B=C", "network-code": "25099", "messageId": message_id,
            "price": PRICE, "status": status, "scts": "2611231200", "err-code": str(err_code), "api-key": self.key,
            "client-ref": "5f0c3b1e-3c56-4a0b-9f3f-7f6d2f0f9a11", "message-timestamp": f"{at:%Y-%m-%d %H:%M:%S}",
        }  # fmt: skip
        return self.signed(url, fields, at, kind)

    def signed(
        self,
        url: str,
        fields: dict[str, str],
        at: datetime,
        kind: Literal["GET", "form", "JSON"] = "form",
        moment: str | None = None,
    ) -> RawReport:
        """Return a receipt with any fields, and any text in the place of its moment."""
        stamp = str(int(at.timestamp())) if moment is None else moment
        whole = fields | {"timestamp": stamp, "nonce": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"}
        whole["sig"] = signature(self.signature_secret, whole)
        if kind == "JSON":
            return RawReport("POST", url, {"Content-Type": "application/json"}, json.dumps(whole).encode())
        form = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in whole.items())
        if kind == "GET":
            return RawReport("GET", f"{url}?{form}", {}, b"")
        return RawReport("POST", url, {"Content-Type": "application/x-www-form-urlencoded"}, form.encode())

    def _mistake(self, form: dict[str, str]) -> int:
        if {"api_key", "api_secret", "from", "to", "text"} - set(form) or not form["text"].strip():
            return 2
        if (form["api_key"], form["api_secret"]) != (self.key, self.secret):
            return 4
        if set(form) - KNOWN or form.get("type", "unicode") != "unicode":
            return 3
        if not re.fullmatch(r"[1-9][0-9]{6,14}", form["to"]):
            return 3
        if not re.fullmatch(r"[0-9]{5,9}", form.get("ttl", "")) or not 20_000 <= int(form["ttl"]) <= 604_800_000:
            return 3
        if len(form.get("client-ref", "")) > 40 or ("type" in form and all(_is_gsm(c) for c in form["text"])):
            return 3
        if form["from"] != self.sender:
            return 15
        if not _fits_one(form["text"], unicode="type" in form):
            return 12
        callback = form.get("callback", "https://example.com/")
        return 0 if len(callback) <= 100 and urlsplit(callback).scheme in ("http", "https") else 23


def signature(secret: str, fields: dict[str, str]) -> str:
    """Return `sig`, made from RFC 2104 itself: HMAC with SHA-256 over the sorted parameters, & and = replaced."""
    text = ""
    for name, value in sorted(fields.items()):
        text += "&" + name + "=" + value.replace("&", "_").replace("=", "_")
    key = secret.encode().ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + text.encode()).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).hexdigest()


def _is_gsm(character: str) -> bool:
    return (character.isascii() and character.isprintable() and character != "`") or character in _BEYOND_ASCII


def _fits_one(text: str, *, unicode: bool) -> bool:
    return (
        len(text.encode("utf-16-be")) <= 140
        if unicode
        else len(text) + len(re.findall(r"[\^{}\\\[~\]|€]", text)) <= 160
    )


def _answer(*parts: dict[str, Any]) -> web.Response:
    return web.json_response({"message-count": str(len(parts)), "messages": list(parts)})
