from __future__ import annotations

import asyncio
import json
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from aiogram.types import (
    BufferedInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
)

from bot.practice import LocalBotAPI
from bot.practice.ground import Practice, practising
from handlers.ports import CodeMessage
from storage.models import Channel
from tests.practice.page_client import ANNA, IRA, Json, call_method, practice, settings_for
from tests.waiting import until


async def call(practice: Practice, method: str, **parameters: object) -> Json:
    return await call_method(practice.api, method, **parameters)


def state(api: LocalBotAPI) -> list[object]:
    """Return everything a person sees."""
    return [[message.as_json() for message in person.chat] for person in api.people]


async def test_a_restart_keeps_the_practice(sqlite_url: str, redis_url: str, tmp_path: Path) -> None:
    settings = settings_for(sqlite_url, redis_url, tmp_path)
    async with practice(settings) as running, running.page() as page:
        await page.reaches_phone("ira@example.org")
        added = await page.act("add_person", name="Lena", language="en", phone="+375297654321")
        await page.act("change_person", phone="+79160000001")
        bot = running.app.bot
        keyboard = InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="once", callback_data="once")]])
        message = await bot.send_message(IRA, "<b>bold</b>", parse_mode="HTML", reply_markup=keyboard)
        await bot.edit_message_text("<i>other</i>", chat_id=IRA, message_id=message.message_id, parse_mode="HTML")
        await bot.send_photo(IRA, BufferedInputFile(b"\x89PNG\r\n\x1a\n", "chart.png"), caption="chart")
        await running.call("sendMessage", chat_id=ANNA, text="too early")
        await page.shows("chart")
        await page.until(lambda: not page.state["calls"][-1]["ok"])
        before, updates = page.state, running.api.updates
    async with practice(settings) as running, running.page() as page:
        for part in ("messages", "keyboard", "people", "phone", "old_buttons", "commands", "bot"):
            assert page.state[part] == before[part], part
        assert page.state["calls"][: len(before["calls"])] == before["calls"]
        assert [call["code"] for call in page.state["calls"] if not call["ok"]] == [403]
        assert page.messages[-1]["photo"]
        async with page.http.get(page.messages[-1]["photo"]) as response:
            assert await response.read() == b"\x89PNG\r\n\x1a\n"
        await page.act("contact")
        await page.says("registration-code-prompt")
        assert page.state["keyboard"] is None
        assert running.api.updates[0].id > updates[-1].id
        assert page.messages[-1]["id"] > before["messages"][-1]["id"]
        await page.act("send", text=await page.code())
        await page.says("registration-done")
        async with running.page(added["person"]) as lena:
            await lena.reaches_phone("lena@example.org")


async def test_what_waits_is_delivered_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "practice.json"
    async with practising(path, name="CRM", host="127.0.0.1") as first:
        ira = first.api.people[0]
        await ira.send("/start")
        keyboard = {"inline_keyboard": [[{"text": "go", "callback_data": "go"}]]}
        await call(first, "sendMessage", chat_id=ira.id, text="press", reply_markup=keyboard)
        await ira.press("go")
        ids = [update.id for update in first.api.updates]
    async with practising(path, name="CRM", host="127.0.0.1") as second:
        answer = await call(second, "getUpdates")
        assert [update["update_id"] for update in answer["result"]] == ids
        press = answer["result"][1]["callback_query"]
        assert len(second.api.people[0].unanswered) == 1
        assert (await call(second, "answerCallbackQuery", callback_query_id=press["id"], text="done"))["ok"]
        assert [toast.text for toast in second.api.people[0].toasts] == ["done"]
        await call(second, "getUpdates", offset=ids[-1] + 1)
    async with practising(path, name="CRM", host="127.0.0.1") as third:
        assert (await call(third, "getUpdates"))["result"] == []
        assert third.api.people[0].unanswered == []


async def test_keyboards_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "practice.json"
    keyboard = {
        "keyboard": [["Yes", {"text": "Number", "request_contact": True}], ["No"]],
        "one_time_keyboard": True,
        "input_field_placeholder": "choose",
    }
    inline = {"inline_keyboard": [[{"text": "a", "callback_data": "1"}], [{"text": "b", "url": "https://a.example/"}]]}
    async with practising(path, name="CRM", host="127.0.0.1") as first:
        ira = first.api.people[0]
        await ira.send("/start")
        await call(first, "sendMessage", chat_id=ira.id, text="keys", reply_markup=keyboard)
        await call(first, "sendMessage", chat_id=ira.id, text="buttons", reply_markup=inline)
        await ira.sticker()
        await ira.edit(ira.chat[0], "/help")
        shown = ira.reply_keyboard
        seen = state(first.api)
    async with practising(path, name="CRM", host="127.0.0.1") as second:
        ira = second.api.people[0]
        assert state(second.api) == seen
        assert ira.reply_keyboard == shown
        await ira.tap("Yes")
        assert ira.reply_keyboard is None, "once was enough"
        await ira.press("a")
        assert not ira.chat[1].editable, "Telegram edits no message that brought a reply keyboard"


async def test_an_answered_call_is_in_the_file_already(tmp_path: Path) -> None:
    """Nothing more is written after a kill: whatever was answered must be there at that moment."""
    path = tmp_path / "practice.json"
    async with practising(path, name="CRM", host="127.0.0.1") as running:
        await running.api.people[0].send("/start")
        for number in range(20):
            await call(running, "sendMessage", chat_id=IRA, text=f"line {number}")
            kept = json.loads(path.read_text())
            assert kept["people"][0]["messages"][-1]["text"] == f"line {number}"
        await asyncio.gather(*(call(running, "sendMessage", chat_id=IRA, text="together") for _ in range(20)))
        kept = json.loads(path.read_text())
        assert len([one for one in kept["people"][0]["messages"] if one["text"] == "together"]) == 20


async def test_changes_nobody_waits_for_are_written_soon(tmp_path: Path) -> None:
    path = tmp_path / "practice.json"
    async with practising(path, name="CRM", host="127.0.0.1") as running:
        await running.api.people[0].send("hello")
        await until(lambda: path.exists() and "hello" in path.read_text())


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", "null", '{"version": 2}', '{"version": 1, "people": [{"id": 1}]}', "\udcff"],
    ids=["empty", "cut off", "list", "null", "newer", "incomplete", "bytes"],
)
async def test_a_damaged_file_is_put_aside(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "practice.json"
    path.write_bytes(damage.encode(errors="surrogateescape"))
    async with practising(path, name="CRM", host="127.0.0.1") as running:
        assert [person.user.first_name for person in running.api.people] == ["Ира", "Anna", "Олег"]
        assert "practice.json cannot be read" in caplog.text
        await running.api.people[0].send("/start")
    assert path.with_name("practice.json.damaged").read_bytes() == damage.encode(errors="surrogateescape")
    async with practising(path, name="CRM", host="127.0.0.1") as running:
        assert len(running.api.people[0].chat) == 1


async def test_a_file_half_understood_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "practice.json"
    async with practising(path, name="CRM", host="127.0.0.1") as running:
        await running.api.people[0].send("/start")
    kept = json.loads(path.read_text())
    kept["phone"] = [{"nonsense": 1}]
    path.write_text(json.dumps(kept))
    async with practising(path, name="CRM", host="127.0.0.1") as running:
        assert [len(person.chat) for person in running.api.people] == [0, 0, 0]


async def test_a_disk_that_is_full_does_not_stop_the_practice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "practice.json"
    async with practising(path, name="CRM", host="127.0.0.1") as running:
        # A folder where the new file is to be written, since nobody refuses root anything.
        path.with_name("practice.json.new").mkdir()
        await running.api.people[0].send("/start")
        async with asyncio.timeout(5):
            assert (await call(running, "sendMessage", chat_id=IRA, text="on we go"))["ok"]
        assert "cannot be written" in caplog.text
        path.with_name("practice.json.new").rmdir()
    assert "on we go" in path.read_text()


def message(text: str, send_id: uuid.UUID) -> CodeMessage:
    return CodeMessage("+79161234567", text, text[:6], "ru", Channel.SMS, send_id, timedelta(minutes=10))


async def test_the_phone_shows_a_repeated_message_once(tmp_path: Path) -> None:
    path = tmp_path / "practice.json"
    async with practising(path, name="CRM", host="127.0.0.1") as running:
        send = uuid.uuid4()
        for _ in range(2):
            await running.phone.send(message("123456 - code", send))
        for number in range(300):
            await running.phone.send(message(f"text {number}", uuid.uuid4()))
        assert len(running.phone.messages) == 200
    async with practising(path, name="CRM", host="127.0.0.1") as running:
        assert running.phone.messages[-1].text == "text 299"
        assert running.phone.messages[-1].code is None
