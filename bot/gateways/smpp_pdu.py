"""What is said in SMPP 3.4: requests, answers, the text of a message, delivery receipts.

Sections are those of the SMPP 3.4 specification, issue 1.2. The library `smpp34` writes and reads the two large PDUs.
It is an extra, so it is loaded when the first of them is met, and `check_library` says at start that it is missing.
"""

from __future__ import annotations

import re
import struct
from datetime import timedelta
from enum import IntEnum

from bot.failures import StartFailed
from handlers.ports import CodeMessage, Report
from storage.models import SendState

# Length, command, status, sequence number.
HEADER = struct.Struct(">IIII")
RESPONSE = 0x8000_0000
GSM, UCS2 = 0, 8
_RECEIPTED_MESSAGE_ID, _MESSAGE_STATE = 0x001E, 0x0427
# The default alphabet of 3GPP TS 23.038 in the order of its codes; 0x1B is the escape to the second table.
_ALPHABET = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_CODES = {char: bytes([code]) for code, char in enumerate(_ALPHABET) if char != "\x1b"} | {
    char: bytes([0x1B, code])
    for char, code in zip("\f^{}\\[~]|€", (0x0A, 0x14, 0x28, 0x29, 0x2F, 0x3C, 0x3D, 0x3E, 0x40, 0x65), strict=True)
}
# What becomes of a message (5.2.28), and the same in a receipt's text (appendix B). Enroute, accepted and unknown say
# nothing final.
_STATES = {2: "DELIVRD", 3: "EXPIRED", 4: "DELETED", 5: "UNDELIV", 8: "REJECTD"}


class Command(IntEnum):
    """Commands of requests (5.1.2.1); an answer has the bit RESPONSE too."""

    GENERIC_NACK = 0x8000_0000
    SUBMIT = 4
    DELIVER = 5
    UNBIND = 6
    BIND_TRANSCEIVER = 9
    ENQUIRE_LINK = 0x15


class Status(IntEnum):
    """Values of command_status (5.1.3) that a decision is made by."""

    OK = 0
    MESSAGE_LENGTH = 0x01
    UNKNOWN_COMMAND = 0x03
    SYSTEM_ERROR = 0x08
    SOURCE_ADDRESS = 0x0A
    DESTINATION_ADDRESS = 0x0B
    ALREADY_BOUND = 0x05
    QUEUE_FULL = 0x14
    SOURCE_TON = 0x48
    SOURCE_NPI = 0x49
    THROTTLED = 0x58
    TEMPORARY_ERROR = 0x64
    PERMANENT_ERROR = 0x65
    REJECTED = 0x66


def check_library() -> None:
    """Raise StartFailed, with the command that mends it, when the library is not installed."""
    try:
        import smpp34  # noqa: F401 - only whether it can be
    except ImportError as error:
        raise StartFailed(
            "SMS_GATEWAYS: smpp needs a library that is not installed; run: pip install smpp34"
        ) from error


def pdu(command: int, sequence: int, status: int = Status.OK, body: bytes = b"") -> bytes:
    """Return a whole PDU."""
    return HEADER.pack(HEADER.size + len(body), command, status, sequence) + body


def bind_transceiver(sequence: int, system_id: str, password: str) -> bytes:
    """Return the request to send and to receive on one connection (4.1.5)."""
    account = b"".join(value.encode() + b"\0" for value in (system_id, password, ""))
    return pdu(Command.BIND_TRANSCEIVER, sequence, body=account + b"\x34\0\0\0")


def submit(message: CodeMessage, sender: str, sequence: int) -> bytes:
    """Return the request to send a message (4.4.1), as one segment, with a receipt wanted of its final state."""
    from smpp34 import SubmitSm

    coding, text = encoded(message.text)
    source, ton, npi = source_address(sender)
    return SubmitSm(
        source,
        message.number.removeprefix("+"),
        text,
        source_addr_ton=ton,
        source_addr_npi=npi,
        dest_addr_ton=1,
        dest_addr_npi=1,
        validity_period=relative_time(message.lifetime),
        registered_delivery=1,
        data_coding=coding,
        sequence_number=sequence,
    ).encode()


def encoded(text: str) -> tuple[int, bytes]:
    """Return data_coding and the bytes: the default alphabet when it has every character, else UCS-2."""
    try:
        return GSM, b"".join(_CODES[char] for char in text)
    except KeyError:
        return UCS2, text.encode("utf-16-be")


def source_address(sender: str) -> tuple[str, int, int]:
    """Return the address with its type of number and numbering plan (5.2.5, 5.2.6).

    With a plus it is international, of digits alone the SMS centre knows what it is, anything else is a name.
    """
    if re.fullmatch(r"\+[0-9]+", sender):
        return sender[1:], 1, 1
    return (sender, 0, 1) if re.fullmatch(r"[0-9]+", sender) else (sender, 5, 0)


def relative_time(lifetime: timedelta) -> str:
    """Return a period as YYMMDDhhmmss000R (7.1.1); under 31 days, since how long a month is nobody says."""
    days, seconds = divmod(int(min(lifetime, timedelta(days=30)).total_seconds()), 86400)
    return f"0000{days:02}{seconds // 3600:02}{seconds // 60 % 60:02}{seconds % 60:02}000R"


def receipt(deliver: bytes) -> Report | None:
    """Return what a whole deliver_sm says of a message of ours; None when that is nothing final.

    The optional parameters count when they are there, else the text as in appendix B. Raises ValueError.
    """
    from smpp34 import DeliverSm, SmppError, decode

    try:
        said = decode(deliver)
    except SmppError as error:
        raise ValueError(str(error)) from None
    # Bits 5 to 2 of esm_class: a receipt, and not a message that somebody sent to our number (5.2.12).
    if not isinstance(said, DeliverSm) or said.esm_class & 0x3C != 0x04:
        return None
    parameters = {tlv.tag: tlv for tlv in said.tlvs}
    text = said.short_message
    told = parameters.get(_RECEIPTED_MESSAGE_ID)
    found = re.match(rb"\s*id:(\S{1,64})", text)
    message_id = told.as_string() if told else found[1].decode("ascii", "replace") if found else None
    if not message_id:
        raise ValueError("a receipt without the id of a message")
    number = parameters.get(_MESSAGE_STATE)
    written = re.search(rb"\sstat:([A-Za-z]{1,10})", text)
    state = _STATES.get(number.as_int() or 0) if number else written[1].decode().upper() if written else None
    if state not in _STATES.values():
        return None
    if state == _STATES[2]:
        return Report(message_id, SendState.DELIVERED)
    reason = re.search(rb"\serr:([0-9A-Za-z]{1,4})(?![0-9A-Za-z])", text)
    return Report(message_id, SendState.UNDELIVERED, f"{state} {reason[1].decode()}" if reason else str(state))
