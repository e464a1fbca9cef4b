"""One bound SMPP connection: answers find their requests, both sides ask whether the other still lives.

The session of `smpp34` is not used: it says "timed out" of a refused bind as of a silent server, cannot tell what was
lost before it left from what was lost afterwards, and acknowledges a delivery receipt before anybody has kept it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.gateways import smpp_pdu
from bot.gateways.smpp_pdu import HEADER, RESPONSE, Command, Status

log = logging.getLogger(__name__)

# Bytes: a submit_sm is under 400, a deliver_sm with all its optional parameters a few thousand.
_LONGEST_PDU = 64 * 1024
# Receipts that wait to be kept; the SMS centre is told to come again with the rest.
_RECEIPTS = 500
# Seconds: a process that is told to end has five, for everything.
_FAREWELL = 1.0
_SEQUENCES = 0x7FFF_FFFF

Deliver = Callable[[bytes], Awaitable[int]]


@dataclass(frozen=True, repr=False)
class Account:
    """Where and as whom to bind. No repr: it must not get into a log."""

    host: str
    port: int
    tls: bool
    system_id: str
    password: str


@dataclass(frozen=True)
class Answer:
    """What the other side answered to a request. `status`: its command_status; `body`: what follows the header."""

    status: int
    body: bytes


class BindRefused(Exception):
    """The SMS centre does not let us in. `status`: its command_status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"bind refused with status {status:#x}")
        self.status = status


class Session:
    """One connection. `ended` is set when it is over, whoever ended it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        deliver: Deliver,
        enquire_every: float,
        patience: float,
    ) -> None:
        self.ended = asyncio.Event()
        self._reader = reader
        self._writer = writer
        self._deliver = deliver
        self._enquire_every = enquire_every
        self._patience = patience
        self._sequence = 0
        self._waiting: dict[int, asyncio.Future[Answer | None]] = {}
        self._receipts: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(_RECEIPTS)
        work = {"read": self._read(), "enquire": self._enquire(), "receipts": self._keep_receipts()}
        self._tasks = [asyncio.create_task(task, name=f"smpp {name}") for name, task in work.items()]

    async def request(self, build: Callable[[int], bytes]) -> Answer | None:
        """Send what `build` makes of a sequence number; return the answer, None when the connection was lost first.

        Raises ConnectionError when the connection was lost before, so that the request never left.
        """
        if self.ended.is_set():
            raise ConnectionError("the connection was lost")
        self._sequence = self._sequence % _SEQUENCES + 1
        sequence = self._sequence
        whole = build(sequence)
        waiting: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._waiting[sequence] = waiting
        try:
            self._writer.write(whole)
            return await waiting
        finally:
            del self._waiting[sequence]

    async def close(self) -> None:
        """Unbind, if there is anybody to say it to, and close the connection."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_FAREWELL):
                await self.request(lambda sequence: smpp_pdu.pdu(Command.UNBIND, sequence))
        self.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def abort(self) -> None:
        """Close the connection at once, without a word."""
        # Not a close: what is still unwritten would hold the connection open towards a dead peer.
        self._writer.transport.abort()
        self._end()

    def _end(self) -> None:
        if self.ended.is_set():
            return
        self.ended.set()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    async def _read(self) -> None:
        try:
            while not self.ended.is_set():
                head = await self._reader.readexactly(HEADER.size)
                length, command, status, sequence = HEADER.unpack(head)
                if not HEADER.size <= length <= _LONGEST_PDU:
                    log.warning("the SMS centre does not speak SMPP: a length of %d", length)
                    break
                body = await self._reader.readexactly(length - HEADER.size)
                self._take(command, status, sequence, head + body)
        except (asyncio.IncompleteReadError, OSError):
            log.info("the connection to the SMS centre was closed")
        finally:
            self._writer.close()
            self._end()

    def _take(self, command: int, status: int, sequence: int, whole: bytes) -> None:
        if command & RESPONSE:
            waiting = self._waiting.get(sequence)
            if waiting is not None and not waiting.done():
                waiting.set_result(Answer(status, whole[HEADER.size :]))
        elif command == Command.DELIVER:
            try:
                self._receipts.put_nowait((sequence, whole))
            except asyncio.QueueFull:
                self._acknowledge(sequence, Status.QUEUE_FULL)
        elif command == Command.ENQUIRE_LINK:
            self._writer.write(smpp_pdu.pdu(command | RESPONSE, sequence))
        elif command == Command.UNBIND:
            self._writer.write(smpp_pdu.pdu(command | RESPONSE, sequence))
            self._writer.close()
            self._end()
        else:
            self._writer.write(smpp_pdu.pdu(Command.GENERIC_NACK, sequence, Status.UNKNOWN_COMMAND))

    async def _enquire(self) -> None:
        """End a connection that is open but dead: only asking shows it (7.2, enquire_link_timer)."""
        while True:
            await asyncio.sleep(self._enquire_every)
            try:
                async with asyncio.timeout(self._patience):
                    await self.request(lambda sequence: smpp_pdu.pdu(Command.ENQUIRE_LINK, sequence))
            except TimeoutError:
                log.warning("the SMS centre does not answer any more")
                self.abort()
                return

    async def _keep_receipts(self) -> None:
        """Acknowledge each receipt when it was kept, in their order and beside the reading."""
        while True:
            sequence, whole = await self._receipts.get()
            self._acknowledge(sequence, await self._deliver(whole))

    def _acknowledge(self, sequence: int, status: int) -> None:
        # The message_id of a deliver_sm_resp is unused and empty (4.6.2).
        self._writer.write(smpp_pdu.pdu(Command.DELIVER | RESPONSE, sequence, status, b"\0"))


async def bound(account: Account, deliver: Deliver, *, enquire_every: float, patience: float) -> Session:
    """Connect and bind. Raises BindRefused, ssl.SSLError, OSError; the caller bounds how long it takes.

    `deliver` gets each whole deliver_sm and returns the command_status to answer. `enquire_every` and `patience` are
    seconds: between two questions whether the other side lives, and how long it may take to answer.
    """
    context = ssl.create_default_context() if account.tls else None
    reader, writer = await asyncio.open_connection(account.host, account.port, ssl=context)
    session = Session(reader, writer, deliver, enquire_every, patience)
    try:
        answer = await session.request(
            lambda sequence: smpp_pdu.bind_transceiver(sequence, account.system_id, account.password)
        )
        if answer is None:
            raise ConnectionError("closed before the bind was answered")
        if answer.status != Status.OK:
            raise BindRefused(answer.status)
    except BaseException:
        session.abort()
        raise
    return session
