"""An SMS centre: the server of `smpp34` behind a front that is strict, refuses, delays and drops on demand.

The front reads the wire by itself, field by field, so that a mistake in what the library writes cannot hide in what it
reads. Whatever it lets through is answered by the library's server, which also sends the delivery receipts.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import defaultdict, deque
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

from smpp34 import Esme, Server, SubmitSmEvent, Tlv, Unbound

from tests.fakes.smpp_wire import (
    ANSWER,
    BIND,
    ENQUIRE,
    SUBMIT,
    UNBIND,
    Fields,
    Pdu,
    bind_mistake,
    decode,
    read_pdu,
    submit_mistake,
)
from tests.fakes.vendor import Fault, Sms, digits
from tests.ports import free_port
from tests.waiting import until

RECEIPTED_MESSAGE_ID, MESSAGE_STATE = 0x1E, 0x427
STATES = {
    "ENROUTE": 1,
    "DELIVRD": 2,
    "EXPIRED": 3,
    "DELETED": 4,
    "UNDELIV": 5,
    "ACCEPTD": 6,
    "UNKNOWN": 7,
    "REJECTD": 8,
}


class FakeSmpp:
    """`faults` are served first in, first out, each to the request whose name (bind, submit) is its `path`.

    `error_code` is a command_status, `body` bytes instead of an answer, `nack` answers with a generic_nack instead.
    """

    def __init__(self, system_id: str = "shop", password: str = "secret12", sender: str = "SHOP") -> None:
        self.system_id = system_id
        self.password = password
        self.sender = sender
        self.host, self.port = "127.0.0.1", 0
        self.messages: list[Sms] = []
        self.seen: list[tuple[str, int]] = []
        self.faults: deque[Fault] = deque()
        self.always: Fault | None = None
        self.nack = False
        # Whether nothing is answered any more, though the connections stay.
        self.dead = False
        self.connections = 0
        self.most_at_once = 0
        self._waiting = 0
        self._links: set[Link] = set()
        self._by_number: defaultdict[str, list[str]] = defaultdict(list)
        self._changed = asyncio.Condition()
        self._senders: dict[str, str] = {}
        self._esmes: dict[str, Esme] = {}
        self._server: Server | None = None
        self._events: asyncio.Task[None] | None = None
        self._front: asyncio.Server | None = None
        self._behind = 0

    async def start(self, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        """Listen; `port` is known afterwards."""
        self._behind = free_port()
        self._server = Server("127.0.0.1", self._behind, system_id="CENTRE")
        await self._server.start()
        self._events = asyncio.create_task(self._serve(self._server))
        self._front = await asyncio.start_server(self._connected, self.host, port, ssl=tls)
        self.port = self._front.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything."""
        if self._front is None or self._server is None or self._events is None:
            return
        self._front.close()
        await self.drop()
        await self._front.wait_closed()
        self._events.cancel()
        await asyncio.wait([self._events])
        await self._server.stop()
        self._front = None

    async def drop(self) -> None:
        """Close every connection, as a restart does."""
        links = list(self._links)
        for link in links:
            link.close()
        await asyncio.gather(*(link.done.wait() for link in links))

    async def say(self, command: int, status: int = 0, body: bytes = b"", sequence: int = 900) -> None:
        """Send any PDU to every connection."""
        for link in self._links:
            link.down.write(Pdu(command, status, sequence, body).encode())

    async def garbage(self, what: bytes) -> None:
        """Send what is no PDU."""
        for link in self._links:
            link.down.write(what)

    def inbox(self, number: str) -> list[str]:
        return list(self._by_number[digits(number)])

    def code_for(self, number: str) -> str:
        """Return the code in the newest message to `number`; raises LookupError when there is none."""
        found = re.search(r"(?<!\d)\d{6}(?!\d)", (self.inbox(number) or [""])[-1])
        if found is None:
            raise LookupError(f"no code has reached {number}")
        return found[0]

    async def wait_for(self, number: str, count: int = 1, timeout: float = 10.0) -> list[str]:
        """Return the inbox of `number` once it holds `count` messages; raises TimeoutError."""
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: len(self._by_number[digits(number)]) >= count)
        return self.inbox(number)

    async def report(
        self, message_id: str, state: str, *, error: str = "000", parameters: bool = False, written: bool = True
    ) -> int:
        """Send the receipt that the message is now `state`, as text, as optional parameters; return its answer."""
        number = next((sms.number for sms in self.messages if sms.id == message_id), "+79160000000")
        text = (
            f"id:{message_id} sub:001 dlvrd:001 submit date:2611231200 done date:2611231201 "
            f"stat:{state} err:{error} text:012345 stat:DELIVRD err:111"
        )
        extra = [
            Tlv(RECEIPTED_MESSAGE_ID, message_id.encode() + b"\0"),
            Tlv(MESSAGE_STATE, bytes([STATES[state]])),
        ]
        body = text.encode() if written else b""
        return await self.deliver_sm(body, esm_class=4, source=digits(number), tlvs=extra if parameters else [])

    async def deliver_sm(
        self, text: bytes, *, esm_class: int, source: str = "79161234567", tlvs: list[Tlv] | None = None
    ) -> int:
        """Send a deliver_sm; return the command_status of its answer."""
        esme = list(self._esmes.values())[-1]
        answer = await esme.deliver_sm(
            self.sender, text, source_addr=source, source_addr_ton=1, source_addr_npi=1, esm_class=esm_class,
            tlvs=tlvs or [],
        )  # fmt: skip
        return answer.command_status

    async def _serve(self, server: Server) -> None:
        while True:
            event = await server.next()
            if isinstance(event, Esme):
                self._esmes[event.session_id] = event
            elif isinstance(event, Unbound):
                self._esmes.pop(event.session_id, None)
            else:
                await self._take(event)

    async def _take(self, event: SubmitSmEvent) -> None:
        text = decode(event.data_coding, event.short_message)
        message_id = f"{len(self.messages) + 0xABC000:X}"
        async with self._changed:
            self.messages.append(Sms("+" + event.destination_addr, text, message_id, event.source_addr))
            self._by_number[event.destination_addr].append(text)
            self._changed.notify_all()
        event.accept(message_id)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        link = Link(self, reader, writer)
        self._links.add(link)
        try:
            await link.run(self._behind)
        finally:
            self._links.discard(link)
            link.done.set()

    def fault_for(self, name: str) -> Fault | None:
        for fault in self.faults:
            if fault.path in ("", name):
                self.faults.remove(fault)
                return fault
        return self.always


class Link:
    """One connection through the front: `down` leads to the bot, `up` to the library's server."""

    def __init__(self, fake: FakeSmpp, reader: asyncio.StreamReader, down: asyncio.StreamWriter) -> None:
        self.fake = fake
        self.reader = reader
        self.down = down
        self.done = asyncio.Event()
        self._up: asyncio.StreamWriter | None = None
        self._bound = False
        # Answers of the server that the bot must not see, by sequence number.
        self._swallowed: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        self.down.transport.abort()

    async def run(self, behind: int) -> None:
        server, self._up = await asyncio.open_connection("127.0.0.1", behind)
        back = self._spawn(self._back(server))
        try:
            while True:
                pdu = await read_pdu(self.reader)
                # Each by itself, since one that is delayed must not hold up the next.
                self._spawn(self._forth(pdu))
        except (asyncio.IncompleteReadError, OSError):
            self._up.close()
            await asyncio.wait([back])
        finally:
            for task in self._tasks:
                task.cancel()
            for writer in (self._up, self.down):
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _back(self, server: asyncio.StreamReader) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                pdu = await read_pdu(server)
                if pdu.command == ANSWER | SUBMIT:
                    self.fake._waiting -= 1
                if pdu.sequence in self._swallowed and pdu.command & ANSWER:
                    self._swallowed.discard(pdu.sequence)
                elif not self.fake.dead:
                    self.down.write(pdu.encode())
        self.down.close()

    async def _forth(self, pdu: Pdu) -> None:
        name = {BIND: "bind", SUBMIT: "submit", UNBIND: "unbind", ENQUIRE: "enquire"}.get(pdu.command, "answer")
        self.fake.seen.append((name, pdu.status))
        if self.fake.dead:
            return
        fault = self.fake.fault_for(name) if name in ("bind", "submit") else None
        if fault is not None:
            await self._faulty(pdu, fault)
            return
        mistake = self._mistake(pdu)
        if mistake:
            self._refuse(pdu, mistake)
        else:
            self._pass(pdu)

    async def _faulty(self, pdu: Pdu, fault: Fault) -> None:
        if fault.takes:
            assert not self._mistake(pdu)
            self._swallowed.add(pdu.sequence)
            self._pass(pdu)
            await until(lambda: pdu.sequence not in self._swallowed)
        await asyncio.sleep(fault.delay)
        if fault.drop:
            self.close()
        elif fault.body is not None:
            self.down.write(fault.body)
        elif isinstance(fault.error_code, int):
            self._refuse(pdu, fault.error_code)
        elif fault.delay and not fault.takes:
            self._pass(pdu)

    def _pass(self, pdu: Pdu) -> None:
        assert self._up is not None
        if pdu.command == BIND:
            self._bound = True
        elif pdu.command == SUBMIT:
            self.fake._waiting += 1
            self.fake.most_at_once = max(self.fake.most_at_once, self.fake._waiting)
        self._up.write(pdu.encode())

    def _refuse(self, pdu: Pdu, status: int) -> None:
        command = ANSWER if self.fake.nack else pdu.command | ANSWER
        self.down.write(replace(pdu, command=command, status=status, body=b"").encode())

    def _mistake(self, pdu: Pdu) -> int:
        """Return the command_status that a strict SMS centre refuses the request with; 0 for a right one."""
        if pdu.command & ANSWER or pdu.command in (UNBIND, ENQUIRE):
            return 0
        if pdu.command not in (BIND, SUBMIT):
            return 3
        fields = Fields(pdu.body)
        try:
            if pdu.command == BIND:
                return 0x05 if self._bound else bind_mistake(fields, (self.fake.system_id, self.fake.password))
            return submit_mistake(fields, self.fake.sender) if self._bound else 4
        except (AssertionError, IndexError, UnicodeDecodeError):
            return 2
