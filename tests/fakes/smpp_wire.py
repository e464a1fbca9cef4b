"""The wire of SMPP 3.4, read field by field and strictly: an own reading beside that of the library."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

BIND, SUBMIT, DELIVER, UNBIND, ENQUIRE = 9, 4, 5, 6, 0x15
ANSWER = 1 << 31
# Code points of the GSM default alphabet, sixteen to a line (3GPP TS 23.038, 6.2.1), and of its second table.
GSM = """
    40 A3 24 A5 E8 E9 F9 EC F2 C7 0A D8 F8 0D C5 E5
    394 5F 3A6 393 39B 3A9 3A0 3A8 3A3 398 39E 1B C6 E6 DF C9
    20 21 22 23 A4 25 26 27 28 29 2A 2B 2C 2D 2E 2F
    30 31 32 33 34 35 36 37 38 39 3A 3B 3C 3D 3E 3F
    A1 41 42 43 44 45 46 47 48 49 4A 4B 4C 4D 4E 4F
    50 51 52 53 54 55 56 57 58 59 5A C4 D6 D1 DC A7
    BF 61 62 63 64 65 66 67 68 69 6A 6B 6C 6D 6E 6F
    70 71 72 73 74 75 76 77 78 79 7A E4 F6 F1 FC E0
"""
ESCAPED = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}


@dataclass(frozen=True)
class Pdu:
    """A PDU as it was on the wire."""

    command: int
    status: int
    sequence: int
    body: bytes

    def encode(self) -> bytes:
        numbers = (16 + len(self.body), self.command, self.status, self.sequence)
        return b"".join(number.to_bytes(4, "big") for number in numbers) + self.body


async def read_pdu(reader: asyncio.StreamReader) -> Pdu:
    length, command, status, sequence = [int.from_bytes(await reader.readexactly(4), "big") for _ in range(4)]
    assert 16 <= length < 5000
    return Pdu(command, status, sequence, await reader.readexactly(length - 16))


class Fields:
    """Takes a body apart."""

    def __init__(self, body: bytes) -> None:
        self.rest = body

    def byte(self) -> int:
        value, self.rest = self.rest[0], self.rest[1:]
        return value

    def text(self, longest: int) -> str:
        """Take a C-octet string whose length with its NUL is bounded."""
        value, nul, self.rest = self.rest.partition(b"\0")
        assert nul
        assert len(value) < longest
        return value.decode("ascii")


def bind_mistake(fields: Fields, account: tuple[str, str]) -> int:
    """Return what a bind_transceiver is refused with; 0 for a right one."""
    system_id, password, system_type = fields.text(16), fields.text(9), fields.text(13)
    rest = (fields.byte(), fields.byte(), fields.byte(), fields.text(41), fields.rest)
    if system_id != account[0]:
        return 0x0F
    if password != account[1]:
        return 0x0E
    return 0 if (system_type, *rest) == ("", 0x34, 0, 0, "", b"") else 0x0D


def submit_mistake(fields: Fields, sender: str) -> int:
    """Return what a submit_sm is refused with; 0 for a right one."""
    if fields.text(6):
        return 0x15
    ton, npi, source = fields.byte(), fields.byte(), fields.text(21)
    form = {(1, 1): r"[1-9]\d{6,14}", (0, 1): r"\d{3,20}", (5, 0): r"(?!\d+$)[ -~]{1,11}"}.get((ton, npi))
    if form is None or not re.fullmatch(form, source) or source != sender.removeprefix("+"):
        return 0x0A
    if (fields.byte(), fields.byte()) != (1, 1) or not re.fullmatch(r"[1-9]\d{9,14}", fields.text(21)):
        return 0x0B
    if (fields.byte(), fields.byte(), fields.byte()) != (0, 0, 0) or fields.text(17):
        return 0x61
    validity = fields.text(17)
    if not re.fullmatch(r"0000\d\d(0\d|1\d|2[0-3])[0-5]\d[0-5]\d000R", validity) or validity < "000000000030":
        return 0x62
    if (fields.byte(), fields.byte()) != (1, 0):
        return 7
    coding, _, length = fields.byte(), fields.byte(), fields.byte()
    if length != len(fields.rest) or not 0 < length <= (140 if coding == 8 else 160):
        return 1
    return 0 if coding in (0, 8) else 0x08


def decode(coding: int, data: bytes) -> str:
    """Return the text of a message: UCS-2 for 8, the GSM default alphabet for 0."""
    if coding == 8:
        return data.decode("utf-16-be")
    table = [chr(int(point, 16)) for point in GSM.split()]
    found, octets = "", iter(data)
    for octet in octets:
        found += ESCAPED[next(octets)] if octet == 0x1B else table[octet]
    return found
