"""A server that speaks SMS.ru's protocol over real HTTP, stricter than the vendor, with every fault on demand."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any
from urllib.parse import quote_plus

from aiohttp import web

from bot.sms_text import spare
from tests.fakes.vendor import FakeVendor, RawReport, Sms

KNOWN = frozenset({"api_id", "to", "msg", "from", "ttl", "json"})
# Said of the request as a whole; every other code is said of the number.
OF_THE_REQUEST = frozenset({200, 201, 206, 210, 211, 220, 300, 301, 302, 500})
TO = web.RequestKey("to", str)


class FakeSmsRu(FakeVendor):
    """The server. `senders` are those agreed for the account."""

    paths = ("/sms/send",)

    def __init__(self, api_id: str = "A-1-B-2", clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.api_id = api_id
        self.senders = {"SHOP"}
        self._clock = clock
        self._taken: dict[tuple[str, str], float] = {}

    async def serve(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        code = self._mistake(request, form)
        if code:
            return self.refusal(code, request)
        key = (form["to"], form["msg"])
        now = self._clock()
        if now - self._taken.get(key, float("-inf")) < 60:
            return self.refusal(231, request)
        self._taken[key] = now
        sms_id = f"202648-1{len(self.messages):06}"
        await self.deliver(Sms("+" + form["to"], form["msg"], sms_id, form.get("from"), fields=form))
        return _answer(100, {form["to"]: {"status": "OK", "status_code": 100, "sms_id": sms_id}})

    def refusal(self, code: int | str, request: web.Request) -> web.Response:
        if int(code) in OF_THE_REQUEST:
            return web.json_response({"status": "ERROR", "status_code": code, "status_text": "no"})
        message = {"status": "ERROR", "status_code": code, "status_text": "no", "sms_id": "202648-1000000"}
        return _answer(100, {request[TO]: message})

    def report(self, url: str, *entries: str) -> RawReport:
        """Return a report with these entries, signed."""
        parts = [f"data%5B{n}%5D={quote_plus(entry)}" for n, entry in enumerate(entries)]
        digest = sha256(self.api_id.encode())
        for entry in entries:
            digest.update(entry.encode())
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return RawReport("POST", url, headers, "&".join([*parts, f"hash={digest.hexdigest()}"]).encode())

    async def _send(self, request: web.Request) -> web.StreamResponse:
        request[TO] = str((await request.post()).get("to", ""))
        return await super()._send(request)

    def _mistake(self, request: web.Request, form: dict[str, str]) -> int:
        if request.method != "POST":
            return 210
        if form.get("api_id") != self.api_id:
            return 200
        if set(form) - KNOWN or request.query_string or form.get("json") != "1":
            return 211
        if not re.fullmatch(r"[1-9]\d{9,14}", form.get("to", "")):
            return 202
        if "from" in form and form["from"] not in self.senders:
            return 204
        if not re.fullmatch(r"[1-9]\d{0,3}", form.get("ttl", "1")) or int(form.get("ttl", "1")) > 1440:
            return 208
        if not form.get("msg", "").strip():
            return 203
        return 205 if spare(form["msg"]) < 0 else 0


def status(sms_id: int | str, code: int, moment: float) -> str:
    """Return one entry of a report: what became of a message at a moment (Unix time)."""
    return f"sms_status\n{sms_id}\n{code}\n{int(moment)}"


def _answer(code: int, messages: dict[str, Any]) -> web.Response:
    return web.json_response({"status": "OK", "status_code": code, "sms": messages, "balance": 1000.0})
