"""One connection to a Redis server that everybody shares: commands go out together, answers come back in order.

Commands given in one turn of the event loop are written by one system call, and one read brings many answers: about a
third of what a pool of connections with one command each costs in processor time.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import hiredis
from redis.asyncio.connection import DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

# Returns a command as it goes over the wire; the package's own annotation is of a tuple of one.
pack = cast(Callable[[tuple[str | int, ...]], bytes], hiredis.pack_command)
_UNFINISHED = object()


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is and how to be let in. `path` is a unix socket's; host and port count when it is None."""

    path: str | None
    host: str
    port: int
    tls: ssl.SSLContext | None
    # TCP keep-alive: seconds and counts by the option's number, see tcp(7).
    keep_alive: Mapping[int, int]
    # Sent at the beginning, in this order: AUTH, SELECT and the like.
    greeting: tuple[tuple[str, ...], ...] = field(repr=False)

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path is not None else f"{self.host}:{self.port}"


class Connection(asyncio.Protocol):
    """An open connection, or one that has ended: `ended` says so, and then it is of no use any more.

    `answer_within` is in seconds and counts from the sending of each command.
    """

    def __init__(self, answer_within: float) -> None:
        """Wait for `connection_made`; made by `connect`."""
        self._loop = asyncio.get_running_loop()
        self._answer_within = answer_within
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=DefaultParser.parse_error,
            encoding="utf-8",
            # Whoever put something else there: a value that cannot be read must not cost everybody the connection.
            errors="replace",
            notEnoughData=_UNFINISHED,
        )
        self._transport: asyncio.Transport | None = None
        self._outgoing: list[bytes] = []
        # Who waits for the next answers, in their order, and until when.
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._gone = asyncio.Event()
        self.ended = False

    def send(self, command: bytes) -> asyncio.Future[Any]:
        """Send a packed command; returns its answer: text, int, list or None.

        The future raises the server's refusal as redis' exception, TimeoutError when there was no answer in time,
        ConnectionError when the connection ended before. Cancelling it is safe: its answer is read and dropped.
        """
        future = self._loop.create_future()
        if self.ended:
            future.set_exception(RedisConnectionError("the connection has ended"))
            return future
        self._waiting.append((future, self._loop.time() + self._answer_within))
        if not self._outgoing:
            self._loop.call_soon(self._write)
        self._outgoing.append(command)
        if self._alarm is None:
            self._alarm = self._loop.call_later(self._answer_within, self._look_at_the_clock)
        return future

    def end(self, error: RedisError) -> None:
        """Cut the connection; whoever waits for an answer gets an error like this one."""
        if self.ended:
            return
        self.ended = True
        self._outgoing.clear()
        if self._alarm is not None:
            self._alarm.cancel()
        if self._transport is not None:
            self._transport.abort()
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                # Each its own: a raised exception collects the places it went through.
                future.set_exception(type(error)(*error.args))

    def keep_alive(self, options: Mapping[int, int]) -> None:
        """Have the system notice when the other side is gone without a word, and firewalls know that we are not."""
        if self._transport is not None:
            endpoint = self._transport.get_extra_info("socket")
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in options.items():
                endpoint.setsockopt(socket.IPPROTO_TCP, option, value)

    async def gone(self) -> None:
        """Wait until the socket is closed."""
        await self._gone.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._gone.set()
        self.end(RedisConnectionError(f"the server closed the connection ({exc or 'end of file'})"))

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self.ended:
            return
        read_only = False
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not _UNFINISHED:
                future, _ = self._waiting.popleft()
                if future.done():
                    continue
                if isinstance(answer, RedisError):
                    future.set_exception(answer)
                    read_only = read_only or isinstance(answer, ReadOnlyError)
                else:
                    future.set_result(answer)
        except (InvalidResponse, IndexError) as error:
            self.end(RedisConnectionError(f"the server does not speak Redis' protocol: {type(error).__name__}"))
            return
        if read_only:
            # The name may lead to another server by now, the one that took over.
            self.end(RedisConnectionError("the server became read-only"))

    def _write(self) -> None:
        if self._outgoing and self._transport is not None:
            self._transport.write(b"".join(self._outgoing))
            self._outgoing.clear()

    def _look_at_the_clock(self) -> None:
        self._alarm = None
        if not self._waiting:
            return
        # Answers come in order, so nobody has waited for longer than the first.
        _, until = self._waiting[0]
        if self._loop.time() >= until:
            # A late answer would be taken for the next one's.
            self.end(RedisTimeoutError(f"no answer within {self._answer_within:g} s"))
        else:
            self._alarm = self._loop.call_at(until, self._look_at_the_clock)


async def connect(address: Address, *, within: float, answer_within: float) -> Connection:
    """Return an open connection that was let in, `within` so many seconds.

    Raises redis' ConnectionError, its AuthenticationError, its TimeoutError, or what the server said to SELECT.
    """
    loop = asyncio.get_running_loop()
    connection = Connection(answer_within)
    try:
        async with asyncio.timeout(within):
            if address.path is not None:
                await loop.create_unix_connection(lambda: connection, address.path)
            else:
                await loop.create_connection(lambda: connection, address.host, address.port, ssl=address.tls)
                connection.keep_alive(address.keep_alive)
            await _greet(connection, address.greeting)
    except TimeoutError as error:
        # redis.TimeoutError is none of Python's: an answer that is missing comes through as it is.
        connection.end(RedisConnectionError("given up"))
        raise RedisTimeoutError(f"{address} does not let us in within {within:g} s") from error
    except OSError as error:
        connection.end(RedisConnectionError("given up"))
        raise RedisConnectionError(f"{address} cannot be reached: {error}") from error
    except BaseException:
        connection.end(RedisConnectionError("given up"))
        raise
    return connection


async def _greet(connection: Connection, greeting: Sequence[tuple[str, ...]]) -> None:
    answers = [connection.send(pack(command)) for command in greeting]
    for result in await asyncio.gather(*answers, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
