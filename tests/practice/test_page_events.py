from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest
from aiogram.types import BufferedInputFile

from bot.practice import page as routes
from tests.practice.page_client import ANNA, IRA, Page, Running, practice, settings_for

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


async def test_the_whole_state_at_once(running: Running) -> None:
    async with running.page() as page:
        assert set(page.state) == {
            "bot", "person", "people", "messages", "keyboard", "commands", "phone", "calls", "old_buttons", "gateways",
        }  # fmt: skip
        assert page.state["bot"] == {"username": "practice_bot", "name": "CRM"}
        await page.act("start")
        await page.says("registration-email-prompt")
        assert set(page.heard[0]) == {
            "id", "from", "at", "html", "text", "edited", "buttons", "photo", "file", "contact", "sticker", "voice",
            "editable",
        }  # fmt: skip
        assert "<b>CRM</b>" in page.heard[0]["html"]


async def test_an_unknown_person_gets_the_first(running: Running) -> None:
    for person in ("12", "", "%27", "4000000000001000"):
        async with running.http.get(f"/practice/events?person={person}") as response:
            while not (line := await response.content.readline()).startswith(b"data:"):
                assert response.status == 200
            assert f'"person":{IRA}'.encode() in line


async def test_changes_that_come_together_are_told_together(running: Running) -> None:
    async with running.page() as page:
        await page.act("start")
        await page.says("registration-email-prompt")
        before = page.states
        for number in range(50):
            running.api.world.post(running.api.people[0].private, running.api.world.bot, text=f"line {number}")
        await page.shows("line 49")
        assert page.states - before <= 3


async def test_a_toast_reaches_its_person_alone(running: Running) -> None:
    async with running.page(IRA) as ira, running.page(IRA) as beside, running.page(ANNA) as anna:
        await ira.act("start")
        await ira.says("registration-email-prompt")
        person = running.api.people[0]
        press = await person.press_data("x", person.answers[-1])
        running.api.world.presses[press.id].answered = False
        await running.app.bot.answer_callback_query(press.id, "Осторожно", show_alert=True)
        await ira.until(lambda: ira.toasts)
        await beside.until(lambda: beside.toasts)
        assert ira.toasts == beside.toasts == [{"text": "Осторожно", "alert": True}]
        await anna.act("start")
        await anna.says("registration-email-prompt")
        assert anna.toasts == []


async def test_a_silent_stream_shows_that_it_lives(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "HEARTBEAT", 0.1)
    async with running.page() as page:
        await page.until(lambda: len(page.comments) >= 2)


async def test_open_streams_do_not_hold_up_the_end(sqlite_url: str, redis_url: str, tmp_path: Path) -> None:
    async with practice(settings_for(sqlite_url, redis_url, tmp_path)) as running:
        http = aiohttp.ClientSession(f"http://127.0.0.1:{running.app.port}")
        pages = [Page(http, IRA) for _ in range(3)]
        listening = [asyncio.create_task(page.listen()) for page in pages]
        await asyncio.gather(*(page.until(lambda page=page: page.state) for page in pages))  # type: ignore[misc]
        began = time.monotonic()
    assert time.monotonic() - began < 3
    await asyncio.gather(*listening)
    assert all(page.ended for page in pages)
    await http.close()


async def test_photos_are_shown_and_files_are_saved(running: Running) -> None:
    async with running.page() as page:
        await page.act("start")
        await page.says("registration-email-prompt")
        bot = running.app.bot
        await bot.send_photo(IRA, BufferedInputFile(PNG, "chart.png"), caption="a <b>chart</b>", parse_mode="HTML")
        await bot.send_photo(IRA, BufferedInputFile(b"<svg onload=alert(1)>", "chart.png"))
        await bot.send_document(IRA, BufferedInputFile(b"<script>1</script>", "отчёт.html"))
        await bot.send_photo(IRA, "some-file-id")
        await page.until(lambda: len(page.heard) == 5)
        photo, false_photo, document, elsewhere = page.heard[1:]
        assert photo["html"] == "a <b>chart</b>"
        assert elsewhere["photo"] is None
        async with page.http.get(photo["photo"]) as response:
            assert (response.content_type, await response.read()) == ("image/png", PNG)
        for address, name in ((false_photo["photo"], "file"), (document["file"]["url"], "%D0%BE%D1%82")):
            async with page.http.get(address) as response:
                assert response.content_type == "application/octet-stream"
                assert response.headers["Content-Disposition"].startswith(f"attachment; filename*=UTF-8''{name}")
                assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert document["file"]["name"] == "отчёт.html"
        await page.act("delete", message=photo["id"])
        async with page.http.get(photo["photo"]) as response:
            assert response.status == 404
