"""A CRM: its webhook is written with the public `standardwebhooks` package and takes nothing that is not signed."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from jsonschema import Draft202012Validator, FormatChecker
from standardwebhooks import Webhook, WebhookVerificationError

import bot.gateways
from storage.clock import Clock
from tests.waiting import until

SECRET = "whsec_" + "dGhlIGZpcnN0IHNlY3JldCBvZiB0aGUgdGVzdHM="
NEW_SECRET = "whsec_" + "dGhlIHNlY29uZCBzZWNyZXQgb2YgdGhlIHRlc3Rz"
SCHEMA = json.loads((Path(bot.gateways.__path__[0]) / "crm_events.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
_TOLERANCE = timedelta(minutes=5)


class VerifierAt(Webhook):
    """The package's verification at the tests' time, which they move by days."""

    def __init__(self, secret: str, clock: Clock) -> None:
        super().__init__(secret)
        self._clock = clock

    def _Webhook__verify_timestamp(self, header: str) -> datetime:
        moment = datetime.fromtimestamp(float(header), tz=UTC)
        if abs(moment - self._clock.now()) > _TOLERANCE:
            raise WebhookVerificationError("Message timestamp too old or too new")
        return moment


@dataclass(frozen=True)
class Call:
    """One call, verified. `status`: what it was answered."""

    id: str
    body: bytes
    status: int
    at: datetime
    signatures: int
    event: dict[str, Any] = field(repr=False)

    @property
    def type(self) -> str:
        return str(self.event["type"])

    @property
    def account_id(self) -> str:
        return str(self.event["data"]["account_id"])


@dataclass
class Answer:
    """What one call is answered. `drop` closes the connection instead; `pieces`: one byte after the other."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    body: bytes = b""
    pieces: bool = False

    def response(self) -> web.Response:
        return web.Response(status=self.status, headers=self.headers, body=self.body)


async def _in_pieces(request: web.Request, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status)
    await response.prepare(request)
    for byte in answer.body:
        await response.write(bytes([byte]))
        # Each in a packet of its own.
        await asyncio.sleep(0.002)
    return response


class FakeCrm:
    """`answers` are served first in, first out, then `always`. `answering`: calls are held until it is set.

    Asked at `lookup_url`, it says that `known` numbers and addresses exist; its answers there are `lookup_answers`
    first, and it holds a question until `looking_up` is set.
    """

    def __init__(self, clock: Clock, *secrets: str) -> None:
        self.clock = clock
        self.verifiers = [VerifierAt(secret, clock) for secret in secrets or (SECRET,)]
        self.calls: list[Call] = []
        self.mistakes: list[str] = []
        self.answers: deque[Answer] = deque()
        self.always = Answer()
        self.decide: Callable[[dict[str, Any]], Answer | None] = lambda event: None
        self.answering = asyncio.Event()
        self.answering.set()
        self.waiting = 0
        self.known: set[str] = set()
        self.looked_up: list[str] = []
        self.lookup_answers: deque[Answer] = deque()
        self.looking_up = asyncio.Event()
        self.looking_up.set()
        self.url = self.lookup_url = ""
        self._ids: set[str] = set()
        self._runner: web.AppRunner | None = None

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen; `url` is known afterwards."""
        app = web.Application(client_max_size=20_000)
        app.router.add_post("/hooks/bot", self._take)
        app.router.add_post("/lookup", self._look_up)
        app.router.add_route("*", "/elsewhere", self._elsewhere)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls).start()
        base = f"http{'s' if tls else ''}://127.0.0.1:{self._runner.addresses[0][1]}"
        self.url, self.lookup_url = f"{base}/hooks/bot", f"{base}/lookup"

    async def stop(self) -> None:
        """Stop listening; raises AssertionError when anything was wrong with any call."""
        self.answering.set()
        self.looking_up.set()
        if self._runner is not None:
            await self._runner.cleanup()
        assert self.mistakes == []

    @property
    def taken(self) -> list[Call]:
        """The calls that were answered 2xx."""
        return [call for call in self.calls if 200 <= call.status < 300]

    @property
    def learnt(self) -> list[tuple[str, str]]:
        """What the CRM knows: each id once, as (type, account), in the order it came."""
        return list({call.id: (call.type, call.account_id) for call in self.taken}.values())

    def tries(self) -> Counter[str]:
        """How often each id was sent."""
        return Counter(call.id for call in self.calls)

    async def has_taken(self, count: int, seconds: float = 20) -> list[Call]:
        """Wait until so many calls were taken."""
        await until(lambda: len(self.taken) >= count, seconds)
        return self.taken

    async def _elsewhere(self, request: web.Request) -> web.Response:
        self.mistakes.append("a redirect was followed")
        return web.Response()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        event, signatures = self._verified(body, dict(request.headers))
        if event is None:
            self.mistakes.append("a call was not signed")
            return web.Response(status=401)
        self.mistakes += [error.message for error in VALIDATOR.iter_errors(event)]
        if request.content_type != "application/json":
            self.mistakes.append(f"the content is {request.content_type}")
        self.waiting += 1
        await self.answering.wait()
        self.waiting -= 1
        answer = self.answers.popleft() if self.answers else self.decide(event) or self.always
        status = 0 if answer.drop else answer.status
        header = request.headers["webhook-id"]
        self.calls.append(Call(header, body, status, self.clock.now(), signatures, event))
        if answer.drop and request.transport is not None:
            request.transport.close()
        return answer.response()

    async def _look_up(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        asked, _ = self._verified(body, dict(request.headers))
        if asked is None:
            self.mistakes.append("a question was not signed")
            return web.Response(status=401)
        ((name, value),) = asked.items()
        if not re.fullmatch({"phone": r"\+[1-9]\d{6,14}", "email": r"[^@A-Z\s]+@[^@A-Z\s]+"}.get(name, "$^"), value):
            self.mistakes.append(f"{name} is not as it must be")
        if request.content_type != "application/json":
            self.mistakes.append(f"the content is {request.content_type}")
        if request.headers["webhook-id"] in self._ids:
            self.mistakes.append("a question has the id of another")
        self._ids.add(request.headers["webhook-id"])
        self.looked_up.append(value)
        await self.looking_up.wait()
        if not self.lookup_answers:
            return web.json_response({"exists": value in self.known})
        answer = self.lookup_answers.popleft()
        if answer.drop and request.transport is not None:
            request.transport.close()
        return await _in_pieces(request, answer) if answer.pieces else answer.response()

    def _verified(self, body: bytes, headers: dict[str, str]) -> tuple[dict[str, Any] | None, int]:
        count = len(headers.get("webhook-signature", "").split())
        for verifier in self.verifiers:
            try:
                event: dict[str, Any] = verifier.verify(body, headers)
            except WebhookVerificationError:
                continue
            return event, count
        return None, count
