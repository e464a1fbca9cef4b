"""What the fake vendors share: real HTTP, faults on demand, the inboxes of the telephones, reports as they are sent."""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

import aiohttp
from aiohttp import web

from handlers.ports import ReportRequest
from storage.models import Channel


@dataclass(frozen=True)
class Fault:
    """What one answer does instead. `takes`: the message is delivered all the same, before the fault shows.

    `path`: only a request whose path ends so meets it.
    """

    error_code: int | str | None = None
    status: int = 200
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False
    takes: bool = False
    path: str = ""


@dataclass(frozen=True)
class Sms:
    """One delivered message. `number` has its plus; `fields` is everything that the request said."""

    number: str
    text: str
    id: int | str
    sender: str | None
    channel: Channel = Channel.SMS
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RawReport:
    """A delivery report as it leaves the vendor."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    def request(self) -> ReportRequest:
        """Return what the bot's route makes of it: the secret is what follows `/reports/<name>/`."""
        parts = urlsplit(self.url)
        segments = parts.path.split("/reports/")[-1].split("/")
        return ReportRequest(
            method=self.method,
            url=self.url,
            path_secret=segments[1] if len(segments) > 1 else "",
            headers={name.lower(): value for name, value in self.headers.items()},
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            body=self.body,
        )

    async def send(self) -> tuple[int, str]:
        """Send it by HTTP; return the status and the body of the answer."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(self.method, self.url, headers=self.headers, data=self.body) as response,
        ):
            return response.status, await response.text()


class FakeVendor(ABC):
    """The server: `faults` are served first in, first out; `always` to every request that has none of its own."""

    # The paths of the vendor's API, as patterns of aiohttp.
    paths: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        self.messages: list[Sms] = []
        self.requests = 0
        self.faults: deque[Fault] = deque()
        self.always: Fault | None = None
        self.base_url = ""
        self._by_number: defaultdict[str, list[str]] = defaultdict(list)
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    @abstractmethod
    async def serve(self, request: web.Request) -> web.Response:
        """Answer as the vendor does, strictly; what it takes goes to `deliver`."""

    @abstractmethod
    def refusal(self, code: int | str, request: web.Request) -> web.Response:
        """Return the vendor's answer with this error code of its own."""

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; `base_url` is known afterwards."""
        app = web.Application()
        for path in self.paths:
            app.router.add_route("*", path, self._send)
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
        return list(self._by_number[digits(number)])

    def code_for(self, number: str) -> str:
        """Return the code in the newest message to `number`, spelled or not; LookupError when there is none."""
        texts = self.inbox(number)
        newest = texts[-1] if texts else ""
        written = re.search(r"(?<!\d)\d{6}(?!\d)", newest)
        spelled = re.search(r"(?<!\d)\d(?:[ ,.…-]+\d){5}(?!\d)", newest)
        found = written or spelled
        if found is None:
            raise LookupError(f"no code has reached {number}: {texts}")
        return digits(found[0])

    async def wait_for(self, number: str, count: int = 1, timeout: float = 10.0) -> list[str]:
        """Return the inbox of `number` once it holds `count` messages; raises TimeoutError."""
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: len(self._by_number[digits(number)]) >= count)
        return self.inbox(number)

    async def deliver(self, message: Sms) -> None:
        """Let the telephone have the message."""
        async with self._changed:
            self.messages.append(message)
            self._by_number[digits(message.number)].append(message.text)
            self._changed.notify_all()

    async def _send(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        await request.read()
        fault = self._fault_for(request)
        if fault is None:
            return await self.serve(request)
        answer = await self.serve(request) if fault.takes else None
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.drop:
            assert request.transport is not None
            request.transport.abort()
        if fault.error_code is not None:
            return self.refusal(fault.error_code, request)
        if fault.body is not None or fault.status != 200:
            return web.Response(status=fault.status, body=fault.body or b"", headers=fault.headers)
        # Not `or`: a response without headers of its own counts as empty.
        return web.Response() if answer is None else answer

    def _fault_for(self, request: web.Request) -> Fault | None:
        for fault in self.faults:
            if request.path.endswith(fault.path):
                self.faults.remove(fault)
                return fault
        return self.always


def digits(number: str) -> str:
    """Return the digits of a number alone."""
    return re.sub(r"\D", "", number)
