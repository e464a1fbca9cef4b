"""The letter of an invitation and the page behind it in Chromium: on a phone and a desk, light and dark."""

from __future__ import annotations

import pytest
from markupsafe import Markup
from playwright.async_api import Browser

from bot.pages import Form, Page, show
from tests.bot.test_letter import STOP, composed
from tests.fakes.mail import parts, read
from tests.journeys.stage import TEXTS

SHADES = {"light": "rgb(255, 255, 255)", "dark": "rgb(29, 33, 38)"}


@pytest.mark.parametrize("width", [320, 1100])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_letter_reads_well(browser: Browser, width: int, scheme: str) -> None:
    context = await browser.new_context(viewport={"width": width, "height": 700}, color_scheme=scheme)  # type: ignore[arg-type]
    page, asked = await context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    for language in ("ru", "en"):
        await page.set_content(parts(read(composed(language=language)))[1])
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        button = page.get_by_role("link", name=TEXTS.plain(language, "letter-register"))
        assert str(await button.get_attribute("href")).endswith(f"?start=i_{'A' * 24}")
        box = await button.bounding_box()
        assert box is not None
        assert box["height"] >= 44
        stop = page.get_by_role("link", name=TEXTS.plain(language, "letter-stop"))
        assert await stop.get_attribute("href") == STOP
        shade = await page.locator(".card").evaluate("card => getComputedStyle(card).backgroundColor")
        assert shade == SHADES[scheme]
    # Nothing is fetched by reading it: nobody learns that it was read.
    assert asked == []
    await context.close()


async def test_the_pages_button_is_one(browser: Browser) -> None:
    page = await browser.new_page()
    shown = show(Page("Title", (Markup("Words"),), form=Form("Send no more", "/mail/stop?t=x")), "en")
    await page.set_content(shown.text or "")
    await page.get_by_role("button", name="Send no more").focus()
    assert await page.evaluate("document.activeElement.form.method") == "post"
    await page.close()
