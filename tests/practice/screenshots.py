"""Pictures of the practice page at every step, in four looks: `python -m tests.practice.screenshots <folder>`.

With `--front-door` only the README's picture is made anew.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from playwright.async_api import Browser, Page, ViewportSize, expect

from tests.practice.browser.chromium import chromium
from tests.practice.browser.conftest import BROKEN, newcomer
from tests.practice.browser.visitor import Visitor
from tests.process.bot_process import BotProcess

FRONT_DOOR = Path(__file__).parents[2] / "bot" / "practice" / "page" / "screenshot.png"
# README pictures are fetched by everybody who looks at the repository.
LARGEST = 200_000
WIDE, PHONE, TABLET = (1360, 850), (375, 720), (820, 900)
LOOKS = {
    "light": (WIDE, "light", "ru"),
    "dark": (WIDE, "dark", "en"),
    "phone": (PHONE, "light", "ru"),
    "phone-dark": (PHONE, "dark", "en"),
    "tablet": (TABLET, "light", "en"),
}


async def open_page(browser: Browser, address: str, size: tuple[int, int], scheme: str, language: str) -> Visitor:
    """Open the page as a newcomer."""
    width, height = size
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
        has_touch=size == PHONE,
        permissions=["clipboard-read", "clipboard-write"],
    )
    visitor = Visitor(await context.new_page(), address, language)
    person, visitor.phone = await newcomer(address, language)
    await visitor.opens(person)
    return visitor


class Camera:
    """Takes one picture after the other into a folder, and refuses a page that is wider than its screen."""

    def __init__(self, page: Page, folder: Path, look: str) -> None:
        self._page = page
        self._folder = folder
        self._look = look
        self._taken = 0

    async def take(self, name: str) -> None:
        """Take the next picture."""
        self._taken += 1
        await self._page.wait_for_timeout(400)
        wide = await self._page.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert not wide, f"{self._look}: {name} is wider than the screen"
        await self._page.screenshot(path=self._folder / f"{self._look}-{self._taken:02}-{name}.png")


async def show(visitor: Visitor, name: str) -> None:
    """Bring a part to the screen where not all have room."""
    tab = visitor.page.get_by_role("navigation").get_by_role("button", name=visitor.said(name))
    if await tab.count() and await tab.first.is_visible():
        await tab.first.click()


async def register(visitor: Visitor, camera: Camera) -> None:
    """From the welcome to the end, a picture of each step."""
    await camera.take("welcome")
    await visitor.starts()
    await camera.take("email")
    await visitor.says("person@gmial.com")
    await visitor.hears("registration-email-hint", typed="person@gmial.com")
    await camera.take("email-hint")
    await visitor.says("person.example.com")
    await visitor.hears("registration-email-no-at")
    await visitor.says(f"person{visitor.phone[-7:]}@example.org")
    await visitor.hears("registration-terms-prompt")
    await camera.take("terms")
    await visitor.presses("button-register")
    await visitor.hears("registration-terms-missing")
    await camera.take("terms-missing")
    await visitor.presses("button-continue")
    await expect(visitor.log.get_by_role("button", name=visitor.label("terms-consent"))).to_have_count(2)
    await visitor.presses("terms-consent")
    await expect(visitor.button(visitor.label("terms-consent-ticked"), visitor.log)).to_be_visible()
    await camera.take("terms-ticked")
    await visitor.presses("button-register")
    await visitor.hears("registration-phone-reason")
    await camera.take("phone")
    await visitor.field.fill("/")
    await camera.take("commands")
    await visitor.field.fill("")
    await visitor.button(visitor.label("button-country"), visitor.keyboard).click()
    await visitor.hears("registration-country-prompt")
    await camera.take("countries")
    await visitor.says("/back")
    await expect(visitor.keyboard).to_be_visible()
    await visitor.button(visitor.label("button-share-contact"), visitor.keyboard).click()
    await camera.take("contact")
    await visitor.button(visitor.said("share"), visitor.dialog).click()
    await visitor.hears("registration-code-prompt")
    await expect(visitor.codes.first).to_have_count(1)
    await camera.take("code")
    await show(visitor, "phone")
    await camera.take("sms")
    await show(visitor, "chat")
    await visitor.says("000 000")
    await visitor.hears("registration-code-wrong", 4)
    await visitor.presses("button-code-missing")
    await visitor.hears("code-help-accepted")
    await visitor.presses("button-resend")
    await expect(visitor.dialog).to_be_visible()
    await camera.take("alert")
    await visitor.button(visitor.said("ok"), visitor.dialog).click()
    await show(visitor, "phone")
    await visitor.codes.first.click()
    await camera.take("code-copied")
    await visitor.button(visitor.said("send")).click()
    await visitor.hears("registration-done")
    await camera.take("done")


async def odd_things(visitor: Visitor, camera: Camera) -> None:
    """The tools beside the chat, and a refusal."""
    for name in ("sticker", "voice", "foreign"):
        await show(visitor, "people")
        await visitor.button(visitor.said(name)).click()
    await camera.take("people")
    await visitor.button(visitor.said("add")).click()
    await camera.take("add")
    await visitor.page.keyboard.press("Escape")
    await visitor.button(visitor.said("old button")).click()
    await camera.take("old-buttons")
    await visitor.page.keyboard.press("Escape")
    await show(visitor, "chat")
    await camera.take("odd")
    await visitor.says("/help")
    await expect(visitor.page.locator(".call").first).to_contain_text("intranet")
    await camera.take("refused")
    await visitor.page.locator("#refused-badge").click()
    await visitor.page.keyboard.press("Enter")
    await camera.take("refused-calls")
    await show(visitor, "chat")
    await visitor.log.locator(".mine").last.click(button="right")
    await camera.take("menu")
    await visitor.page.get_by_role("menuitem", name=visitor.said("edit")).click()
    await camera.take("editing")
    await visitor.page.keyboard.press("Escape")
    await show(visitor, "people")
    await visitor.button(visitor.said("block")).click()
    await show(visitor, "chat")
    await camera.take("blocked")


async def front_door(browser: Browser, address: str) -> None:
    """The picture of the README: a person at the code step, the code on the phone."""
    size: ViewportSize = {"width": 1200, "height": 760}
    context = await browser.new_context(viewport=size, color_scheme="light", reduced_motion="reduce")
    visitor = Visitor(await context.new_page(), address, "en")
    await visitor.opens()
    await visitor.page.get_by_role("button", name="Anna").first.click()
    await visitor.reaches_phone("anna@example.org")
    await visitor.shares_contact()
    await visitor.hears("registration-code-prompt")
    await expect(visitor.codes.first).to_be_visible()
    await visitor.field.focus()
    await visitor.page.mouse.move(600, 70)
    await visitor.page.wait_for_timeout(800)
    await visitor.page.screenshot(path=FRONT_DOOR)
    assert FRONT_DOOR.stat().st_size <= LARGEST, f"{FRONT_DOOR.name} is larger than {LARGEST} bytes"


async def main(folder: Path | None) -> None:
    """Take the pictures of all looks into `folder`, or the README's one."""
    with tempfile.TemporaryDirectory() as data:
        settings = {"DATA_DIR": data, "PRODUCT_NAME": "Smarty CRM"} | (BROKEN if folder else {})
        async with BotProcess(Path(data), **settings) as bot, chromium() as browser:
            address = f"http://127.0.0.1:{bot.port}/"
            if folder is None:
                await front_door(browser, address)
                return
            for look, (size, scheme, language) in LOOKS.items():
                visitor = await open_page(browser, address, size, scheme, language)
                camera = Camera(visitor.page, folder, look)
                await register(visitor, camera)
                await odd_things(visitor, camera)
                print(look, "done")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Take pictures of the practice page.")
    parser.add_argument("folder", type=Path, nargs="?", help="where the pictures of every step go")
    parser.add_argument("--front-door", action="store_true", help="make the README's picture instead")
    given = parser.parse_args()
    if given.front_door == (given.folder is not None):
        parser.error("give a folder, or --front-door")
    if given.folder:
        given.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(given.folder))
