"""A Bot API endpoint just large enough for the receiver: it records calls, keeps an update queue, fails on demand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.client.telegram import TelegramAPIServer
from aiohttp import web

from bot.session import Session

TOKEN = "42:TEST"
Answer = tuple[int, dict[str, Any]]


def message(update_id: int, text: str = "привет", person: int = 7, **more: Any) -> dict[str, Any]:
    """One text message in a private chat."""
    user = {"id": person, "is_bot": False, "first_name": "Ира"}
    return {
        "update_id": update_id,
        "message": {
            "message_id": update_id,
            "date": 1_790_000_000,
            "chat": {"id": person, "type": "private"},
            "from": user,
            "text": text,
            **more,
        },
    }


def press(update_id: int, data: str, person: int = 7) -> dict[str, Any]:
    """One press of an inline button in a private chat."""
    about = message(1, person=person)["message"]
    query = {"id": str(update_id), "from": about["from"], "chat_instance": "1", "data": data, "message": about}
    return {"update_id": update_id, "callback_query": query}


def refusal(code: int, description: str, **parameters: Any) -> Answer:
    """One answer of the Bot API that says no."""
    body: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
    return code, body | ({"parameters": parameters} if parameters else {})


def flood(seconds: int) -> Answer:
    """The Bot API's 429."""
    return refusal(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)


class FakeTelegram:
    """`calls` are those made, but getUpdates; `offsets` are getUpdates' own; `fail` may answer a call otherwise."""

    def __init__(self) -> None:
        self.base_url = ""
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.offsets: list[int | None] = []
        self.fail: Callable[[str, dict[str, Any]], Answer | None] = lambda method, parameters: None
        self.queue: list[dict[str, Any]] = []
        self.webhook = ""
        self.pollers = 0
        self.most_pollers = 0
        self._changed = asyncio.Condition()

    @property
    def texts(self) -> list[str]:
        """The texts sent, in order."""
        return [parameters["text"] for method, parameters in self.calls if method == "sendMessage"]

    async def put(self, *updates: dict[str, Any]) -> None:
        """Let updates happen."""
        async with self._changed:
            self.queue.extend(updates)
            self._changed.notify_all()

    async def until(self, happened: Callable[[], object], seconds: float = 15) -> None:
        """Return when this became true by a call; raise TimeoutError after `seconds`."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: bool(happened()))

    async def answer(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        if request.content_type == "application/json":
            # As a form has them: what is no text is written as JSON.
            said = (await request.json()).items()
            parameters: dict[str, Any] = {
                name: value if isinstance(value, str) else json.dumps(value) for name, value in said
            }
        else:
            parameters = dict(await request.post())
        if request.match_info["token"] != TOKEN:
            status, body = refusal(401, "Unauthorized")
        else:
            status, body = self.fail(method, parameters) or await self._do(method, parameters)
        async with self._changed:
            self._changed.notify_all()
        return web.json_response(body, status=status)

    async def _do(self, method: str, parameters: dict[str, Any]) -> Answer:
        if method == "getUpdates":
            return await self._get_updates(parameters)
        self.calls.append((method, parameters))
        if method == "sendMessage":
            return 200, {"ok": True, "result": message(1)["message"]}
        if method == "deleteWebhook":
            self.webhook = ""
        if method == "setWebhook":
            self.webhook = str(parameters["url"])
        if method == "getWebhookInfo":
            info = {"url": self.webhook, "has_custom_certificate": False, "pending_update_count": len(self.queue)}
            return 200, {"ok": True, "result": info}
        return 200, {"ok": True, "result": True}

    async def _get_updates(self, parameters: dict[str, Any]) -> Answer:
        if self.webhook:
            return refusal(409, "Conflict: can't use getUpdates method while webhook is active")
        offset = int(parameters["offset"]) if "offset" in parameters else None
        self.offsets.append(offset)
        assert json.loads(parameters.get("allowed_updates", "[]")) in (
            [],
            ["message", "edited_message", "callback_query", "my_chat_member"],
        )
        if offset is not None:
            # Telegram forgets what lies below, whatever it was.
            async with self._changed:
                self.queue = [update for update in self.queue if update["update_id"] >= offset]
                self._changed.notify_all()
        self.pollers += 1
        self.most_pollers = max(self.most_pollers, self.pollers)
        try:
            async with asyncio.timeout(int(parameters.get("timeout", 0))), self._changed:
                await self._changed.wait_for(lambda: self.queue)
        except TimeoutError:
            return 200, {"ok": True, "result": []}
        finally:
            self.pollers -= 1
        return 200, {"ok": True, "result": self.queue[: int(parameters.get("limit", 100))]}

    @asynccontextmanager
    async def served(self) -> AsyncIterator[FakeTelegram]:
        """Serve on a free port of the loopback."""
        app = web.Application()
        app.router.add_post("/bot{token}/{method}", self.answer)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.base_url = f"http://{host}:{port}"
        yield self
        await runner.cleanup()

    @asynccontextmanager
    async def bot(self, token: str = TOKEN) -> AsyncIterator[Bot]:
        """A real client of this endpoint."""
        session = Session(api=TelegramAPIServer.from_base(self.base_url), timeout=5)
        bot = Bot(token, session=session, default=DefaultBotProperties(parse_mode="HTML"))
        yield bot
        await bot.session.close()
