"""The gateway of an installation that has none yet: it prints the message for whoever started the bot."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from handlers.ports import Accepted, CodeMessage, SendResult
from storage.models import Channel

log = logging.getLogger(__name__)


class Console:
    """Prints each message on one framed line. Nobody's telephone rings, so it warns once when it is made."""

    name = "console"
    channels = frozenset({Channel.SMS, Channel.VOICE})

    def __init__(self, stream: TextIO | None = None) -> None:
        """Print to `stream`, standard output by default."""
        self._stream = stream
        log.warning("console gateway in use: codes are printed here and reach no telephone; see SMS_GATEWAYS")

    async def send(self, message: CodeMessage) -> SendResult:
        """Print the message; it always succeeds, for nothing."""
        line = " ".join(message.text.split())
        kind = "CALL" if message.channel is Channel.VOICE else "SMS"
        print(f"┃ {kind} {message.number} ┃ {line} ┃", file=self._stream or sys.stdout, flush=True)
        return Accepted(provider_id=str(message.send_id), price=0)

    async def close(self) -> None:
        """Release nothing: the stream belongs to the process."""
