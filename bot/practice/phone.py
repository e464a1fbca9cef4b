"""The phone beside the chat: an SMS gateway whose messages are read on the practice page and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from bot.practice.world import World
from handlers.ports import Accepted, CodeMessage, SendResult
from storage.models import Channel

KEPT = 200
_CODE = re.compile(r"(?<!\d)\d{6}(?!\d)")


@dataclass(frozen=True)
class Sms:
    """One message; `id` is the sender's own id of it, `number` is E.164."""

    id: str
    at: datetime
    number: str
    text: str

    @property
    def code(self) -> str | None:
        """The code in it, None when there is none."""
        found = _CODE.search(self.text)
        return found[0] if found else None


class Phone:
    """Every practice number rings here. `before_answer` is awaited before a message counts as taken."""

    name = "practice"
    channels = frozenset({Channel.SMS})

    def __init__(self, world: World, before_answer: Callable[[], Awaitable[None]]) -> None:
        self.messages: list[Sms] = []
        self._world = world
        self._before_answer = before_answer

    async def send(self, message: CodeMessage) -> SendResult:
        """Show the message; it always succeeds, for nothing. A repeat of one that is there already shows nothing."""
        own_id = str(message.send_id)
        if all(sms.id != own_id for sms in self.messages):
            sms = Sms(own_id, self._world.clock.now(), message.number, message.text)
            self.messages = [*self.messages[1 - KEPT :], sms]
            self._world.changed()
        await self._before_answer()
        return Accepted(provider_id=own_id, price=0)

    async def close(self) -> None:
        """Release nothing: the phone belongs to the practice, which ends later."""
