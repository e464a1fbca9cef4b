"""A server that speaks SMSC's protocol over real HTTP, stricter than the vendor, with every fault on demand."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KNOWN = frozenset({"login", "psw", "apikey", "phones", "mes", "id", "sender", "charset", "fmt"})
ERRORS = {
    1: "wrong parameters",
    2: "wrong login or password",
    3: "not enough money",
    4: "IP address is temporarily blocked",
    5: "wrong date format",
    6: "message is denied",
    7: "wrong phone number format",
    8: "message can not be delivered",
    9: "too many identical requests",
}


@dataclass(frozen=True)
class Fault:
    """What one answer does instead. `takes`: the message is delivered all the same, before the fault shows."""

    error_code: int | None = None
    status: int = 200
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False
    takes: bool = False


@dataclass(frozen=True)
class Sms:
    """One delivered message."""

    number: str
    text: str
    id: int
    sender: str | None


class FakeSmsc:
    """The server: `faults` are served first in, first out; `always` to every request that has none of its own."""

    def __init__(
        self, login: str = "shop", password: str = "secret-word", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.login = login
        self.password = password
        self.api_key = "key-" + password
        self.messages: list[Sms] = []
        self.requests = 0
        self.faults: deque[Fault] = deque()
        self.always: Fault | None = None
        self._clock = clock
        self._taken: dict[tuple[str, str], float] = {}
        self._by_number: defaultdict[str, list[str]] = defaultdict(list)
        self._changed = asyncio.Condition()
        self._ids = 0
        self._runner: web.AppRunner | None = None
        self.base_url = ""

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; `base_url` is known afterwards."""
        app = web.Application()
        app.router.add_route("*", "/sys/send.php", self._send)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.base_url = f"http://{host}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    def inbox(self, number: str) -> list[str]:
        """Return the texts that reached `number` (any spelling of its digits), oldest first."""
        return list(self._by_number[_digits(number)])

    def code_for(self, number: str) -> str:
        """Return the code in the newest message to `number`; raises LookupError when there is none."""
        texts = self.inbox(number)
        found = re.search(r"(?<!\d)\d{6}(?!\d)", texts[-1]) if texts else None
        if found is None:
            raise LookupError(f"no code has reached {number}: {texts}")
        return found[0]

    async def wait_for(self, number: str, count: int = 1, timeout: float = 10.0) -> list[str]:
        """Return the inbox of `number` once it holds `count` messages; raises TimeoutError."""
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: len(self._by_number[_digits(number)]) >= count)
        return self.inbox(number)

    async def _send(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        form = {name: str(value) for name, value in (await request.post()).items()}
        fault = self.faults.popleft() if self.faults else self.always
        if fault is None:
            return await self._serve(request, form)
        if fault.takes:
            await self._serve(request, form)
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.drop:
            assert request.transport is not None
            request.transport.abort()
        if fault.error_code is not None:
            return _answer(fault.error_code)
        if fault.body is not None or fault.status != 200:
            return web.Response(status=fault.status, body=fault.body or b"", headers=fault.headers)
        return _accepted(0)

    async def _serve(self, request: web.Request, form: dict[str, str]) -> web.Response:
        error = self._mistake(request, form)
        if error:
            return _answer(error)
        key = (_digits(form["phones"]), form["mes"])
        now = self._clock()
        if now - self._taken.get(key, float("-inf")) < 60:
            return _answer(9)
        self._taken[key] = now
        self._ids += 1
        number = int(form.get("id", self._ids))
        async with self._changed:
            self.messages.append(Sms("+" + key[0], form["mes"], number, form.get("sender")))
            self._by_number[key[0]].append(form["mes"])
            self._changed.notify_all()
        return _accepted(number)

    def _mistake(self, request: web.Request, form: dict[str, str]) -> int:
        if request.method != "POST" or request.query_string or set(form) - KNOWN:
            return 1
        if form.get("charset") != "utf-8" or form.get("fmt") != "3" or not form.get("mes", "").strip():
            return 1
        if not re.fullmatch(r"[1-9]\d{0,9}", form.get("id", "1")) or int(form.get("id", "1")) > 2**31 - 1:
            return 1
        if len(form["mes"]) > 1000 or not re.fullmatch(r"[ -~]{1,15}", form.get("sender", "x")):
            return 1
        given = {name: form[name] for name in ("login", "psw", "apikey") if name in form}
        if given not in ({"login": self.login, "psw": self.password}, {"apikey": self.api_key}):
            return 2
        return 0 if re.fullmatch(r"\+?[1-9]\d{9,14}", form.get("phones", "")) else 7


def _digits(number: str) -> str:
    return re.sub(r"\D", "", number)


def _answer(error_code: int) -> web.Response:
    return web.json_response({"error": ERRORS.get(error_code, "unknown"), "error_code": error_code})


def _accepted(number: int) -> web.Response:
    body: dict[str, Any] = {"id": number, "cnt": 1}
    return web.json_response(body)
