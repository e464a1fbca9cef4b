"""A server that speaks SMSC's protocol over real HTTP, stricter than the vendor, with every fault on demand."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from urllib.parse import urlencode

from aiohttp import web

from bot.sms_text import spare
from storage.models import Channel
from tests.fakes.vendor import FakeVendor, Fault, RawReport, Sms, digits

__all__ = ["ERRORS", "FakeSmsc", "Fault"]

CREDENTIALS = frozenset({"login", "psw", "apikey"})
KNOWN = CREDENTIALS | {"phones", "mes", "id", "sender", "charset", "fmt", "cost", "valid", "call", "param"}
ERRORS = {
    1: "wrong parameters",
    2: "wrong login or password",
    3: "not enough money",
    4: "IP address is temporarily blocked",
    5: "wrong date format",
    6: "message is denied",
    7: "wrong phone number format",
    8: "message can not be delivered",
    9: "duplicate request, wait a minute",
}


class FakeSmsc(FakeVendor):
    """The server. `cost` is what it says that a message costs; `secret` signs its reports."""

    paths = ("/sys/send.php",)

    def __init__(
        self, login: str = "shop", password: str = "secret-word", clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self.login = login
        self.password = password
        self.api_key = "key-" + password
        self.secret = "report-secret"
        self.cost = "4.1"
        self._clock = clock
        self._taken: dict[tuple[str, str], float] = {}
        self._ids = 0

    async def serve(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        error = self._mistake(request, form)
        if error:
            return self.refusal(error, request)
        key = (digits(form["phones"]), form["mes"])
        now = self._clock()
        if now - self._taken.get(key, float("-inf")) < 60:
            return self.refusal(9, request)
        self._taken[key] = now
        self._ids += 1
        number = int(form.get("id", self._ids))
        channel = Channel.VOICE if "call" in form else Channel.SMS
        await self.deliver(Sms("+" + key[0], form["mes"], number, form.get("sender"), channel, form))
        price = {"cost": self.cost, "balance": "83.6"} if "cost" in form else {}
        return web.json_response({"id": number, "cnt": 1} | price)

    def refusal(self, code: int | str, request: web.Request) -> web.Response:
        return web.json_response({"error": ERRORS.get(int(code), "unknown"), "error_code": code})

    def report(self, url: str, sms: Sms, status: int) -> RawReport:
        """Return the report of a status of this message, signed."""
        phone = digits(sms.number)
        form = {
            "id": str(sms.id), "phone": phone, "status": str(status), "time": "23.11.2026 15:00:00",
            "ts": "1795435200", "err": "0", "type": "0", "flag": "0",
            "md5": hashlib.md5(f"{sms.id}:{phone}:{status}:{self.secret}".encode()).hexdigest(),
        }  # fmt: skip
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return RawReport("POST", url, headers, urlencode(form).encode())

    def _mistake(self, request: web.Request, form: dict[str, str]) -> int:
        if request.method != "POST" or request.query_string or set(form) - KNOWN:
            return 1
        if form.get("charset") != "utf-8" or form.get("fmt") != "3" or form.get("cost", "3") != "3":
            return 1
        if not re.fullmatch(r"[1-9]\d{0,9}", form.get("id", "1")) or int(form.get("id", "1")) > 2**31 - 1:
            return 1
        if _wrong_content(form):
            return 1
        given = {name: form[name] for name in CREDENTIALS & set(form)}
        if given not in ({"login": self.login, "psw": self.password}, {"apikey": self.api_key}):
            return 2
        return 0 if re.fullmatch(r"\+?[1-9]\d{9,14}", form.get("phones", "")) else 7


def _wrong_content(form: dict[str, str]) -> bool:
    """Tell whether the message itself breaks a rule: the vendor would cut, split or ignore it."""
    text = form.get("mes", "")
    if not text.strip() or len(text) > 1000:
        return True
    if "call" in form:
        # A call comes from a number, lives by its own tries, and says "code" to have the vendor make one up.
        param = re.fullmatch(r"(\d+),(\d+),(\d)", form.get("param", "25,10,8"))
        tries = param and 10 <= int(param[1]) <= 35 and 10 <= int(param[2]) <= 3600 and 1 <= int(param[3]) <= 9
        return form["call"] != "1" or not tries or text.strip() == "code" or bool({"sender", "valid"} & set(form))
    valid = re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d|24:00", form.get("valid", "24:00"))
    sender = re.fullmatch(r"[ -~]{1,15}", form.get("sender", "x"))
    return not valid or form.get("valid") == "00:00" or not sender or "param" in form or spare(text) < 0
