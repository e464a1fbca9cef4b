from __future__ import annotations

from pathlib import Path

import pytest

from tests.ports import free_port
from tests.practice.page_client import ANNA, IRA, Page, Running, practice, settings_for


async def finishes(page: Page) -> None:
    await page.says("registration-code-prompt")
    assert page.state["keyboard"] is None
    await page.act("send", text=await page.code())
    await page.says("registration-done")


async def test_registers_by_the_own_contact_in_russian(running: Running) -> None:
    async with running.page(IRA) as page:
        await page.reaches_phone("ira@example.org")
        assert page.label("button-share-contact") in page.keys
        await page.act("contact")
        await finishes(page)
        contact = page.said[-2]["contact"]
        assert contact == {"name": "Ира", "phone": "+79161234567"}
        (sms,) = page.state["phone"]
        assert sms["number"] == "+79161234567"
        assert sms["code"] in sms["text"]
        assert [call for call in page.state["calls"] if not call["ok"]] == []


async def test_registers_by_a_typed_number_in_english(running: Running) -> None:
    async with running.page(ANNA) as page:
        await page.reaches_phone("anna@example.org")
        await page.act("send", text="+375 29 123-45-67")
        await finishes(page)
        assert [sms["number"] for sms in page.state["phone"]] == ["+375291234567"]
        (start,) = [b for row in page.heard[-1]["buttons"] for b in row if b["kind"] == "url"]
        assert start["url"].startswith("https://")


async def test_a_wrong_code_and_a_resend_too_early(running: Running) -> None:
    async with running.page() as page:
        await page.reaches_phone("ira@example.org")
        await page.act("contact")
        await page.says("registration-code-prompt")
        right = await page.code()
        await page.act("send", text="000000" if right != "000000" else "111111")
        await page.shows("Неверный код")
        await page.press(page.label("button-code-missing"))
        await page.press(page.label("button-resend"))
        await page.until(lambda: page.toasts)
        assert page.toasts[-1]["alert"]
        assert "0:" in page.toasts[-1]["text"] or any(digit.isdigit() for digit in page.toasts[-1]["text"])
        await page.act("send", text=right)
        await page.says("registration-done")
        assert len(page.state["phone"]) == 1


@pytest.mark.parametrize("gateways", [None, "console"])
async def test_sms_go_to_the_page_unless_gateways_were_chosen(
    sqlite_url: str, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], gateways: str | None
) -> None:
    other = {"sms_gateways": gateways} if gateways else {}
    async with practice(settings_for(sqlite_url, redis_url, tmp_path, **other)) as running, running.page() as page:
        assert page.state["gateways"] == ([gateways] if gateways else [])
        await page.reaches_phone("ira@example.org")
        await page.act("contact")
        await page.says("registration-code-prompt")
        if gateways is None:
            await page.code()
    printed = capsys.readouterr().out
    assert ("SMS +79161234567" in printed) == (gateways is not None)
    assert bool(page.state["phone"]) == (gateways is None)


async def test_a_practice_may_use_a_webhook(sqlite_url: str, redis_url: str, tmp_path: Path) -> None:
    port = free_port()
    other = {"http_port": port, "webhook_url": f"http://127.0.0.1:{port}"}
    for number in (1, 2):
        async with practice(settings_for(sqlite_url, redis_url, tmp_path, **other)) as running, running.page() as page:
            await page.act("start")
            await page.until(lambda page=page, number=number: len(page.heard) == number)  # type: ignore[misc]
            assert {call["via"] for call in page.state["calls"] if call["method"] == "sendMessage"} == {"webhook"}
