"""A campaign's web link in Chromium: it goes on by itself, and shows the ways on where that is not possible."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Route, expect

from tests.bot.test_referral_pages import BROWSER, Referrals, on_referral_stage
from tests.journeys.stage import TEXTS

PHONE = {"width": 360, "height": 640}
WAYS = ("chat", "app", "web", "install")


@pytest.fixture
async def referrals(sqlite_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Referrals]:
    async with on_referral_stage(sqlite_url, redis_url, tmp_path) as referrals:
        yield referrals


async def chat(route: Route) -> None:
    """Stand in for Telegram's own page."""
    await route.fulfill(body="<!doctype html><title>Telegram</title>", content_type="text/html")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
async def test_it_goes_on_to_the_chat_by_itself(browser: Browser, referrals: Referrals, scripts: bool) -> None:
    context = await browser.new_context(viewport=PHONE, user_agent=BROWSER, java_script_enabled=scripts)  # type: ignore[arg-type]
    await context.route("https://t.me/**", chat)
    page = await context.new_page()
    await page.goto(referrals.url)
    await page.wait_for_url(f"{referrals.bot()}?start=r_{referrals.campaign.code}")
    assert await referrals.clicks() == 1
    # Going back does not lead into a circle: the page is not in the history.
    assert await page.go_back() is None or not page.url.startswith(referrals.base)
    await context.close()


async def shown(page: Page, referrals: Referrals, language: str) -> list[str]:
    """Open the page as who fetches a preview, so that it stays; return what the browser complains of."""
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    await page.goto(referrals.url)
    for way in WAYS:
        await expect(page.get_by_role("link", name=TEXTS.plain(language, f"page-referral-{way}"))).to_be_visible()
    return troubles


@pytest.mark.parametrize("language", ["ru", "en"])
async def test_the_ways_on_are_there_on_a_phone(browser: Browser, referrals: Referrals, language: str) -> None:
    for scheme in ("light", "dark"):
        context = await browser.new_context(viewport=PHONE, locale=language, color_scheme=scheme)  # type: ignore[arg-type]
        page = await context.new_page()
        assert await shown(page, referrals, language) == []
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        # All of it, without scrolling.
        last = await page.get_by_role("link").last.bounding_box()
        assert last is not None
        assert last["y"] + last["height"] <= PHONE["height"]
        await context.close()
