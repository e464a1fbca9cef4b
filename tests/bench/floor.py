"""The floor: aiohttp, one script that reads and one that writes a record of the usual size, the answer in the response.

No framework, no lock, no SQL, no SMS, no checks: what any bot that keeps a conversation in Redis has to do at least.
"""

from __future__ import annotations

import json
import os
from typing import Any

from aiohttp import web
from redis.asyncio import BlockingConnectionPool, Redis

READ = "return redis.call('GET', KEYS[1])"
WRITE = "redis.call('SET', KEYS[1], ARGV[1], 'EX', 172800) return 1"
ANSWERS = ("адрес электронной почты", "условия использования", "напишите номер", "код 123456", "Регистрация завершена")
# About what this bot keeps of a waiting conversation with its last answer and a few update ids.
PADDING = "x" * 500


class Floor:
    def __init__(self, redis: Redis) -> None:
        self._read = redis.register_script(READ)
        self._write = redis.register_script(WRITE)

    async def receive(self, request: web.Request) -> web.Response:
        message: dict[str, Any] = json.loads(await request.read())["message"]
        key = f"floor:{message['chat']['id']}"
        raw = await self._read(keys=[key])
        step = json.loads(raw)["step"] if raw else 0
        answer = {
            "method": "sendMessage",
            "chat_id": message["chat"]["id"],
            "text": ANSWERS[step],
            "reply_markup": {"inline_keyboard": [[{"text": "Назад", "callback_data": "back"}]]},
        }
        record = {"step": (step + 1) % len(ANSWERS), "text": message["text"], "padding": PADDING}
        await self._write(keys=[key], args=[json.dumps(record)])
        return web.json_response(answer)


async def build() -> web.Application:
    pool = BlockingConnectionPool.from_url(os.environ["REDIS_URL"], max_connections=50, timeout=20)
    app = web.Application()
    app.router.add_post("/webhook", Floor(Redis(connection_pool=pool)).receive)

    async def close(_: web.Application) -> None:
        await pool.disconnect()

    app.on_cleanup.append(close)
    return app


if __name__ == "__main__":
    web.run_app(build(), host="127.0.0.1", port=int(os.environ["PORT"]), access_log=None)
