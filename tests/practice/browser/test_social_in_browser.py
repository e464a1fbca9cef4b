"""Signing up with Google or Facebook in Chromium: the pages as people see them, with scripts and without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.journeys.social_stage import SocialStage, button_url, follows, on_social_stage
from tests.journeys.stage import Registrant

PHONE = {"width": 360, "height": 640}
IN_APP = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 8; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
    "Chrome/140.0.0.0 Mobile Safari/537.36 Telegram-Android/11.4.2"
)


@pytest.fixture
async def stage(sqlite_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[SocialStage]:
    """The bot with both providers."""
    async with on_social_stage(sqlite_url, redis_url, tmp_path) as stage:
        yield stage


@pytest.fixture(params=["ru", "en"])
def language(request: pytest.FixtureRequest) -> str:
    """Both languages."""
    return str(request.param)


async def opened(context: BrowserContext, url: str) -> tuple[Page, list[str]]:
    """Open an address; returns the page and what the browser complains of."""
    page, troubles = await context.new_page(), []
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    await page.goto(url)
    return page, troubles


async def back_to_chat(ira: Registrant, page: Page) -> str:
    """Return the payload of the button that leads back to the chat."""
    back = page.get_by_role("link", name=ira.label("page-back"))
    await expect(back).to_be_visible()
    link = urlsplit(await back.get_attribute("href") or "")
    assert (link.scheme, link.netloc) == ("https", "t.me")
    return parse_qs(link.query)["start"][0]


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
@pytest.mark.parametrize("provider", ["google", "facebook"])
async def test_from_the_chat_through_the_browser_and_back(
    browser: Browser, stage: SocialStage, provider: str, scripts: bool, language: str
) -> None:
    ira = stage.someone(language)
    name = "ira@gmail.com" if provider == "google" else "Ира"
    _ = stage.openid.account(name) if provider == "google" else stage.graph.user(name, None)
    await ira.says("/start")
    context = await browser.new_context(viewport=PHONE, java_script_enabled=scripts)  # type: ignore[arg-type]
    page, troubles = await opened(context, button_url(ira, f"button-{provider}"))
    await expect(page.locator("html")).to_have_attribute("lang", language)
    if scripts:
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.get_by_role("link", name=ira.label(f"button-{provider}")).click()
    await page.get_by_role("button", name=name).click()
    await expect(page.get_by_role("heading")).to_have_text(ira.label("page-arrived-title"))
    payload = await back_to_chat(ira, page)
    assert troubles == []
    await context.close()
    await follows(ira, payload)
    ira.expects("social-question")
    await ira.presses(ira.label("button-yes-link"))
    ira.expects("social-choose")


async def test_a_refusal_leads_back_and_on(browser: Browser, stage: SocialStage) -> None:
    ira = stage.someone("en")
    stage.openid.account("ira@gmail.com")
    await ira.says("/start")
    context = await browser.new_context()
    page, _ = await opened(context, button_url(ira, "button-google"))
    await page.get_by_role("link", name=ira.label("button-google")).click()
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("main")).to_contain_text("You did not give Google your consent")
    await page.get_by_role("link", name=ira.label("page-again")).click()
    await page.get_by_role("link", name=ira.label("button-google")).click()
    await page.get_by_role("button", name="ira@gmail.com").click()
    payload = await back_to_chat(ira, page)
    # Going back in the browser uses nothing twice.
    await page.reload()
    await expect(page.locator("main")).to_contain_text("This sign-in is over or too old")
    await context.close()
    await follows(ira, payload)
    ira.expects("social-question")


async def test_another_browser_is_told_so(browser: Browser, stage: SocialStage) -> None:
    """T18: the provider's page was sent to somebody else."""
    ira = stage.someone("en")
    stage.openid.account("victim@gmail.com")
    await ira.says("/start")
    own, others = await browser.new_context(), await browser.new_context()
    page, _ = await opened(own, button_url(ira, "button-google"))
    await page.get_by_role("link", name=ira.label("button-google")).click()
    victim, _ = await opened(others, page.url)
    await victim.get_by_role("button", name="victim@gmail.com").click()
    await expect(victim.locator("main")).to_contain_text("begun in another browser")
    await own.close()
    await others.close()


async def test_out_of_another_applications_browser(browser: Browser, stage: SocialStage, language: str) -> None:
    """The copy button is the script's; the address can be taken without it."""
    ira = stage.someone(language)
    await ira.says("/start")
    url = button_url(ira, "button-google")
    for scripts in (True, False):
        context = await browser.new_context(viewport=PHONE, user_agent=IN_APP, java_script_enabled=scripts)  # type: ignore[arg-type]
        await context.grant_permissions(["clipboard-read", "clipboard-write"])
        page, troubles = await opened(context, url)
        out = page.get_by_role("link", name=ira.label("page-open-in-browser"))
        assert (await out.get_attribute("href") or "").startswith("intent://127.0.0.1")
        await expect(page.get_by_label(ira.label("page-address"))).to_have_value(url)
        copy = page.locator("#copy")
        if scripts:
            await expect(copy).to_have_text(ira.label("page-copy"))
            await copy.click()
            await expect(copy).to_have_text(ira.label("page-copied"))
            assert await page.evaluate("navigator.clipboard.readText()") == url
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        else:
            await expect(copy).to_be_hidden()
        assert troubles == []
        await context.close()
