"""The HTTP routes over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from aiogram.types import Message, Update
from aiohttp import ClientSession, web
from redis.asyncio import Redis

from bot.web import Check, create_web
from handlers.reply import Reply
from storage.redis import connect
from tests.bot.fake_telegram import FakeTelegram, message
from tests.bot.small_bot import SmallBot, say, small_bot

SECRET = "s" * 32
HEADER = "X-Telegram-Bot-Api-Secret-Token"


@dataclass
class Site:
    url: str
    session: ClientSession

    async def post(self, body: Any, secret: str | None = SECRET) -> tuple[int, str, dict[str, str]]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | ({} if secret is None else {HEADER: secret})
        async with self.session.post(f"{self.url}/telegram", data=data, headers=headers) as response:
            return response.status, await response.text(), dict(response.headers)

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(self.url + path) as response:
            return response.status, await response.text()


async def serve(app: web.Application) -> tuple[web.AppRunner, str]:
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    return runner, f"http://{host}:{port}"


@pytest_asyncio.fixture
async def site(small: SmallBot) -> AsyncIterator[Site]:
    runner, url = await serve(create_web(small.receiver, SECRET, {}))
    async with ClientSession() as session:
        yield Site(url, session)
    await runner.cleanup()


async def test_an_update_is_answered_in_the_response_as_json(site: Site, telegram: FakeTelegram) -> None:
    status, body, headers = await site.post(message(1))
    assert status == 200
    assert headers["Content-Type"].startswith("application/json")
    assert json.loads(body) == {"method": "sendMessage", "chat_id": 7, "text": "1: привет", "parse_mode": "HTML"}
    assert telegram.calls == []


@pytest.mark.parametrize("secret", [None, "", "wrong", SECRET[:-1], SECRET + "s", "ё" * 32, SECRET.upper()])
async def test_t12_a_forged_update_is_refused_without_effect(
    secret: str | None, site: Site, small: SmallBot, redis: Redis
) -> None:
    status, _, _ = await site.post(message(1), secret)
    assert status == 401
    assert small.handled == []
    assert await redis.dbsize() == 0
    status, body, _ = await site.post(message(1))
    assert (status, json.loads(body)["text"]) == (200, "1: привет")


async def test_t12_a_webhook_without_a_secret_is_not_served(small: SmallBot) -> None:
    with pytest.raises(ValueError, match="secret"):
        create_web(small.receiver, "", {})


async def test_t13_ten_deliveries_in_parallel_have_one_effect_and_one_answer(site: Site, small: SmallBot) -> None:
    answers = await asyncio.gather(*(site.post(message(1)) for _ in range(10)))
    assert {(status, body) for status, body, _ in answers} == {(200, answers[0][1])}
    assert json.loads(answers[0][1])["text"] == "1: привет"
    assert len(small.handled) == 1


async def test_f32_twenty_messages_in_parallel_requests_are_handled_in_the_order_they_arrived(
    site: Site, small: SmallBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived: list[str] = []
    handle = small.receiver.handle

    async def watched(update: Update) -> str | None:
        assert update.message is not None
        arrived.append(update.message.text or "")
        return await handle(update)

    monkeypatch.setattr(small.receiver, "handle", watched)
    answers = await asyncio.gather(*(site.post(message(number, str(number))) for number in range(1, 21)))
    assert [text for _, text in small.handled] == arrived
    assert sorted(map(int, arrived)) == list(range(1, 21))
    # Each request has the answer to its own update, and tells its place in the line.
    told = [json.loads(body)["text"] for _, body, _ in answers]
    assert told == [f"{arrived.index(str(number)) + 1}: {number}" for number in range(1, 21)]
    assert not small.overlapped


async def test_an_older_duplicate_is_acknowledged_with_an_empty_answer(site: Site) -> None:
    await site.post(message(1))
    await site.post(message(2))
    status, body, _ = await site.post(message(1))
    assert (status, body) == (200, "")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b"[]", b"5", b"null", b"{}", b'{"update_id": "1"}', b"[" * 100_000, b"1" * 5000],
    ids=range(10),
)
async def test_what_is_no_update_is_refused(body: bytes, site: Site, small: SmallBot) -> None:
    status, _, _ = await site.post(body)
    assert status == 400
    assert small.handled == []


async def test_a_huge_body_is_refused(site: Site) -> None:
    status, _, _ = await site.post(b" " * 1_000_001)
    assert status == 413
    status, _, _ = await site.post(b" " * 1_000_001, "wrong")
    assert status == 401


async def test_an_update_that_is_not_understood_does_not_come_for_ever(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    status, body, _ = await site.post({"update_id": 1, "message": {"text": "ivan@example.com"}})
    assert (status, body) == (200, "")
    assert "update 1 is not understood" in caplog.text
    assert "ivan@example.com" not in caplog.text


async def test_f25_storage_down_leaves_the_update_with_telegram(site: Site, small: SmallBot) -> None:
    is_away = True

    async def durable(_: Message) -> Reply:
        if is_away:
            raise ConnectionRefusedError
        return Reply(last=say("записано"))

    small.on("запиши", durable)
    status, _, headers = await site.post(message(1, "запиши"))
    assert (status, headers["Retry-After"]) == (503, "5")
    is_away = False
    status, body, _ = await site.post(message(1, "запиши"))
    assert (status, json.loads(body)["text"]) == (200, "записано")


async def test_f27_redis_down_leaves_the_update_with_telegram(telegram: FakeTelegram) -> None:
    async with small_bot(telegram, "unix:///nonexistent/valkey.sock") as small:
        runner, url = await serve(create_web(small.receiver, SECRET, {}))
        async with ClientSession() as session:
            status, _, headers = await Site(url, session).post(message(1))
        await runner.cleanup()
    assert (status, headers["Retry-After"]) == (503, "5")
    assert small.handled == []
    assert telegram.calls == []


async def test_f33_a_backlog_of_many_people_is_worked_off_in_order(site: Site, small: SmallBot) -> None:
    backlog = [message(n, str(n), person=100 + n % 10) for n in range(1, 201)]
    answers = await asyncio.gather(*(site.post(update) for update in backlog))
    assert {status for status, _, _ in answers} == {200}
    for person in range(100, 110):
        texts = [int(text) for who, text in small.handled if who == person]
        assert len(texts) == 20
    assert not small.overlapped
    assert small.conversations.is_idle()


async def test_health_and_readiness(valkey_socket: str) -> None:
    client = connect(f"unix://{valkey_socket}")
    nowhere = connect("unix:///nonexistent/valkey.sock")

    async def sql() -> None:
        if is_down:
            raise ConnectionRefusedError("postgresql://user:password@host")

    async def stuck() -> None:
        await asyncio.Event().wait()

    is_down = False
    checks: dict[str, Check] = {"sql": sql, "redis": client.ping}
    runner, url = await serve(create_web(None, "", checks))
    async with ClientSession() as session:
        site = Site(url, session)
        assert await site.get("/healthz") == (200, "ok")
        assert await site.get("/readyz") == (200, "ok")
        is_down = True
        assert await site.get("/readyz") == (503, "down: sql")
        checks["redis"] = nowhere.ping
        assert await site.get("/readyz") == (503, "down: sql, redis")
        is_down = False
        checks["redis"] = stuck
        assert await site.get("/readyz") == (503, "down: redis")
        assert await site.get("/healthz") == (200, "ok")
        # In polling mode there is no webhook.
        assert (await site.post(message(1)))[0] == 404
    await runner.cleanup()
    await client.aclose()
    await nowhere.aclose()
