"""The gateway of an installation that has none yet: it prints the message for whoever started the bot."""

from __future__ import annotations

import sys
from typing import TextIO
from uuid import UUID

import structlog

from handlers.ports import Accepted, SendResult


class Console:
    """Prints each message on one framed line. Nobody's telephone rings, so it warns once when it is made."""

    name = "console"

    def __init__(self, stream: TextIO | None = None) -> None:
        """Print to `stream`, standard output by default."""
        self._stream = stream
        structlog.get_logger(__name__).warning(
            "console gateway in use: codes are printed here and reach no telephone; see SMS_GATEWAYS"
        )

    async def send(self, number: str, text: str, send_id: UUID) -> SendResult:
        """Print the message; it always succeeds, for nothing."""
        line = " ".join(text.split())
        print(f"┃ SMS {number} ┃ {line} ┃", file=self._stream or sys.stdout, flush=True)
        return Accepted(provider_id=str(send_id), price=0)

    async def close(self) -> None:
        """Release nothing: the stream belongs to the process."""
