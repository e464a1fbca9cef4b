"""Tickets: what a link in somebody's chat proves of them to a web page; codes of deletion requests; letters' way out.

All are signed (HMAC-SHA256, 128 bits) with keys of their own and kept nowhere. Under a changed SECRET_KEY what was
made with the one before stays good while that is given.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.keys import Keys

_MAC = 16
# Telegram id, end in unix seconds; the language follows.
_FIELDS = struct.Struct(">qI")
_LONGEST = 100
_RANDOM = 10


@dataclass(frozen=True)
class Ticket:
    """Whose chat a link stood in, and the language spoken there."""

    telegram_id: int
    language: str


class Tickets:
    """Makes and reads tickets, good for `lifetime`."""

    def __init__(self, keys: Keys, lifetime: timedelta) -> None:
        self._keys = keys.every("oauth ticket")
        self._lifetime = lifetime

    def make(self, ticket: Ticket, now: datetime) -> str:
        """Return the ticket in base64url."""
        until = int((now + self._lifetime).timestamp())
        return _signed(_FIELDS.pack(ticket.telegram_id, until) + ticket.language.encode(), self._keys[0])

    def read(self, text: str, now: datetime) -> Ticket | None:
        """Return what a ticket says; None when it is not ours. Raises ExpiredTicket, which says the same."""
        content = _content(text, self._keys)
        if content is None:
            return None
        telegram_id, until = _FIELDS.unpack_from(content)
        ticket = Ticket(telegram_id, content[_FIELDS.size :].decode())
        if until <= now.timestamp():
            raise ExpiredTicket(ticket)
        return ticket


class ExpiredTicket(Exception):
    """The ticket is ours and too old. `ticket` tells whose it was."""

    def __init__(self, ticket: Ticket) -> None:
        super().__init__("expired")
        self.ticket = ticket


class DeletionCodes:
    """Codes that stand for a deletion that was done: who shows one is told so. `random` returns so many bytes."""

    def __init__(self, keys: Keys, random: Callable[[int], bytes]) -> None:
        self._keys = keys.every("data deletion")
        self._random = random

    def make(self) -> str:
        """Return a code for what was just deleted."""
        return _signed(self._random(_RANDOM), self._keys[0])

    def is_ours(self, code: str) -> bool:
        """Tell whether this code was given out here."""
        return _content(code, self._keys) is not None


class StopTokens:
    """Tokens by which a mailbox, known by its mark, is never written to again; good for as long as the key."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys.every("mail stop")

    def make(self, address: bytes) -> str:
        """Return the token of a mark, in base64url."""
        return _signed(address, self._keys[0])

    def read(self, token: str) -> bytes | None:
        """Return the mark that a token is of, None when it is not ours."""
        return _content(token, self._keys)


def _signed(content: bytes, key: bytes) -> str:
    return _written(content + hmac.digest(key, content, hashlib.sha256)[:_MAC])


def _written(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _content(text: str, keys: tuple[bytes, ...]) -> bytes | None:
    if len(text) > _LONGEST:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if _written(raw) != text:
        # The last sign has bits to spare: several spellings are read as the same bytes, and one of them was given out.
        return None
    content, mac = raw[:-_MAC], raw[-_MAC:]
    right = any(hmac.compare_digest(hmac.digest(key, content, hashlib.sha256)[:_MAC], mac) for key in keys)
    return content if right else None
