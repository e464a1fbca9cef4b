"""A server that speaks SMS Aero's API v2 over real HTTP, stricter than the vendor, with every fault on demand."""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from bot.sms_text import spare
from tests.fakes.vendor import FakeVendor, RawReport, Sms

KNOWN = frozenset({"number", "sign", "text", "callbackUrl"})
STATES = {0: "queue", 1: "delivery", 2: "undelivery", 3: "transmission", 4: "wait", 6: "reject", 8: "moderation"}
# What it says besides wrong fields, each by a name of this fake's own.
REFUSALS: dict[str, dict[str, Any]] = {
    "no credits": {"result": "no credits"},
    "no money": {"success": False, "data": None, "message": "Not enough money."},
    "black list": {"result": "reject", "reason": "number in blacklist"},
    "sender": {"result": "reject", "reason": "incorrect sender name"},
    "destination": {"result": "reject", "reason": "incorrect destination address"},
    "user": {"result": "reject", "reason": "incorrect user or password"},
    "rejected": {"result": "reject", "reason": "something else"},
    "new": {"success": False, "data": None, "message": "Never heard of."},
}


class FakeSmsAero(FakeVendor):
    """The server. `states` says what has become of a message, by its id."""

    paths = ("/v2/sms/send", "/v2/sms/status")

    def __init__(self, email: str = "shop@example.com", api_key: str = "secret-key", sign: str = "SMS Aero") -> None:
        super().__init__()
        self.email = email
        self.api_key = api_key
        self.sign = sign
        self.states: dict[int, int] = {}
        self.first_state = 0
        self.cost: Any = 5.49

    async def serve(self, request: web.Request) -> web.Response:
        given = base64.b64encode(f"{self.email}:{self.api_key}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {given}":
            words = "Your request was made with invalid credentials."
            return web.json_response({"success": False, "data": None, "message": words}, status=401)
        if request.method != "POST" or request.content_type != "application/json" or request.query_string:
            return web.json_response({"success": False, "data": None, "message": "Not found"}, status=404)
        fields = json.loads(await request.read())
        return await (self._taken(fields) if request.path.endswith("/send") else self._told(fields))

    def refusal(self, code: int | str, request: web.Request) -> web.Response:
        """Refuse by a name of REFUSALS, or by the name of a field (`number: incorrect`)."""
        if code in REFUSALS:
            return web.json_response(REFUSALS[str(code)])
        name, _, reason = str(code).partition(": ")
        return _invalid({name: [reason or "incorrect"]})

    def report(self, sms: Sms, status: int, *, as_json: bool = False) -> RawReport:
        """Return the report of a status of this message, to the address that its sender gave."""
        self.states[int(sms.id)] = status
        told = {"id": sms.id, "status": status, "extendStatus": STATES[status], "dateAnswer": 1795435200}
        headers = {"Content-Type": "application/json" if as_json else "application/x-www-form-urlencoded"}
        body = json.dumps(told) if as_json else urlencode(told)
        return RawReport("POST", sms.fields["callbackUrl"], headers, body.encode())

    async def _taken(self, fields: dict[str, Any]) -> web.Response:
        wrong = self._mistakes(fields)
        if wrong:
            return _invalid({name: ["incorrect"] for name in sorted(wrong)})
        number = 381_000_000 + len(self.messages)
        self.states.setdefault(number, self.first_state)
        await self.deliver(Sms("+" + fields["number"], fields["text"], number, fields["sign"], fields=fields))
        return web.json_response({"success": True, "data": self._message(number), "message": None})

    async def _told(self, fields: dict[str, Any]) -> web.Response:
        if set(fields) != {"id"} or fields["id"] not in self.states:
            return _invalid({"id": ["incorrect"]})
        return web.json_response({"success": True, "data": self._message(fields["id"]), "message": None})

    def _message(self, number: int) -> dict[str, Any]:
        state = self.states[number]
        return {
            "id": number, "from": self.sign, "status": state, "extendStatus": STATES[state], "channel": "FREE SIGN",
            "cost": self.cost, "dateCreate": 1795435200, "dateSend": 1795435200,
        }  # fmt: skip

    def _mistakes(self, fields: dict[str, Any]) -> set[str]:
        wrong = set(fields) - KNOWN
        texts = {name: value if isinstance(value, str) else "" for name, value in fields.items()}
        if not re.fullmatch(r"[1-9]\d{9,14}", texts.get("number", "")):
            wrong.add("number")
        if texts.get("sign") != self.sign:
            wrong.add("sign")
        if not texts.get("text", "").strip() or spare(texts["text"]) < 0:
            wrong.add("text")
        if not re.match(r"https?://", texts.get("callbackUrl", "https://")):
            wrong.add("callbackUrl")
        return wrong


def _invalid(data: dict[str, Any]) -> web.Response:
    return web.json_response({"success": False, "data": data, "message": "Validation error."}, status=400)
