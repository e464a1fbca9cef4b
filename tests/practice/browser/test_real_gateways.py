"""With gateways configured the page must not promise that nothing leaves the machine."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Browser, expect

from tests.fakes.smsc import FakeSmsc
from tests.practice.browser.visitor import Visitor
from tests.process.bot_process import BotProcess


async def test_the_note_says_that_sms_really_leave(browser: Browser, tmp_path: Path) -> None:
    smsc = FakeSmsc()
    await smsc.start()
    settings = {
        "DATA_DIR": str(tmp_path / "data"),
        "SMS_GATEWAYS": "smsc",
        "SMSC_BASE_URL": smsc.base_url,
        "SMSC_LOGIN": smsc.login,
        "SMSC_PASSWORD": smsc.password,
        "DAILY_BUDGET": "100000",
    }
    try:
        async with BotProcess(tmp_path, **settings) as bot:
            context = await browser.new_context()
            visitor = Visitor(await context.new_page(), f"http://127.0.0.1:{bot.port}/")
            await visitor.page.goto(visitor.address)
            await expect(visitor.page.locator("#note")).to_have_text("Тренировка, но SMS уходят по-настоящему: smsc.")
            await context.close()
    finally:
        await smsc.stop()
