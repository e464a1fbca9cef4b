"""What people can do and what they see, as real clients show it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.practice import LocalBotAPI, NotOnOffer, Person
from tests.practice.conftest import RawClient


@pytest.fixture
async def ira(server: LocalBotAPI) -> Person:
    person = server.person(7, phone="+79161234567")
    await person.send("/start")
    return person


async def say(call: RawClient, text: str = "x", markup: dict[str, Any] | None = None) -> int:
    more = {} if markup is None else {"reply_markup": markup}
    answer = await call("sendMessage", chat_id=7, text=text, **more)
    return int(answer["result"]["message_id"])


def inline(*labels: str) -> dict[str, Any]:
    return {"inline_keyboard": [[{"text": label, "callback_data": f"data:{label}"}] for label in labels]}


async def newest(call: RawClient) -> dict[str, Any]:
    """The last update waiting."""
    (update,) = (await call("getUpdates", offset=-1))["result"]
    assert isinstance(update, dict)
    return update


async def test_a_command_and_an_address_arrive_marked(ira: Person, call: RawClient) -> None:
    await ira.send("  /start a@b.ru ")
    message = (await newest(call))["message"]
    assert message["text"] == "/start a@b.ru"
    assert message["from"] == {"id": 7, "is_bot": False, "first_name": "Ира", "language_code": "ru"}
    assert message["chat"] == {"id": 7, "type": "private", "first_name": "Ира"}
    assert message["entities"] == [
        {"type": "bot_command", "offset": 0, "length": 6},
        {"type": "email", "offset": 7, "length": 6},
    ]


async def test_a_long_text_is_cut_by_the_client(ira: Person) -> None:
    await ira.send("🙂" * 2049)
    assert [len(message.text) for message in ira.chat[1:]] == [2048, 1]
    with pytest.raises(ValueError, match="empty"):
        await ira.send("   ")


async def test_the_newest_button_of_that_label_is_pressed(ira: Person, call: RawClient) -> None:
    await say(call, "one", inline("go"))
    second = await say(call, "two", inline("go", "stay"))
    await ira.press("go")
    query = (await newest(call))["callback_query"]
    assert (query["data"], query["message"]["message_id"], query["message"]["text"]) == ("data:go", second, "two")
    with pytest.raises(NotOnOffer, match=r"no inline button 'leave'; on offer: inline \[\['go'\], \['go', 'stay'\]\]"):
        await ira.press("leave")


async def test_a_link_button_opens_its_address_and_calls_nobody(
    ira: Person, call: RawClient, server: LocalBotAPI
) -> None:
    before = len(server.updates)
    await say(call, "x", {"inline_keyboard": [[{"text": "open", "url": "https://example.org/"}]]})
    assert await ira.press("open") == "https://example.org/"
    await say(call, "x", {"inline_keyboard": [[{"text": "copy", "copy_text": {"text": "1"}}]]})
    with pytest.raises(NotOnOffer, match="copy_text"):
        await ira.press("copy")
    assert len(server.updates) == before


async def test_crafted_data_under_an_old_and_a_deleted_message(ira: Person, call: RawClient) -> None:
    number = await say(call, "x", inline("go"))
    message = ira.answers[-1]
    await call("editMessageText", chat_id=7, message_id=number, text="y")
    await ira.press_data("data:go", message)
    query = (await newest(call))["callback_query"]
    assert (query["data"], query["message"]["text"]) == ("data:go", "y")
    await call("deleteMessage", chat_id=7, message_id=number)
    await ira.press_data("' OR 1=1", message)
    assert (await newest(call))["callback_query"]["message"] == {
        "chat": {"id": 7, "type": "private", "first_name": "Ира"},
        "message_id": number,
        "date": 0,
    }


async def test_a_reply_keyboard_stays_until_it_is_replaced_or_removed(ira: Person, call: RawClient) -> None:
    share = {"text": "Share", "request_contact": True}
    await say(call, "x", {"keyboard": [[share], ["Back"]], "resize_keyboard": True})
    await say(call, "no keyboard", inline("go"))
    assert ira.reply_keyboard is not None
    assert [button.text for button in ira.reply_keyboard.buttons] == ["Share", "Back"]
    await ira.tap("Back")
    assert (await newest(call))["message"]["text"] == "Back"
    with pytest.raises(NotOnOffer, match=r"reply keyboard \['Share', 'Back'\]"):
        await ira.tap("go")
    await say(call, "gone", {"remove_keyboard": True})
    with pytest.raises(NotOnOffer):
        await ira.tap("Back")


async def test_a_reply_keyboard_used_once_or_deleted_with_its_message_is_gone(ira: Person, call: RawClient) -> None:
    await say(call, "x", {"keyboard": [["Once"]], "one_time_keyboard": True})
    await ira.tap("Once")
    assert ira.reply_keyboard is None
    number = await say(call, "x", {"keyboard": [["Again"]]})
    await call("deleteMessage", chat_id=7, message_id=number)
    assert ira.reply_keyboard is None


async def test_contacts_own_foreign_forwarded_and_made_up(ira: Person, call: RawClient, server: LocalBotAPI) -> None:
    number = await say(call, "x", {"keyboard": [[{"text": "Share", "request_contact": True}]]})
    await ira.tap("Share")
    message = (await newest(call))["message"]
    assert message["contact"] == {"phone_number": "79161234567", "first_name": "Ира", "user_id": 7}
    assert message["reply_to_message"]["message_id"] == number
    await ira.share_contact()
    assert (await newest(call))["message"]["contact"]["user_id"] == 7
    await ira.share_contact(of=server.person(8, "Олег", phone="+375291234567"))
    assert (await newest(call))["message"]["contact"] == {
        "phone_number": "375291234567",
        "first_name": "Олег",
        "user_id": 8,
    }
    await ira.share_contact(forwarded=True)
    message = (await newest(call))["message"]
    assert (message["contact"]["user_id"], message["forward_origin"]["type"]) == (7, "user")
    await ira.share_contact(of={"phone_number": "+1", "first_name": "x"})
    assert (await newest(call))["message"]["contact"] == {"phone_number": "+1", "first_name": "x"}


async def test_an_own_message_can_be_edited_and_no_other(ira: Person, call: RawClient) -> None:
    message = await ira.send("first")
    await ira.edit(message, "second a@b.ru")
    edited = (await newest(call))["edited_message"]
    assert (edited["message_id"], edited["text"], edited["entities"][0]["type"]) == (
        message.id,
        "second a@b.ru",
        "email",
    )
    assert edited["edit_date"] >= edited["date"]
    await say(call)
    with pytest.raises(NotOnOffer):
        await ira.edit(ira.answers[-1], "mine")


async def test_blocking_is_an_update_and_stops_the_client(ira: Person, call: RawClient) -> None:
    await ira.block()
    change = (await newest(call))["my_chat_member"]
    assert (change["old_chat_member"]["status"], change["new_chat_member"]["status"]) == ("member", "kicked")
    with pytest.raises(NotOnOffer, match="blocked"):
        await ira.send("x")
    await ira.unblock()
    change = (await newest(call))["my_chat_member"]
    assert (change["old_chat_member"]["status"], change["new_chat_member"]["status"]) == ("kicked", "member")
    await ira.send("/start")


async def test_stickers_voices_groups_and_channels(ira: Person, call: RawClient, server: LocalBotAPI) -> None:
    await ira.sticker()
    assert "sticker" in (await newest(call))["message"]
    await ira.voice()
    assert "voice" in (await newest(call))["message"]
    group = server.group(-1001, "Support")
    await ira.send_in(group, "@practice_bot привет")
    message = (await newest(call))["message"]
    assert message["chat"] == {"id": -1001, "type": "supergroup", "title": "Support"}
    assert message["entities"][0]["type"] == "mention"
    waiting = asyncio.create_task(group.wait_for("hello"))
    await call("sendMessage", chat_id=-1001, text="hello all")
    assert (await waiting).text == "hello all"
    await server.channel(-1002, "News").post("post")
    post = (await newest(call))["channel_post"]
    assert ("from" in post, post["sender_chat"]["id"]) == (False, -1002)


async def test_in_a_group_only_own_messages_can_be_deleted(ira: Person, call: RawClient, server: LocalBotAPI) -> None:
    message = await ira.send_in(server.group(-1001, "Support"), "x")
    answer = await call("deleteMessage", chat_id=-1001, message_id=message.id)
    assert answer["description"] == "Bad Request: message can't be deleted"


async def test_waiting_finds_what_is_new_or_changed_since_the_last_deed(ira: Person, call: RawClient) -> None:
    number = await say(call, "Неверный код")
    await ira.wait_for("Неверный")
    with pytest.raises(TimeoutError, match="without 'Неверный'; the chat ends with"):
        await ira.wait_for("Неверный", timeout=0.05)
    await say(call, "stale")
    await ira.send("again")
    with pytest.raises(TimeoutError):
        await ira.wait_for("stale", timeout=0.05)
    waiting = asyncio.create_task(ira.wait_for(lambda message: message.edited))
    await call("editMessageText", chat_id=7, message_id=number, text="Неверный код: 2")
    assert (await waiting).text == "Неверный код: 2"


async def test_an_answer_to_a_press_can_be_waited_for(ira: Person, call: RawClient) -> None:
    await say(call, "x", inline("go"))
    await ira.press("go")
    waiting = asyncio.create_task(ira.wait_for_toast("done"))
    await call("answerCallbackQuery", callback_query_id=ira.unanswered[0].id, text="done")
    assert (await waiting).alert is False
    await ira.press("go")
    await call("answerCallbackQuery", callback_query_id=ira.unanswered[0].id)
    assert [toast.text for toast in ira.toasts] == ["done"]


async def test_changes_can_be_followed(ira: Person, call: RawClient, server: LocalBotAPI) -> None:
    seen: list[tuple[str, str]] = []

    async def follow() -> None:
        async for event in server.subscribe():
            seen.append((event.kind, event.text))
            if len(seen) == 3:
                return

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    number = await say(call, "one")
    await call("editMessageText", chat_id=7, message_id=number, text="two")
    await call("deleteMessage", chat_id=7, message_id=number)
    await asyncio.wait_for(following, 5)
    assert seen == [("message", "one"), ("edited", "two"), ("deleted", "two")]
