"""`/r/<code>`: whom it leads where, what counts as a click, and what it says to messengers."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import zxingcpp
from PIL import Image

from storage.campaigns import Campaign
from storage.funnels import Period
from storage.partner_tables import click_visitors
from tests.fakes.surfer import Surfer
from tests.journeys.stage import TEXTS, Stage, on_stage
from tests.ports import free_port
from tests.sql import connected

BROWSER = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36"
)
CUBOT = "Mozilla/5.0 (Linux; Android 11; CUBOT NOTE 20) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36"
FETCHERS = (
    "TelegramBot (like TwitterBot)",
    "WhatsApp/2.23.20.0 A",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Mozilla/5.0 (compatible; vkShare; +http://vk.com/dev/Share)",
    "Twitterbot/1.0",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
    "Viber/22.3.0 CFNetwork/1410 Darwin/22.6.0",
    "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "Mozilla/5.0 (compatible; Linux x86_64; Mail.RU_Bot/2.0; +http://go.mail.ru/help/robots)",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0 Safari/537.36",
    "curl/8.5.0",
    "python-requests/2.32",
    "",
)


@dataclass
class Referrals:
    """A stage with one campaign and its pages."""

    stage: Stage
    base: str
    campaign: Campaign

    @property
    def url(self) -> str:
        return f"{self.base}/r/{self.campaign.code}"

    async def clicks(self) -> int:
        funnel = await self.stage.app.stores.partners.funnels.of(self.campaign.id, Period.ALL, self.stage.clock.now())
        return funnel.clicks

    async def opens(
        self, agent: str = BROWSER, *, url: str = "", method: str = "GET", **headers: str
    ) -> tuple[int, str]:
        """Open a page as a new browser; return the status and the text."""
        own = {"User-Agent": agent, **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url or self.url, headers=own) as response,
        ):
            return response.status, await response.text()

    def bot(self) -> str:
        return f"https://t.me/{self.stage.api.world.bot.username}"


@asynccontextmanager
async def on_referral_stage(database_url: str, redis_url: str, folder: Path, **other: Any) -> AsyncIterator[Referrals]:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    values = {"public_url": base, "http_port": port, "web_per_ip": "1000/5m", "trusted_proxies": 1}
    async with on_stage(database_url, redis_url, folder, **{**values, **other}) as stage:
        campaigns = stage.app.stores.partners.campaigns
        partner = await campaigns.add_partner("Мария", None, stage.clock.now())
        yield Referrals(stage, base, await campaigns.add(partner.id, "Блог <b>", stage.clock.now()))


@pytest.fixture
async def referrals(sqlite_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Referrals]:
    async with on_referral_stage(sqlite_url, redis_url, tmp_path) as referrals:
        yield referrals


@pytest.mark.parametrize("language", ["ru", "en"])
async def test_the_page_leads_to_the_chat_with_telegram_and_without(referrals: Referrals, language: str) -> None:
    code, name = referrals.campaign.code, referrals.stage.api.world.bot.username
    async with Surfer(language, BROWSER) as surfer:
        await surfer.open(referrals.url)
        assert surfer.status == 200
        assert f'<html lang="{language}">' in surfer.text
        chat = f"{referrals.bot()}?start=r_{code}"
        assert f'<meta http-equiv="refresh" content="0;url={chat}">' in html.unescape(surfer.text)
        links = {
            "chat": chat, "app": f"tg://resolve?domain={name}&start=r_{code}",
            "web": f"https://web.telegram.org/k/#?tgaddr=tg%3A%2F%2Fresolve%3Fdomain%3D{name}%26start%3Dr_{code}",
            "install": "https://telegram.org/apps",
        }  # fmt: skip
        assert {key: surfer.link(TEXTS.plain(language, f"page-referral-{key}")) for key in links} == links
    policy = surfer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert surfer.headers["Cache-Control"] == "no-store"
    assert "<script" not in surfer.text


async def test_messengers_are_told_what_to_show(referrals: Referrals) -> None:
    _, text = await referrals.opens(FETCHERS[0])
    tags = dict(re.findall(r'<meta (?:property|name)="([^"]+)" content="([^"]*)">', text))
    assert tags["og:title"] == TEXTS.plain("ru", "page-referral-title", product="Smarty CRM")
    assert tags["og:description"] == tags["description"] == TEXTS.plain("ru", "page-referral-about")
    assert (tags["og:url"], tags["og:image"]) == (referrals.url, f"{referrals.url}/qr.png")
    assert (tags["twitter:card"], tags["og:type"]) == ("summary", "website")
    # Who follows the refresh would show the page of Telegram instead.
    assert "http-equiv" not in text


async def test_the_picture_of_the_preview_is_the_code(referrals: Referrals, tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as session:
        for kind, mime in (("png", "image/png"), ("svg", "image/svg+xml")):
            async with session.get(f"{referrals.url}/qr.{kind}") as response:
                assert (response.status, response.content_type) == (200, mime)
                assert response.headers["Cache-Control"] == "public, max-age=86400"
                (tmp_path / f"qr.{kind}").write_bytes(await response.read())
        for wrong in ("/r/00000000/qr.png", "/r/x/qr.svg", f"/r/{referrals.campaign.code}/qr.gif"):
            async with session.get(referrals.base + wrong) as response:
                assert response.status == 404
    (found,) = zxingcpp.read_barcodes(Image.open(tmp_path / "qr.png"))
    assert found.text == f"{referrals.bot()}?start=r_{referrals.campaign.code}"
    assert await referrals.clicks() == 0


async def test_a_promo_code_goes_along(referrals: Referrals) -> None:
    code = referrals.campaign.code
    for query, payload in (
        ("?p=SPRING-26", f"r_{code}-p_SPRING-26"),
        ("?p=", f"r_{code}"),
        (f"?p={'A' * 21}", f"r_{code}"),
        ("?p=%22%3E%3Cscript%3E", f"r_{code}"),
        ("?p=a%0Ab", f"r_{code}"),
    ):
        _, text = await referrals.opens(url=referrals.url + query)
        assert f'content="0;url={referrals.bot()}?start={payload}"' in html.unescape(text)
        assert "<script" not in text


async def test_a_code_is_read_as_people_type_it(referrals: Referrals) -> None:
    status, text = await referrals.opens(url=f"{referrals.base}/r/{referrals.campaign.code.upper()}")
    assert (status, f"start=r_{referrals.campaign.code}" in text) == (200, True)
    assert await referrals.clicks() == 1


@pytest.mark.parametrize("language", ["ru", "en"])
async def test_an_unknown_code_leads_to_the_chat_all_the_same(referrals: Referrals, language: str) -> None:
    evil = ("00000000", "x", "%22%3E%3Cscript%3E", "A" * 3000, "..%2f..%2fetc", "%00%ff", "'; DROP TABLE campaigns; --")
    async with Surfer(language, BROWSER) as surfer:
        for code in evil:
            await surfer.open(f"{referrals.base}/r/{code}")
            assert surfer.status == 404
            assert html.unescape(surfer.text).count(TEXTS.plain(language, "page-referral-unknown")) == 1
            assert surfer.link(TEXTS.plain(language, "page-referral-chat")) == f"{referrals.bot()}?start=go"
            assert "http-equiv" not in surfer.text
            assert "<script" not in surfer.text
    assert await referrals.clicks() == 0


async def test_t20_a_visitor_is_counted_once_a_day_and_a_look_not_at_all(referrals: Referrals) -> None:
    for agent in FETCHERS:
        assert (await referrals.opens(agent))[0] == 200
    for name in ("Purpose", "Sec_Purpose", "X_Moz"):
        await referrals.opens(**{name: "prefetch;prerender"})
    assert await referrals.opens(method="HEAD") == (200, "")
    assert await referrals.clicks() == 0
    # All at once, as who presses a link again and again.
    await asyncio.gather(*(referrals.opens() for _ in range(20)))
    assert await referrals.clicks() == 1
    # Another browser behind the same address is another person, and so is the same browser elsewhere.
    await referrals.opens(CUBOT)
    await referrals.opens(X_Forwarded_For="198.51.100.7")
    assert await referrals.clicks() == 3
    # What the caller writes before what the proxy adds makes nobody somebody else.
    for number in range(5):
        await referrals.opens(X_Forwarded_For=f"203.0.113.{number}, 198.51.100.7")
    # A household with IPv6 has more addresses than there are people.
    for number in range(5):
        await referrals.opens(X_Forwarded_For=f"2001:db8:1:2::{number}")
    assert await referrals.clicks() == 4
    referrals.stage.clock.move(days=1)
    await referrals.opens()
    assert await referrals.clicks() == 5


async def test_t20_what_is_kept_of_a_visitor_tells_nothing(referrals: Referrals) -> None:
    await referrals.opens(X_Forwarded_For="198.51.100.7")
    referrals.stage.clock.move(days=1)
    await referrals.opens(X_Forwarded_For="198.51.100.7")
    async with connected(referrals.stage.app.stores.database) as conn:
        rows = (await conn.execute(click_visitors.select())).all()
    marks = {row.visitor for row in rows}
    # Not even that the same person came back.
    assert len(marks) == 2
    assert {len(mark) for mark in marks} == {16}


async def test_t20_too_many_from_one_address_are_led_on_and_not_counted(
    sqlite_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with on_referral_stage(sqlite_url, redis_url, tmp_path, web_per_ip="3/5m") as referrals:
        for number in range(3):
            assert (await referrals.opens(f"{BROWSER} {number}", X_Forwarded_For="198.51.100.7"))[0] == 200
        status, text = await referrals.opens(f"{BROWSER} x", X_Forwarded_For="198.51.100.7")
        assert (status, f"start=r_{referrals.campaign.code}" in text, "http-equiv" in text) == (429, True, True)
        assert await referrals.clicks() == 3
        assert (await referrals.opens(url=f"{referrals.url}/qr.svg", X_Forwarded_For="198.51.100.7"))[0] == 429
        assert (await referrals.opens(X_Forwarded_For="198.51.100.8"))[0] == 200
        assert await referrals.clicks() == 4
