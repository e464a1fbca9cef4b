"""Just enough HTTP/1.1 for known peers on loopback.

A general client and server cost more for each request than the floor does, so they would measure themselves. Here every
body has a Content-Length and at most one request is under way on a connection; anything else is refused.
"""

from __future__ import annotations

import asyncio
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

HOST = "127.0.0.1"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TYPE = re.compile(rb"\r\ncontent-type: *([^;\r]+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)

Answer = Callable[[str, dict[str, Any]], object]


class WireError(Exception):
    """The peer does what this wire does not speak, or has gone."""


class _Framed(asyncio.Protocol, ABC):
    """Cuts what arrives into messages of a head and a body."""

    def __init__(self) -> None:
        self._arrived = bytearray()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._arrived += data
        while (end := self._arrived.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._arrived[: end + 2])
            if _CHUNKED.search(head):
                raise WireError("a chunked body")
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._arrived) < whole:
                return
            body = bytes(self._arrived[end + 4 : whole])
            del self._arrived[:whole]
            self.take(head, body)

    @abstractmethod
    def take(self, head: bytes, body: bytes) -> None:
        """Take one message: its head and its body."""


class Line(_Framed):
    """A client's connection, kept alive; one request at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    @classmethod
    async def open(cls, port: int) -> Line:
        """Connect; raises OSError while nobody listens."""
        _, line = await asyncio.get_running_loop().create_connection(cls, HOST, port)
        return line

    async def post(self, path: str, body: bytes, headers: str = "") -> tuple[int, bytes]:
        """Send JSON; return status and body of the answer. Raises WireError when the connection ends."""
        self._answer = asyncio.get_running_loop().create_future()
        head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n{headers}"
        self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return await self._answer

    def take(self, head: bytes, body: bytes) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(WireError("the connection was closed"))

    def close(self) -> None:
        self.transport.close()


class _Served(_Framed):
    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._answer = answer

    def take(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1].decode()
        payload = json.dumps(self._answer(path, _fields(head, body))).encode()
        start = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
        self.transport.write(start + str(len(payload)).encode() + b"\r\n\r\n" + payload)


class Server:
    """Answers every request with JSON: `answer` gets its path and its fields, and must not wait."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._server: asyncio.Server | None = None
        self.base_url = ""

    async def start(self) -> None:
        """Listen; `base_url` is known afterwards."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Served(self._answer), HOST, 0, backlog=1024)
        self.base_url = f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Listen no longer. The contenders have ended before, and their connections with them."""
        if self._server:
            self._server.close()
            await self._server.wait_closed()


def _fields(head: bytes, body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    kind = _TYPE.search(head)
    if kind and kind[1].strip() == b"application/json":
        return dict(json.loads(body))
    if kind and kind[1].strip() == b"application/x-www-form-urlencoded":
        return dict(parse_qsl(body.decode()))
    raise WireError(f"a body of type {kind[1].decode() if kind else 'none'}")
