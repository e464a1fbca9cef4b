"""A whole registration on the practice page, by mouse and by keyboard alone, in both languages."""

from __future__ import annotations

import time

import pytest
from playwright.async_api import expect

from tests.practice.browser.conftest import Visits
from tests.practice.browser.visitor import Visitor

PHONE = {"width": 375, "height": 720}


async def test_by_mouse_with_the_own_contact_in_russian(visits: Visits) -> None:
    ira = await visits("ru")
    began = time.monotonic()
    await ira.reaches_phone("ira@example.org")
    await ira.button(ira.label("button-share-contact"), ira.keyboard).click()
    await expect(ira.dialog).to_contain_text(ira.said("ask contact"))
    await ira.button(ira.said("share"), ira.dialog).click()
    await ira.hears("registration-code-prompt")
    await expect(ira.keyboard).to_be_hidden()
    await ira.codes.first.click()
    await ira.button(ira.said("send")).click()
    done = await ira.hears("registration-done")
    print(f"from the open page to a registered person: {time.monotonic() - began:.1f} s")
    link = done.get_by_role("link", name=ira.label("button-start-work"))
    await expect(link).to_have_attribute("target", "_blank")
    await expect(link).to_have_attribute("rel", "noopener noreferrer")


async def tab_to(visitor: Visitor, name: str, *, back: bool = False) -> None:
    """Press Tab until the control of this name has the focus, as nobody with a mouse would."""
    for _ in range(60):
        found = await visitor.page.evaluate(
            "((one) => one === document.body ? '' : (one.ariaLabel || one.textContent).trim())(document.activeElement)"
        )
        if found.startswith(name):
            return
        await visitor.page.keyboard.press("Shift+Tab" if back else "Tab")
    raise AssertionError(f"{name!r} is not reached by Tab")


async def test_by_keyboard_alone_with_a_typed_number_in_english(visits: Visits) -> None:
    anna = await visits("en")
    keys = anna.page.keyboard
    await tab_to(anna, "To the messages")
    await keys.press("Enter")
    await tab_to(anna, "Start")
    await keys.press("Enter")
    await anna.hears("registration-email-prompt")
    # The field has the focus by itself wherever a person would type next.
    await keys.type("anna@example.org")
    await keys.press("Enter")
    await anna.hears("registration-terms-prompt")
    await tab_to(anna, anna.label("terms-consent"), back=True)
    await keys.press("Space")
    await expect(anna.button(anna.label("terms-consent-ticked"), anna.log)).to_be_focused()
    await tab_to(anna, anna.label("button-register"))
    await keys.press("Enter")
    await anna.hears("registration-phone-reason")
    await tab_to(anna, anna.said("write"))
    await keys.type(anna.phone)
    await keys.press("Enter")
    await anna.hears("registration-code-prompt")
    await expect(anna.codes.first).to_be_visible()
    await tab_to(anna, "Code ")
    await keys.press("Enter")
    await expect(anna.field).to_be_focused()
    await keys.press("Enter")
    await anna.hears("registration-done")


@pytest.mark.parametrize("language", ["ru", "en"])
async def test_on_a_phone_where_the_sms_comes_as_a_banner(visits: Visits, language: str) -> None:
    ira = await visits(language, viewport=PHONE, has_touch=True)
    await ira.reaches_phone(f"phone-{language}@example.org")
    await ira.shares_contact()
    await ira.hears("registration-code-prompt")
    banner = ira.page.locator(".banner-card")
    await expect(banner).to_contain_text("Smarty CRM")
    await banner.get_by_role("button").first.tap()
    await expect(banner).to_have_count(0)
    await ira.button(ira.said("send")).tap()
    await ira.hears("registration-done")
    assert await ira.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_a_wrong_code_and_a_resend_too_early_cost_nothing_but_words(visits: Visits) -> None:
    ira = await visits("ru")
    await ira.reaches_phone("wrong@example.org")
    await ira.says(ira.phone)
    await ira.hears("registration-code-prompt")
    await expect(ira.codes.first).to_be_visible()
    code = (await ira.codes.first.locator(".digits").inner_text()).strip()
    await ira.says(f"{(int(code) + 1) % 1_000_000:06d}")
    await ira.hears("registration-code-wrong", 4)
    await ira.presses("button-code-missing")
    await ira.hears("code-help-accepted")
    await ira.presses("button-resend")
    alert = ira.page.get_by_role("alertdialog")
    await expect(alert).to_contain_text("Новый код можно запросить через")
    await expect(ira.button(ira.said("ok"), alert)).to_be_focused()
    await ira.page.keyboard.press("Enter")
    await expect(alert).to_have_count(0)
    resend = ira.button(ira.label("button-resend"), ira.log)
    await expect(resend).to_have_attribute("aria-busy", "false")
    await ira.says(f"Ваш код {code[:3]}-{code[3:]}")
    await ira.hears("registration-done")


async def test_ticking_edits_the_message_in_place(visits: Visits) -> None:
    ira = await visits("ru")
    await ira.starts()
    await ira.says("tick@example.org")
    terms = await ira.hears("registration-terms-prompt")
    count = await ira.log.locator(".message").count()
    await ira.presses("terms-consent")
    await expect(terms).to_contain_text("☑")
    await expect(terms).to_contain_text(ira.said("edited"))
    await ira.presses("terms-consent-ticked")
    await expect(terms).to_contain_text("☐")
    assert await ira.log.locator(".message").count() == count


async def test_the_bots_keyboard_comes_folds_and_goes(visits: Visits) -> None:
    ira = await visits("en")
    await expect(ira.keyboard).to_be_hidden()
    await ira.reaches_phone("keyboard@example.org")
    await expect(ira.keyboard.get_by_role("button")).to_have_count(3)
    await ira.button(ira.said("hide keyboard")).click()
    await expect(ira.keyboard).to_be_hidden()
    await ira.button(ira.said("show keyboard")).click()
    await ira.button(ira.label("button-share-contact"), ira.keyboard).click()
    await ira.button(ira.said("cancel"), ira.dialog).click()
    await expect(ira.log.locator(".attached")).to_have_count(0)
    await ira.button(ira.label("button-back"), ira.keyboard).click()
    await ira.hears("registration-terms-prompt")
    await expect(ira.keyboard).to_be_hidden()
    await expect(ira.button(ira.said("show keyboard"))).to_have_count(0)
