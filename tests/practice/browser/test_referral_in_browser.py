"""A campaign's web link in Chromium: it goes on by itself, and shows the ways on where that is not possible."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Route, expect

from bot.practice.ground import FIRST_PERSON
from tests.bot.test_referral_pages import BROWSER, Referrals, on_referral_stage
from tests.journeys.stage import TEXTS
from tests.practice.browser.visitor import Visitor
from tests.process.bot_process import BotProcess

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
    # Going back leads into no circle: the page is not in the history.
    await page.go_back()
    assert not page.url.startswith(referrals.base)
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


async def test_a_practising_bot_shows_its_pictures_and_its_page(browser: Browser, tmp_path: Path) -> None:
    async with BotProcess(tmp_path, DATA_DIR=str(tmp_path / "data"), STAFF_IDS=str(FIRST_PERSON)) as bot:
        context = await browser.new_context(viewport=PHONE)  # type: ignore[arg-type]
        visitor = Visitor(await context.new_page(), f"http://127.0.0.1:{bot.port}/")
        await visitor.opens(FIRST_PERSON)
        await visitor.starts()
        await visitor.says("/link Выставка")
        photo = visitor.log.locator("img.photo")
        await expect(photo).to_be_visible()
        # The newest message is in sight, though its picture came later than its words.
        await expect(visitor.log.get_by_text("/r/")).to_be_in_viewport()
        assert await photo.evaluate("picture => picture.naturalWidth") > 900
        link = (await visitor.log.get_by_text("/r/").inner_text()).split()[-1]
        assert link.startswith(f"{visitor.address}r/")
        page = await context.new_page()
        await page.goto(link)
        await expect(page.get_by_role("link", name=TEXTS.plain("en", "page-referral-chat"))).to_be_visible()
        assert visitor.troubles == []
        await context.close()
