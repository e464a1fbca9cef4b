from __future__ import annotations

import pytest
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup, KeyboardButton, ReplyKeyboardMarkup

from tests.practice.page_client import ANNA, IRA, Json, Page, Running

MARKUP = InlineKeyboardMarkup(
    inline_keyboard=[
        [
            InlineKeyboardButton(text="first", callback_data="1"),
            InlineKeyboardButton(text="page", url="https://a.example/"),
        ],
        [InlineKeyboardButton(text="second", callback_data="2")],
    ]
)


async def asks(running: Running, page: Page, keyboard: InlineKeyboardMarkup | ReplyKeyboardMarkup = MARKUP) -> int:
    """Let the bot say something of its own, and return the message's id once the page shows it."""
    message = await running.app.bot.send_message(IRA, "well?", reply_markup=keyboard)
    await page.shows("well?")
    return message.message_id


async def begins(page: Page) -> None:
    await page.act("start")
    await page.says("registration-email-prompt")


def told(running: Running) -> list[Json]:
    """Return what the bot was told, oldest first."""
    return [update.as_json() for update in running.api.updates]


async def test_start_begins_the_chat(running: Running) -> None:
    async with running.page() as page:
        assert not page.me["started"]
        assert page.messages == []
        await begins(page)
        assert page.me["started"]
        assert page.me["last"]
        assert page.said[0]["text"] == "/start"


async def test_a_link_with_a_payload_shows_start_and_tells_the_payload(running: Running) -> None:
    async with running.page() as page:
        await page.act("start", payload="r_abcd1234")
        await page.says("registration-email-prompt")
        assert [message["text"] for message in page.said] == ["/start"]
        assert told(running)[0]["message"]["text"] == "/start r_abcd1234"
        for wrong in ("x" * 65, "пароль", "a b"):
            assert "64" in await page.cannot("start", payload=wrong)


async def test_send(running: Running) -> None:
    async with running.page() as page:
        await begins(page)
        await page.act("send", text="  ira@example.org \n")
        await page.says("registration-terms-prompt")
        assert page.said[-1]["text"] == "ira@example.org"
        await page.act("send", text="x" * 5000)
        await page.until(lambda: len(page.said[-1]["text"]) == 5000 - 4096)
        for nothing in ("", " \n ", "\0"):
            assert "empty" in await page.cannot("send", text=nothing)


async def test_commands_come_in_the_persons_language(running: Running) -> None:
    async with running.page(IRA) as ira, running.page(ANNA) as anna:
        words = [{one["command"]: one["description"] for one in page.state["commands"]}["help"] for page in (ira, anna)]
        assert words == [ira.label("command-help"), anna.label("command-help")]
        await ira.act("change_person", language="en-GB")
        await ira.until(lambda: ira.language == "en-GB")
        assert ira.state["commands"] == anna.state["commands"]


async def test_press_spins_until_it_is_answered(running: Running) -> None:
    async with running.page() as page:
        await begins(page)
        number = await asks(running, page)
        running.api.delay(0.3, "answerCallbackQuery")
        await page.act("press", message=number, index=2)
        await page.until(lambda: page.button("second")[1]["busy"])
        assert not page.button("first")[1]["busy"]
        # A second press of a button that spins is none.
        await page.act("press", message=number, index=2)
        await page.until(lambda: not page.button("second")[1]["busy"])
        presses = [update["callback_query"] for update in told(running) if "callback_query" in update]
        assert [(press["data"], press["message"]["message_id"]) for press in presses] == [("2", number)]


async def test_press_is_refused_where_nothing_can_be_pressed(running: Running) -> None:
    async with running.page() as page:
        await begins(page)
        number = await asks(running, page)
        assert "does not call" in await page.cannot("press", message=number, index=1)
        for index in (-1, 3, 10**30):
            assert "not there" in await page.cannot("press", message=number, index=index)
        assert "no such message" in await page.cannot("press", message=10**9, index=0)
        for odd in (None, "0", 0.5, True, [0]):
            assert "whole number" in await page.cannot("press", message=number, index=odd)


async def test_old_buttons_are_those_that_were_there_once(running: Running) -> None:
    async with running.page() as page:
        await begins(page)
        number = await asks(running, page)
        assert page.state["old_buttons"] == []
        changed = InlineKeyboardMarkup(
            inline_keyboard=[
                [InlineKeyboardButton(text="other", callback_data="3")],
                [InlineKeyboardButton(text="second", callback_data="2")],
            ]
        )
        await running.app.bot.edit_message_reply_markup(chat_id=IRA, message_id=number, reply_markup=changed)
        await page.until(lambda: page.state["old_buttons"])
        (old,) = page.state["old_buttons"]
        assert old == {"message": number, "index": 0, "label": "first"}
        await page.act("press_old", message=number, index=old["index"])
        await page.until(lambda: told(running)[-1].get("callback_query", {}).get("data") == "1")
        for index in (1, 2, 7):
            assert "no old button" in await page.cannot("press_old", message=number, index=index)
        await running.app.bot.delete_message(IRA, number)
        await page.until(lambda: [one["label"] for one in page.state["old_buttons"]] == ["first", "second", "other"])
        await page.act("press_old", message=number, index=1)
        gone = told(running)[-1]["callback_query"]["message"]
        assert (gone["date"], gone["message_id"]) == (0, number)


async def test_tap_and_contact(running: Running) -> None:
    async with running.page() as page:
        assert "not on the keyboard" in await page.cannot("tap", label="anything")
        await begins(page)
        keyboard = ReplyKeyboardMarkup(
            keyboard=[[KeyboardButton(text="Yes"), KeyboardButton(text="Number", request_contact=True)]]
        )
        number = await asks(running, page, keyboard)
        await page.until(lambda: page.keys == ["Yes", "Number"])
        assert page.state["keyboard"]["rows"] == [
            [{"label": "Yes", "contact": False}, {"label": "Number", "contact": True}]
        ]
        await page.act("tap", label="Yes")
        await page.shows("Yes")
        assert "contact" in await page.cannot("tap", label="Number")
        await page.act("contact")
        await page.until(lambda: page.said[-1]["contact"])
        shared = told(running)[-1]["message"]
        assert shared["contact"]["user_id"] == IRA
        assert shared["reply_to_message"]["message_id"] == number


async def test_contacts_that_are_not_the_own(running: Running) -> None:
    async with running.page() as page:
        await begins(page)
        await page.act("contact")
        await page.act("foreign_contact")
        await page.act("forwarded_contact")
        await page.until(lambda: len(page.said) == 4)
        assert [message["contact"]["name"] for message in page.said[1:]] == ["Ира", "Anna", "Ира"]
        own, foreign, forwarded = (update["message"] for update in told(running)[-3:])
        assert (own["contact"]["user_id"], "forward_origin" in own) == (IRA, False)
        assert (foreign["contact"]["user_id"], foreign["from"]["id"]) == (ANNA, IRA)
        assert (forwarded["contact"]["user_id"], "forward_origin" in forwarded) == (IRA, True)


async def test_edit(running: Running) -> None:
    async with running.page() as page:
        await begins(page)
        await page.act("send", text="no address")
        message = await page.shows("no address")
        assert message["editable"]
        await page.act("edit", message=message["id"], text="ira@example.org")
        await page.says("registration-terms-prompt")
        assert [(one["text"], one["edited"]) for one in page.said[1:]] == [("ira@example.org", True)]
        updates = len(told(running))
        await page.act("edit", message=message["id"], text=" ira@example.org ")
        assert len(told(running)) == updates, "the same text is no edit"
        for text in (" ", "x" * 4097, "👍" * 2049):
            assert "4096" in await page.cannot("edit", message=message["id"], text=text)
        assert "own" in await page.cannot("edit", message=page.heard[0]["id"], text="mine now")
        await page.act("change_person", language="en")
        await page.act("edit", message=message["id"], text="anna@example.org")
        await page.shows("anna@example.org")


async def test_delete_sticker_voice(running: Running) -> None:
    async with running.page() as page:
        await begins(page)
        for act in ("sticker", "voice"):
            await page.act(act)
            await page.until(lambda act=act: page.said[-1][act])  # type: ignore[misc]
            assert not page.said[-1]["editable"]
            await page.says("registration-email-prompt")
        number = page.said[-1]["id"]
        await page.act("delete", message=number)
        await page.until(lambda: number not in [message["id"] for message in page.messages])
        assert "not there" in await page.cannot("delete", message=number)


async def test_block_and_unblock(running: Running) -> None:
    async with running.page() as page:
        assert "Start" in await page.cannot("block")
        await begins(page)
        message = page.said[0]["id"]
        await page.act("block")
        await page.until(lambda: page.me["blocked"])
        assert "unblock" in await page.cannot("send", text="hello")
        assert "unblock" in await page.cannot("edit", message=message, text="hello")
        await page.act("unblock")
        await page.until(lambda: not page.me["blocked"])
        states = [u["my_chat_member"]["new_chat_member"]["status"] for u in told(running) if "my_chat_member" in u]
        assert states == ["kicked", "member"]
        await page.act("send", text="/start")
        await page.until(lambda: len(page.heard) == 2)


async def test_people_are_added_and_changed(running: Running) -> None:
    async with running.page() as page:
        assert [(one["name"], one["language"], one["phone"][:5]) for one in page.state["people"]] == [
            ("Ира", "ru", "+7916"),
            ("Anna", "en", "+7903"),
            ("Олег", "ru", "+7701"),
        ]
        added = await page.act("add_person", name="  Lena \n K ", language="en", phone="+375 (29) 765-43-21")
        await page.until(lambda: len(page.state["people"]) == 4)
        lena = page.state["people"][-1]
        assert (lena["id"], lena["name"], lena["phone"]) == (added["person"], "Lena K", "+375297654321")
        async with running.page(added["person"]) as hers:
            await begins(hers)
        assert page.messages == []
        await page.act("change_person", phone="+79160000001", language="en")
        await page.until(lambda: (page.me["phone"], page.me["language"]) == ("+79160000001", "en"))
        assert "Lena K" in await page.cannot("change_person", phone="+375297654321", language="ru")
        assert page.language == "en", "nothing is half done"
        await begins(page)


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"name": "", "language": "ru", "phone": "+79160000001"}, "name"),
        ({"name": "x" * 65, "language": "ru", "phone": "+79160000001"}, "name"),
        ({"name": "A", "language": "Russian!", "phone": "+79160000001"}, "language"),
        ({"name": "A", "language": "ru", "phone": "89160000001"}, "number"),
        ({"name": "A", "language": "ru", "phone": "+79161234567"}, "Ира"),
        ({"name": "A", "language": "ru"}, "phone"),
        ({"name": ["A"], "language": "ru", "phone": "+79160000001"}, "name"),
    ],
)
async def test_a_person_is_refused(running: Running, order: Json, words: str) -> None:
    async with running.page() as page:
        assert words in await page.cannot("add_person", **order)
        assert len(running.api.people) == 3


async def test_there_is_an_end_to_people(running: Running) -> None:
    async with running.page() as page:
        for number in range(47):
            await page.act("add_person", name="N", language="ru", phone=f"+7916000{number:04d}")
        assert "50" in await page.cannot("add_person", name="N", language="ru", phone="+79169999999")


async def test_what_is_no_act(running: Running) -> None:
    async with running.page() as page:
        assert await page.post({"person": 1, "act": "send", "text": "x"}) == (400, {"error": "there is no such person"})
        assert "no act" in await page.cannot("fly")
        assert (await page.post([]))[0] == 400
        for body in (b"", b"{", b"\xff", b"[" * 100_000):
            headers = {"X-Practice": "1", "Content-Type": "application/json"}
            async with page.http.post("/practice/act", data=body, headers=headers) as response:
                assert response.status == 400
                assert list(await response.json()) == ["error"]


async def test_a_refused_call_is_seen(running: Running) -> None:
    async with running.page() as page:
        await begins(page)
        await running.call("sendMessage", chat_id=IRA, text="<b>open", parse_mode="HTML")
        await page.until(lambda: not page.state["calls"][-1]["ok"])
        call = page.state["calls"][-1]
        assert (call["method"], call["code"], call["parameters"]["text"]) == ("sendMessage", 400, "<b>open")
        assert "Can't find end tag" in call["description"]
        assert [one["id"] for one in page.state["calls"]] == sorted({one["id"] for one in page.state["calls"]})
        for number in range(120):
            await running.app.bot.send_message(IRA, str(number))
        await page.shows("119")
        assert len(page.state["calls"]) == 100
