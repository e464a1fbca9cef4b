"""How fast the bot speaks when nobody asked: Telegram allows about 30 messages a second in all and one per chat."""

from __future__ import annotations

import asyncio

from storage.limits import Window


class Pace:
    """Holds messages back until they may go; an answer to a person's own update does not ask here."""

    def __init__(self, in_all: Window, per_chat: Window) -> None:
        self._gap = in_all.period.total_seconds() / in_all.count
        self._chat_gap = per_chat.period.total_seconds() / per_chat.count
        self._next = 0.0
        self._next_in: dict[int, float] = {}

    async def wait(self, chat_id: int) -> None:
        """Return when a message may go to this chat."""
        clock = asyncio.get_running_loop().time
        # The moment is computed and may move on meanwhile; there is nobody who could set an event.
        while (wait := max(self._next, self._next_in.get(chat_id, 0.0)) - clock()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(wait)
        self._next = clock() + self._gap
        # A moment that has passed tells nothing any more.
        self._next_in = {chat: at for chat, at in self._next_in.items() if at > clock()}
        self._next_in[chat_id] = clock() + self._chat_gap
