"""What stands beside the conversation: people, the phone, odd things to try, the bot's calls."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.async_api import Browser, expect

from bot.telegram import COMMANDS
from tests.practice.browser.conftest import Visits
from tests.practice.browser.visitor import Visitor
from tests.process.bot_process import BotProcess


async def test_a_refused_call_is_seen_at_once_with_telegrams_words(visits: Visits) -> None:
    ira = await visits("ru")
    await ira.starts()
    await ira.says("/help")
    badge = ira.page.locator("#refused-badge")
    await expect(badge).to_be_visible()
    await expect(ira.page).to_have_title(re.compile(r"^\(\d+\) "))
    await badge.click()
    refused = ira.page.locator(".call.refused").first
    await expect(refused).to_contain_text("Bad Request: inline keyboard button URL 'https://intranet/video' is invalid")
    await expect(refused.locator("summary")).to_be_focused()
    await ira.page.keyboard.press("Enter")
    await expect(refused.locator("pre")).to_contain_text('"reply_markup": {')
    await ira.page.get_by_role("checkbox").check()
    await expect(ira.page.locator(".call:not(.refused)").first).to_be_hidden()


async def test_a_slash_lists_the_commands_in_the_persons_language(visits: Visits) -> None:
    anna = await visits("en")
    await anna.starts()
    commands = anna.page.get_by_role("listbox", name=anna.said("commands"))
    await anna.field.press_sequentially("/")
    await expect(commands.get_by_role("option")).to_have_count(len(COMMANDS))
    await expect(commands).to_contain_text("take a break")
    await anna.page.keyboard.press("Escape")
    await expect(commands).to_be_hidden()
    await anna.field.fill("")
    await anna.field.press_sequentially("/pri")
    await expect(commands.get_by_role("option")).to_have_count(1)
    await anna.field.fill("/")
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "ArrowUp", "ArrowUp"):
        await anna.page.keyboard.press(key)
    await expect(commands.get_by_role("option").last).to_have_attribute("aria-selected", "true")
    assert await anna.field.get_attribute("aria-activedescendant") == "command-delete"
    await anna.page.keyboard.press("Enter")
    await anna.hears("menu-delete")
    await anna.button(anna.said("commands")).click()
    await commands.get_by_role("option", name="/privacy").click()
    await anna.hears("menu-privacy")


async def test_another_person_has_another_chat_and_language(visits: Visits) -> None:
    ira = await visits("ru")
    await ira.starts()
    people = ira.page.get_by_role("complementary", name=ira.said("people"))
    await ira.button(ira.said("add")).click()
    await ira.dialog.get_by_label(ira.said("name")).fill("Zoe")
    await ira.dialog.get_by_label(ira.said("language")).select_option("en")
    await ira.dialog.get_by_label(ira.said("number")).fill("12")
    await ira.button(ira.said("add"), ira.dialog).click()
    await expect(ira.dialog.get_by_role("alert")).to_be_visible()
    await ira.dialog.get_by_label(ira.said("number")).fill("+7 903 999-88-77")
    await ira.button(ira.said("add"), ira.dialog).click()
    await expect(ira.dialog).to_have_count(0)
    ira.language = "en"
    await expect(ira.button(ira.said("start"))).to_be_visible()
    await expect(ira.page.get_by_text(ira.said("note"))).to_be_visible()
    assert await ira.page.evaluate("document.documentElement.lang") == "en"
    await expect(ira.log.locator(".message")).to_have_count(0)
    await ira.button(re.compile(r"^Language and number: Zoe")).click()
    await ira.dialog.get_by_label(ira.said("language")).select_option("ru")
    await ira.button(ira.said("save"), ira.dialog).click()
    ira.language = "ru"
    await expect(ira.button(ira.said("start"))).to_be_visible()
    await people.get_by_role("button", name=re.compile(f"{ira.phone[-2:]}.*Здравствуйте", re.DOTALL)).first.click()
    await expect(ira.log.locator(".bot")).to_have_count(1)
    await ira.page.reload()
    await expect(ira.log.locator(".bot")).to_have_count(1)


async def test_odd_things_are_answered_and_refused_as_telegram_would(visits: Visits) -> None:
    ira = await visits("ru")
    await ira.reaches_phone("odd@example.org")
    for name in ("foreign", "forwarded"):
        await ira.button(ira.said(name)).click()
        await expect(ira.log.locator(".mine .attached")).to_have_count(1 if name == "foreign" else 2)
        await ira.hears("registration-phone-foreign-contact")
    await ira.button(ira.said("sticker")).click()
    await expect(ira.log.get_by_role("img", name=ira.said("sticker"))).to_be_visible()
    await ira.button(ira.said("voice")).click()
    await expect(ira.log.locator(".wave")).to_be_visible()
    await ira.button(ira.said("old button")).click()
    await ira.button(ira.label("terms-consent"), ira.dialog).click()
    await expect(ira.dialog).to_have_count(0)
    await ira.button(ira.said("link")).click()
    await ira.dialog.get_by_role("textbox").fill("r_abcdefgh")
    await ira.button(ira.said("open"), ira.dialog).click()
    await expect(ira.dialog).to_have_count(0)
    await ira.button(ira.said("block")).click()
    await expect(ira.field).to_be_hidden()
    await expect(ira.button(ira.said("unblock"), ira.page.get_by_role("main"))).to_be_visible()
    await ira.button(ira.said("unblock"), ira.page.get_by_role("main")).click()
    await ira.says(ira.phone)
    await ira.hears("registration-code-prompt")


async def test_own_messages_are_edited_and_deleted_by_menu_and_by_key(visits: Visits) -> None:
    ira = await visits("ru")
    await ira.starts()
    await ira.says("no-at.example.org")
    await ira.hears("registration-email-no-at")
    mine = ira.log.locator(".mine").last
    await mine.click(button="right")
    await ira.page.get_by_role("menuitem", name=ira.said("edit")).click()
    await expect(ira.field).to_have_value("no-at.example.org")
    await ira.page.keyboard.press("Escape")
    await expect(ira.field).to_have_value("")
    await ira.field.press("ArrowUp")
    await ira.field.fill("with@example.org")
    await ira.page.keyboard.press("Enter")
    await expect(mine).to_contain_text(ira.said("edited"))
    await ira.hears("registration-terms-prompt")
    await ira.log.focus()
    await ira.page.keyboard.press("ArrowUp")
    await ira.page.keyboard.press("ArrowUp")
    await expect(ira.log.locator(".message:focus")).to_have_count(1)
    count = await ira.log.locator(".message").count()
    await ira.page.keyboard.press("Enter")
    await ira.page.keyboard.press("End")
    await ira.page.keyboard.press("Enter")
    await expect(ira.log.locator(".message")).to_have_count(count - 1)


async def test_commands_and_own_links_in_messages_work(visits: Visits) -> None:
    ira = await visits("ru")
    await ira.starts()
    await ira.says("/cancel")
    await ira.says("https://t.me/practice_bot?start=go")
    await expect(ira.log.locator(".mine")).to_have_count(3)
    await ira.log.get_by_role("link", name="https://t.me/practice_bot").click()
    await expect(ira.log.locator(".mine")).to_have_count(4)
    await ira.log.locator(".mine .command", has_text="/cancel").click()
    await expect(ira.log.locator(".mine", has_text="/cancel")).to_have_count(2)
    assert len(ira.page.context.pages) == 1


async def test_scrolled_up_nothing_moves_and_a_button_counts_what_is_new(visits: Visits) -> None:
    ira = await visits("ru")
    await ira.starts()
    for number in range(8):
        await ira.says(f"line {number}")
    await expect(ira.log.locator(".bot")).to_have_count(9)
    await ira.log.evaluate("log => { log.scrollTop = 0 }")
    jump = ira.page.locator("#jump")
    await expect(jump).to_be_visible()
    await ira.button(ira.said("sticker")).click()
    await expect(jump).to_contain_text("1")
    assert await ira.log.evaluate("log => log.scrollTop") == 0
    await jump.click()
    await expect(jump).to_be_hidden()


async def test_a_killed_bot_comes_back_and_so_does_the_page(browser: Browser, tmp_path: Path) -> None:
    async with BotProcess(tmp_path, DATA_DIR=str(tmp_path / "data")) as bot:
        page = await browser.new_page()
        ira = Visitor(page, f"http://127.0.0.1:{bot.port}/")
        await ira.opens()
        await ira.starts()
        await bot.kill()
        await expect(page.get_by_text("Связь с ботом потеряна")).to_be_visible()
        await ira.says("later@example.org")
        await expect(page.get_by_role("alert")).to_be_visible()
        # What could not be sent is still there to be sent.
        await expect(ira.field).to_have_value("later@example.org")
        await bot.start()
        await expect(page.get_by_text("Связь с ботом потеряна")).to_be_hidden()
        await ira.button(ira.said("send")).click()
        await ira.hears("registration-terms-prompt")
        await page.close()


async def test_which_links_the_page_opens_itself(visits: Visits) -> None:
    ira = await visits("ru")
    expected = {
        "https://t.me/practice_bot?start=r_abcdefgh": "r_abcdefgh",
        "https://T.me/Practice_Bot/": "",
        "tg://resolve?domain=practice_bot&start=go": "go",
        "/r/abcdefgh": "r_abcdefgh",
        "https://example.com/r/abcdefgh": "r_abcdefgh",
        "https://t.me/other_bot?start=go": None,
        "https://example.com/practice_bot?start=go": None,
        "https://example.com/r/abcdefgh/more": None,
    }
    found = await ira.page.evaluate(
        """async (links) => {
          const { payloadOf } = await import("/practice/links.js");
          return Object.fromEntries(links.map((link) => [link, payloadOf(link, "practice_bot")]));
        }""",
        list(expected),
    )
    assert found == expected
