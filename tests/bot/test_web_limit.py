"""Who may open the web pages of a sign-up how often, and from where they are opened."""

from __future__ import annotations

import html
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict
from redis.asyncio import Redis

from bot.client_address import client_of
from storage.limits import Window
from storage.web_limit import WebLimit
from tests.bot.social_pages import stage, started
from tests.fakes.surfer import Surfer
from tests.journeys.social_stage import SocialStage, on_social_stage, page_says

__all__ = ["stage"]


async def test_an_address_may_open_so_many_pages(sqlite_url: str, redis_url: str, tmp_path: Path) -> None:
    async with on_social_stage(sqlite_url, redis_url, tmp_path, web_per_ip="5/5m", trusted_proxies=1) as stage:
        ira, url = await started(stage)
        async with Surfer() as surfer:
            for _ in range(5):
                await surfer.open(url, headers={"X-Forwarded-For": "198.51.100.7"})
                assert surfer.status == 200
            # What the caller itself wrote before the proxy's own word changes nothing.
            await surfer.open(url, headers={"X-Forwarded-For": "203.0.113.9, 198.51.100.7"})
            assert surfer.status == 429
            assert 0 < int(surfer.headers["Retry-After"]) <= 300
            assert ira.said(html.unescape(surfer.text), "page-busy", 5) or "Подождите" in surfer.text
            await surfer.open(url, headers={"X-Forwarded-For": "203.0.113.9"})
            assert surfer.status == 200
            # What is not for people is not counted.
            for path in ("/healthz", "/metrics"):
                await surfer.open(stage.base_url + path, headers={"X-Forwarded-For": "198.51.100.7"})
                assert surfer.status == 200
        keys = [key async for key in stage.app.stores.redis.scan_iter(match="web:*")]
        assert keys
        assert not any("198.51" in str(key) for key in keys)


async def test_redis_away_is_a_page_too(stage: SocialStage, monkeypatch: pytest.MonkeyPatch) -> None:
    ira, url = await started(stage)

    async def away(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(WebLimit, "wait", away)
    async with Surfer() as surfer:
        await surfer.open(url)
        assert surfer.status == 503
        assert surfer.headers["Retry-After"] == "30"
        assert page_says(ira, surfer, "page-outage")


@pytest.mark.parametrize(
    ("proxies", "forwarded", "seen"),
    [
        (0, [], "192.0.2.1"),
        (0, ["198.51.100.7"], "192.0.2.1"),
        (1, [], "192.0.2.1"),
        (1, ["198.51.100.7"], "198.51.100.7"),
        (1, ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        (1, ["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
        (2, ["203.0.113.9, 198.51.100.7"], "203.0.113.9"),
        (2, ["198.51.100.7"], "192.0.2.1"),
        (1, ["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        (1, ["[2001:db8:1:2::9]"], "2001:db8:1:2::/64"),
        (1, ["::ffff:198.51.100.7"], "198.51.100.7"),
        (1, ["<script>"], "unknown"),
        (1, [""], "unknown"),
    ],
)
def test_from_where_a_page_is_opened(proxies: int, forwarded: list[str], seen: str) -> None:
    headers = CIMultiDict([("X-Forwarded-For", line) for line in forwarded])
    request = make_mocked_request("GET", "/", headers=headers).clone(remote="192.0.2.1")
    assert client_of(request, proxies) == seen


async def test_the_window_slides(redis: Redis) -> None:
    limit = WebLimit(redis, Window(3, timedelta(seconds=0.4)))
    assert [await limit.wait("a") for _ in range(3)] == [0, 0, 0]
    wait = await limit.wait("a")
    assert 0 < wait <= 0.4
    assert await limit.wait("b") == 0
    began = time.monotonic()
    while await limit.wait("a"):
        assert time.monotonic() - began < 5
