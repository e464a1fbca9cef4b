"""The world outside the contenders, lean and without opinions: Telegram's Bot API and SMSC on one server.

Each call is answered with the smallest result of its kind, counted by the contender's token, and shown to the person
whose chat it is for. What Telegram would refuse is not looked at here; other tests do.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from tests.bench.wire import Server

CODE = re.compile(r"(?<!\d)\d{6}(?!\d)")
_SPEAKING = frozenset({"sendMessage", "editMessageText"})

Listener = Callable[[str, float], None]


class Outside:
    """Everybody the contenders talk to, and what they said."""

    def __init__(self) -> None:
        self.calls: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.sms = 0
        self._listeners: dict[int, Listener] = {}
        self._phones: dict[str, asyncio.Future[tuple[str, float]]] = {}
        self._message_ids = itertools.count(1)
        self._server = Server(self._answer)

    @property
    def base_url(self) -> str:
        """The address of both services."""
        return self._server.base_url

    async def start(self) -> None:
        """Listen."""
        await self._server.start()

    async def stop(self) -> None:
        """Listen no longer."""
        await self._server.stop()

    def listen(self, chat_id: int, listener: Listener) -> None:
        """Show every text for this chat, with the moment it came (perf_counter), until `leave`."""
        self._listeners[chat_id] = listener

    def leave(self, chat_id: int) -> None:
        """Nobody looks at this chat any more."""
        self._listeners.pop(chat_id, None)

    def say(self, method: str, fields: dict[str, Any]) -> bool:
        """Show one call to its person; tells whether it says anything."""
        listener = self._listeners.get(int(fields.get("chat_id", 0)))
        if method in _SPEAKING and listener:
            listener(str(fields.get("text", "")), time.perf_counter())
        return method in _SPEAKING

    def phone(self, number: str) -> asyncio.Future[tuple[str, float]]:
        """Return the first SMS to this number: its code, and the moment it came (perf_counter)."""
        return self._phones.setdefault(number.lstrip("+"), asyncio.get_running_loop().create_future())

    def hang_up(self, number: str) -> None:
        """Forget the number's SMS."""
        self._phones.pop(number.lstrip("+"), None)

    def _answer(self, path: str, fields: dict[str, Any]) -> object:
        if path == "/sys/send.php":
            return self._deliver(fields)
        token, method = path.removeprefix("/bot").split("/", 1)
        self.calls[token][method] += 1
        self.say(method, fields)
        return {"ok": True, "result": self._result(token, method, fields)}

    def _result(self, token: str, method: str, fields: dict[str, Any]) -> object:
        user = {"id": int(token.split(":")[0]), "is_bot": True, "first_name": "Bench", "username": "bench_bot"}
        if method == "getMe":
            return user
        if method in _SPEAKING:
            chat = {"id": int(fields["chat_id"]), "type": "private", "first_name": "P"}
            number = int(fields.get("message_id", 0)) or next(self._message_ids)
            return {"message_id": number, "date": int(time.time()), "chat": chat, "from": user, "text": "."}
        return True

    def _deliver(self, fields: dict[str, Any]) -> object:
        self.sms += 1
        found = CODE.search(str(fields["mes"]))
        arrived = self.phone(str(fields["phones"]))
        if found and not arrived.done():
            arrived.set_result((found[0], time.perf_counter()))
        return {"id": int(fields.get("id", self.sms)), "cnt": 1}
