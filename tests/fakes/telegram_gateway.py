"""A server that speaks the Telegram Gateway API over real HTTP, strict about every parameter, with signed reports."""

from __future__ import annotations

import hmac
import json
import re
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from aiohttp import web

from storage.models import Channel
from tests.fakes.vendor import FakeVendor, RawReport, Sms

CHECK = frozenset({"phone_number"})
SEND = frozenset({"phone_number", "request_id", "sender_username", "code", "callback_url", "payload", "ttl"})
COST = 1
Fields = dict[str, Any]


class FakeTelegramGateway(FakeVendor):
    """Its inboxes hold what the Verification Codes chat of a number shows. `strangers`: numbers without Telegram."""

    paths = ("/{method}",)

    def __init__(self, token: str = "AAEsToken-5", channel: str = "shop_codes", clock: Callable[[], float] = time.time):
        super().__init__()
        self.token = token
        self.channel = channel
        self.strangers: set[str] = set()
        self.balance = 1000
        self._clock = clock
        # Checked and not yet used for a message, by id: the number it was checked for.
        self._checked: dict[str, str] = {}
        self._spent: set[str] = set()
        self._sent: dict[str, Fields] = {}

    async def serve(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _error("ACCESS_TOKEN_INVALID")
        if request.method != "POST" or request.content_type != "application/json" or request.query_string:
            return _error("REQUEST_INVALID")
        fields = json.loads(await request.text())
        method = request.match_info["method"]
        if method == "checkSendAbility":
            return self._check(fields)
        if method == "sendVerificationMessage":
            return await self._message(fields)
        return _error("UNKNOWN_METHOD")

    def refusal(self, code: int | str, request: web.Request) -> web.Response:
        return _error(str(code))

    def report(self, request_id: str, status: str, at: float | None = None, **changes: Any) -> RawReport:
        """Return the signed report that the message is now `status`; `changes` replace fields of its body."""
        fields = self._sent[request_id]
        moment = int(self._clock() if at is None else at)
        body: Fields = {
            "request_id": request_id,
            "phone_number": fields["phone_number"],
            "request_cost": COST / 100,
            "delivery_status": {"status": status, "updated_at": moment},
            "payload": fields["payload"],
        }
        kept = {name: value for name, value in (body | changes).items() if value is not None}
        return self.signed(fields["callback_url"], json.dumps(kept).encode(), moment)

    def signed(self, url: str, body: bytes, at: float, token: str | None = None) -> RawReport:
        """Return any body, signed as the vendor signs."""
        secret = sha256((self.token if token is None else token).encode("ascii")).digest()
        checked = b"\n".join((str(int(at)).encode("ascii"), body))
        headers = {
            "Content-Type": "application/json",
            "X-Request-Timestamp": str(int(at)),
            "X-Request-Signature": hmac.digest(secret, checked, "sha256").hex(),
        }
        return RawReport("POST", url, headers, body)

    def _check(self, fields: Fields) -> web.Response:
        if set(fields) != CHECK:
            return _error("REQUEST_INVALID")
        mistake = self._number(fields)
        if mistake:
            return _error(mistake)
        if self.balance < COST:
            return _error("BALANCE_NOT_ENOUGH")
        self.balance -= COST
        request_id = f"{len(self._checked) + len(self._spent) + 1:016d}"
        self._checked[request_id] = fields["phone_number"]
        return self._status(request_id, fields["phone_number"])

    async def _message(self, fields: Fields) -> web.Response:
        mistake = self._mistake(fields)
        if mistake:
            return _error(mistake)
        request_id = fields["request_id"]
        del self._checked[request_id]
        self._spent.add(request_id)
        self._sent[request_id] = fields
        text = f"{fields['code']} is your code. Do not share it."
        said = {name: str(value) for name, value in fields.items()}
        await self.deliver(
            Sms(fields["phone_number"], text, request_id, fields.get("sender_username"), Channel.TELEGRAM, said)
        )
        return self._status(request_id, fields["phone_number"], delivery_status={"status": "sent", "updated_at": 1})

    def _number(self, fields: Fields) -> str:
        number = fields.get("phone_number")
        if not isinstance(number, str) or not re.fullmatch(r"\+[1-9]\d{6,14}", number):
            return "PHONE_NUMBER_INVALID"
        return "PHONE_NUMBER_NOT_FOUND" if number in self.strangers else ""

    def _mistake(self, fields: Fields) -> str:
        if set(fields) - SEND:
            return "REQUEST_INVALID"
        request_id = fields.get("request_id")
        if request_id in self._spent:
            return "MESSAGE_ALREADY_SENT"
        if request_id not in self._checked:
            return "REQUEST_ID_INVALID"
        if self._checked[str(request_id)] != fields.get("phone_number"):
            return "PHONE_NUMBER_MISMATCH"
        if not re.fullmatch(r"\d{4,8}", str(fields.get("code", ""))) or not isinstance(fields.get("code"), str):
            return "CODE_INVALID"
        if fields.get("sender_username", self.channel) != self.channel:
            return "SENDER_NOT_OWNED"
        ttl = fields.get("ttl")
        if type(ttl) is not int or not 30 <= ttl <= 3600:
            return "TTL_INVALID"
        url = str(fields.get("callback_url", "http://none"))
        if len(url.encode()) > 256 or not re.match(r"https?://\S+$", url):
            return "CALLBACK_URL_INVALID"
        return "PAYLOAD_INVALID" if len(str(fields.get("payload", "")).encode()) > 128 else ""

    def _status(self, request_id: str, number: str, **more: Any) -> web.Response:
        result = {"request_id": request_id, "phone_number": number, "request_cost": COST / 100, **more}
        return web.json_response({"ok": True, "result": result})


def _error(code: str) -> web.Response:
    return web.json_response({"ok": False, "error": code})
