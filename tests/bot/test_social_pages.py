"""The web pages of a sign-up: their headers, their languages, the callback, and the ways out of another application."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from pathlib import Path

import aiohttp
import pytest

from bot.in_app import is_in_app, way_out
from tests.bot.social_pages import stage, started
from tests.fakes.surfer import Surfer
from tests.journeys.social_stage import SocialStage, arrives, follows, on_social_stage, page_says

__all__ = ["stage"]

TELEGRAM_ANDROID = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 8; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
    "Chrome/140.0.0.0 Mobile Safari/537.36 Telegram-Android/11.4.2"
)
TELEGRAM_IOS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
)
INSTAGRAM = TELEGRAM_IOS + " Instagram 300.0 Safari/604.1"
SAFARI = TELEGRAM_IOS.replace("Mobile", "Version/18.1 Mobile") + " Safari/604.1"
CHROME_ANDROID = TELEGRAM_ANDROID.replace("; wv", "").partition(" Telegram")[0].replace("Version/4.0 ", "")
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"


async def test_every_page_has_the_headers(stage: SocialStage) -> None:
    ira, url = await started(stage)
    async with Surfer() as surfer:
        seen = []
        for address in (url, f"{stage.base_url}/oauth/google/callback", f"{stage.base_url}/oauth/evil/start"):
            await surfer.open(address)
            seen.append((surfer.headers, surfer.text))
        await arrives(ira, stage.openid.account("headers@gmail.com"), surfer)
        seen.append((surfer.headers, surfer.text))
    for headers, text in seen:
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers
        style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
        assert style is not None
        digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
        assert "<script" not in text


@pytest.mark.parametrize("language", ["ru", "en"])
async def test_a_page_speaks_the_language_of_the_chat(stage: SocialStage, language: str) -> None:
    """Whatever the browser prefers."""
    ira, url = await started(stage, language)
    async with Surfer("en" if language == "ru" else "ru") as surfer:
        await surfer.open(url)
        assert f'<html lang="{language}">' in surfer.text
        assert page_says(ira, surfer, "page-start")


async def test_who_has_no_ticket_is_answered_in_the_browsers_language(stage: SocialStage) -> None:
    for language in ("ru", "en"):
        ira = stage.someone(language)
        async with Surfer(language) as surfer:
            for query in (
                "",
                "?ticket=",
                "?ticket=x",
                f"?ticket={'A' * 60}",
                f"?ticket={'A' * 5000}",
                "?ticket=%00%ff",
            ):
                for page in ("start", "go"):
                    await surfer.open(f"{stage.base_url}/oauth/google/{page}{query}")
                    assert surfer.status == 400
                    assert page_says(ira, surfer, "page-expired")
            await surfer.open(f"{stage.base_url}/oauth/myspace/start")
            assert surfer.status == 404
            assert page_says(ira, surfer, "page-missing")


async def test_a_look_uses_nothing_up(stage: SocialStage) -> None:
    """HEAD is what previews and scanners send."""
    async with aiohttp.ClientSession() as session:
        for path in ("start", "go", "callback"):
            async with session.head(f"{stage.base_url}/oauth/google/{path}?ticket=x&state=y") as response:
                assert response.status == 405


async def test_nothing_of_the_caller_is_written_as_html(stage: SocialStage) -> None:
    async with Surfer() as surfer:
        evil = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E"
        for path in (f"start?ticket={evil}", f"callback?state={evil}&error={evil}&error_description={evil}"):
            await surfer.open(f"{stage.base_url}/oauth/google/{path}")
            assert "alert(1)" not in surfer.text


async def test_no_parameter_leads_elsewhere(stage: SocialStage) -> None:
    _, url = await started(stage)
    async with Surfer() as surfer:
        elsewhere = "redirect_uri=https://evil.example&next=https://evil.example&return_to=//evil.example"
        await surfer.open(f"{url}&{elsewhere}")
        assert "evil" not in surfer.text
        await surfer.open(f"{url.replace('/start', '/go')}&{elsewhere}", follow=False)
        assert surfer.headers["Location"].startswith(f"{stage.openid.base_url}/authorize?")
        assert "evil" not in surfer.headers["Location"]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("error=access_denied", "page-denied"),
        ("error=temporarily_unavailable", "page-away"),
        ("error=server_error", "page-away"),
        ("error=invalid_scope", "page-refused"),
        ("", "page-refused"),
        ("code=", "page-refused"),
        ("code=made-up", "page-refused"),
        ("code=CODE&iss=https://evil.example", "page-refused"),
        ("code=CODE&iss=BASE", "page-arrived"),
    ],
)
async def test_what_a_provider_may_send_back(stage: SocialStage, query: str, says: str) -> None:
    ira, url = await started(stage)
    async with Surfer() as surfer:
        await surfer.open(url.replace("/start", "/go"), follow=False)
        await surfer.open(surfer.headers["Location"])
        asked = stage.openid.authorizations[-1]
        state, code = asked["state"], stage.openid.grant(stage.openid.account("ira@gmail.com"), asked)
        query = query.replace("CODE", code).replace("BASE", stage.openid.base_url)
        await surfer.open(f"{stage.base_url}/oauth/google/callback?state={state}&{query}")
        assert page_says(ira, surfer, says)
        if says == "page-arrived":
            return
        assert surfer.link(ira.label("page-back")).endswith("?start=go")
        assert surfer.link(ira.label("page-again")) == url.removeprefix(stage.base_url)
        # The state is used, whatever came of it.
        await surfer.open(f"{stage.base_url}/oauth/google/callback?state={state}&{query}")
        assert page_says(ira, surfer, "page-used")


async def test_a_state_of_one_provider_is_none_of_the_other(stage: SocialStage) -> None:
    ira, url = await started(stage)
    async with Surfer() as surfer:
        await surfer.open(url.replace("/start", "/go"), follow=False)
        await surfer.open(surfer.headers["Location"])
        state = stage.openid.authorizations[-1]["state"]
        await surfer.open(f"{stage.base_url}/oauth/facebook/callback?state={state}&code=x")
        assert page_says(ira, surfer, "page-used")


async def test_in_another_applications_browser_the_ways_out_are_shown(stage: SocialStage) -> None:
    ira, url = await started(stage)
    for agent, scheme in ((TELEGRAM_ANDROID, "intent://"), (TELEGRAM_IOS, "x-safari-http://")):
        async with Surfer(user_agent=agent) as surfer:
            await surfer.open(url)
            assert page_says(ira, surfer, "page-in-app")
            assert surfer.link(ira.label("page-open-in-browser")).startswith(scheme)
            assert f'value="{html.escape(url)}"' in surfer.text
            script = re.search(r"<script>(.*?)</script>", surfer.text, re.DOTALL)
            assert script is not None
            digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
            assert f"script-src 'sha256-{digest}'" in surfer.headers["Content-Security-Policy"]
            # What the provider says to who goes on all the same.
            await surfer.click(ira.label("button-google"))
            assert "disallowed_useragent" in surfer.text


def test_browsers_inside_other_applications_are_told_apart() -> None:
    assert all(is_in_app(agent) for agent in (TELEGRAM_ANDROID, TELEGRAM_IOS, INSTAGRAM))
    assert not any(is_in_app(agent) for agent in (SAFARI, CHROME_ANDROID, CHROME, ""))
    out = way_out("https://b.example/oauth/google/start?ticket=x", CHROME_ANDROID)
    assert out is not None
    assert out.startswith("intent://b.example/oauth/google/start?ticket=x#Intent;scheme=https;")
    assert way_out("https://b.example/", CHROME) is None


async def test_the_cookie_is_for_this_host_alone(sqlite_url: str, redis_url: str, tmp_path: Path) -> None:
    async with on_social_stage(sqlite_url, redis_url, tmp_path, public_url="https://bot.example.org") as stage:
        _, url = await started(stage)
        local = f"http://127.0.0.1:{stage.app.port}{url.removeprefix('https://bot.example.org')}"
        async with Surfer() as surfer:
            await surfer.open(local.replace("/start", "/go"), follow=False)
        cookie = surfer.headers["Set-Cookie"]
        assert re.match(r"__Host-oauth=[A-Za-z0-9_-]{32};", cookie)
        for attribute in ("HttpOnly", "Secure", "SameSite=Lax", "Path=/"):
            assert attribute in cookie
        assert "Domain" not in cookie
        assert "redirect_uri=https%3A%2F%2Fbot.example.org%2Foauth%2Fgoogle%2Fcallback" in surfer.headers["Location"]


async def test_t25_neither_links_nor_addresses_get_into_the_log(
    stage: SocialStage, caplog: pytest.LogCaptureFixture
) -> None:
    """At DEBUG, before anything is masked; with a refusal and an outage on the way."""
    with caplog.at_level("DEBUG"):
        ira, url = await started(stage)
        google = stage.openid.account("somebody@gmail.com")
        async with Surfer() as surfer:
            stage.openid.spoil = lambda claims, header: claims.update(nonce="another")
            await surfer.open(url.replace("/start", "/go"), follow=False)
            await surfer.open(surfer.headers["Location"])
            await surfer.choose(google.email)
            stage.openid.spoil = lambda claims, header: None
            stage.openid.faults["token"] = (503, "", {})
            await surfer.open(url.replace("/start", "/go"), follow=False)
            await surfer.open(surfer.headers["Location"])
            await surfer.choose(google.email)
            del stage.openid.faults["token"]
            payload = await arrives(ira, google, surfer, start=url)
        await follows(ira, payload)
        await ira.presses(ira.label("button-yes-link"))
    (states, secrets) = ([asked["state"] for asked in stage.openid.authorizations], [google.sub, google.email])
    told = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("aiosqlite"))
    for secret in (*states, *secrets, payload[2:], url.partition("ticket=")[2], stage.openid.client_secret):
        assert secret not in told, secret
    assert "nonce" in told
    assert "google is away: HTTP 503" in told
