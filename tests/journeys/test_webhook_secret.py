"""The webhook's secret (T12): compared in constant time, for every request, before anything of it is read."""

from __future__ import annotations

import hmac
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr

from bot.app import webhook_secret
from bot.settings import Settings
from storage.keys import Keys
from tests.journeys.stage import on_stage
from tests.ports import free_port

SECRET = "s3cret_of-the-webhook_" + "x" * 20
HEADER = "X-Telegram-Bot-Api-Secret-Token"


class Watched:
    """`hmac` as the webhook sees it; what it was asked to compare is written down."""

    def __init__(self) -> None:
        self.compared: list[tuple[bytes, bytes]] = []

    def compare_digest(self, given: bytes, known: bytes) -> bool:
        self.compared.append((given, known))
        return hmac.compare_digest(given, known)


async def test_t12_right_or_wrong_it_is_compared_in_constant_time(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, port = Watched(), free_port()
    monkeypatch.setattr("bot.web.hmac", watched)
    hook = {"webhook_url": f"http://127.0.0.1:{port}", "http_port": port, "webhook_secret": SECRET}
    async with on_stage(database_url, redis_url, tmp_path, **hook) as stage, aiohttp.ClientSession() as session:
        ira = stage.someone()
        await ira.says("/start")
        ira.expects("registration-email-prompt")
        assert watched.compared == [(SECRET.encode(), SECRET.encode())]
        for given in ("", SECRET[:-1], "t" + SECRET[1:]):
            watched.compared.clear()
            headers = {HEADER: given} if given else {}
            async with session.post(f"{stage.settings.webhook_url}/telegram", data=b"{", headers=headers) as response:
                assert response.status == 401
            assert watched.compared == [(given.encode(), SECRET.encode())]
        await ira.registers()


def test_t12_without_a_setting_every_installation_has_its_own_and_every_replica_the_same() -> None:
    first, again, other = (webhook_secret(Settings(), Keys(key * 32)) for key in "aab")
    assert first == again != other
    assert len(first) >= 32
    assert "a" * 32 not in first
    assert webhook_secret(Settings(webhook_secret=SecretStr(SECRET)), Keys("a" * 32)) == SECRET
