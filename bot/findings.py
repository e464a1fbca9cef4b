"""What the doctor says: one sentence per thing, and how bad it is."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How bad it is; only BAD makes the command fail."""

    OK = 0
    WARNING = 1
    BAD = 2


@dataclass(frozen=True)
class Finding:
    """One sentence: what is so, or what is wrong and how to mend it. It holds no secret and nothing personal."""

    level: Level
    says: str


def ok(says: str) -> Finding:
    """Return what is as it should be."""
    return Finding(Level.OK, says)


def warning(says: str) -> Finding:
    """Return what works and is hardly meant so."""
    return Finding(Level.WARNING, says)


def bad(says: str) -> Finding:
    """Return what keeps the bot from working."""
    return Finding(Level.BAD, says)


Look = Callable[[], Awaitable[list[Finding]]]
"""Looks at one thing. What it raises is a finding too, though a poor one."""


def why(error: BaseException) -> str:
    """Return why a call failed, without the words of libraries: they may repeat an address with its token."""
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLCertVerificationError):
            return "its certificate is not valid"
        if isinstance(found, socket.gaierror):
            return "its name is not known"
        if isinstance(found, OSError) and found.errno:
            return os.strerror(found.errno)
        found = found.__cause__ or found.__context__
    return type(error).__name__
