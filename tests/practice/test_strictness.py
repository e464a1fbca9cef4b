"""Every refusal of the strictness table, over raw HTTP, in Telegram's words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from bot.practice import LocalBotAPI
from tests.practice.conftest import MovableClock, RawClient

IRA = 7
NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same "
    "as a current content and reply markup of the message"
)
TOO_OLD = "query is too old and response timeout expired or query ID is invalid"


def inline(**button: Any) -> dict[str, Any]:
    return {"inline_keyboard": [[button]]}


def button_error(reason: str) -> str:
    return f"can't parse inline keyboard button: {reason}"


SEND = [
    ({}, "message text is empty"),
    ({"chat_id": IRA, "text": ""}, "message text is empty"),
    ({"chat_id": IRA, "text": " \n "}, "text must be non-empty"),
    ({"chat_id": IRA, "text": "<b> </b>", "parse_mode": "HTML"}, "text must be non-empty"),
    ({"text": "x"}, "chat_id is empty"),
    ({"chat_id": 404, "text": "x"}, "chat not found"),
    ({"chat_id": "@nobody_here", "text": "x"}, "chat not found"),
    ({"chat_id": IRA, "text": "x" * 4097}, "message is too long"),
    ({"chat_id": IRA, "text": "🙂" * 2049}, "message is too long"),
    ({"chat_id": IRA, "text": "x", "parse_mode": "Fancy"}, "unsupported parse_mode"),
    (
        {"chat_id": IRA, "text": "<x>", "parse_mode": "html"},
        'can\'t parse entities: Unsupported start tag "x" at byte offset 0',
    ),
    (
        {"chat_id": IRA, "text": "x", "entities": [{"type": "bold", "offset": 100, "length": 1}]},
        "entity begins after the end of the text at UTF-16 offset 100",
    ),
    (
        {"chat_id": IRA, "text": "x", "entities": [{"type": "bold", "offset": 0, "length": 9}]},
        "entity beginning at UTF-16 offset 0 ends after the end of the text at UTF-16 offset 9",
    ),
    (
        {"chat_id": IRA, "text": "x", "entities": [{"type": "huge", "offset": 0, "length": 1}]},
        "can't parse MessageEntity: Unsupported type specified",
    ),
    (
        {"chat_id": IRA, "text": "x", "entities": [{"type": "bold", "offset": -1, "length": 1}]},
        "receive an entity with incorrect offset -1",
    ),
    ({"chat_id": IRA, "text": "x", "link_preview_options": [1]}, "can't parse link preview options: Object expected"),
    ({"chat_id": IRA, "text": "x", "reply_parameters": {"message_id": 99}}, "message to be replied not found"),
]

MARKUP: list[tuple[object, str]] = [
    ("{", "can't parse reply keyboard markup JSON object"),
    ([], "object expected as reply markup"),
    (None, "object expected as reply markup"),
    ({"inline_keyboard": {}}, 'field "inline_keyboard" of the InlineKeyboardMarkup must be an Array'),
    (
        {"inline_keyboard": [{"text": "x"}]},
        'field "inline_keyboard" of the InlineKeyboardMarkup must be an Array of Arrays',
    ),
    ({"inline_keyboard": [["x"]]}, button_error("InlineKeyboardButton must be an Object")),
    (inline(callback_data="x"), button_error('Can\'t find field "text"')),
    (inline(text=True, callback_data="x"), button_error('Field "text" must be of type String')),
    (inline(text=" ", callback_data="x"), button_error("button text must be non-empty")),
    (inline(text="x"), button_error("Text buttons are unallowed in the inline keyboard")),
    (inline(text="x", callback_data=""), button_error("Text buttons are unallowed in the inline keyboard")),
    (inline(text="x", callback_data=1), button_error('Field "callback_data" must be of type String')),
    (inline(text="x", url=None), button_error('Field "url" must be of type String')),
    (
        inline(text="x", url="https://a.ru", callback_data="x"),
        button_error("exactly one of the optional fields must be used, found url, callback_data"),
    ),
    (inline(text="x", callback_data="x" * 65), "BUTTON_DATA_INVALID"),
    (inline(text="x", callback_data="ж" * 33), "BUTTON_DATA_INVALID"),
    (inline(text="x", url="nowhere"), "inline keyboard button URL 'nowhere' is invalid: Wrong HTTP URL"),
    (
        inline(text="x", url="http://localhost:8080/"),
        "inline keyboard button URL 'http://localhost:8080/' is invalid: Wrong HTTP URL",
    ),
    (
        inline(text="x", url="ftp://example.com"),
        "inline keyboard button URL 'ftp://example.com' is invalid: Unsupported URL protocol",
    ),
    (inline(text="x", url="https://"), "inline keyboard button URL 'https://' is invalid: URL host is empty"),
    ({"inline_keyboard": [[{"text": "x", "callback_data": "x"}] * 9]}, "REPLY_MARKUP_TOO_LONG"),
    ({"keyboard": "x"}, 'field "keyboard" of the ReplyKeyboardMarkup must be an Array'),
    ({"keyboard": [[{"request_contact": True}]]}, "can't parse keyboard button: Can't find field \"text\""),
    (
        {"keyboard": [[{"text": "x", "request_contact": "yes"}]]},
        'can\'t parse keyboard button: Field "request_contact" must be of type Boolean',
    ),
    ({"keyboard": [["x"]], "resize_keyboard": 1}, 'field "resize_keyboard" must be of type Boolean'),
    ({"remove_keyboard": "true"}, 'field "remove_keyboard" must be of type Boolean'),
]

ABOUT_THE_BOT = [
    ("setWebhook", {"url": "http://example.org/x"}, "bad webhook: An HTTPS URL must be provided for webhook"),
    ("setWebhook", {"url": "ftp://127.0.0.1/x"}, "bad webhook: An HTTPS URL must be provided for webhook"),
    ("setWebhook", {"url": "https://"}, "bad webhook: URL host is empty"),
    (
        "setWebhook",
        {"url": "https://example.org:9000/x"},
        "bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443",
    ),
    (
        "setWebhook",
        {"url": "http://127.0.0.1:1/x", "secret_token": "a b"},
        "secret token contains unallowed characters",
    ),
    (
        "setWebhook",
        {"url": "http://127.0.0.1:1/x", "secret_token": "a+b="},
        "secret token contains unallowed characters",
    ),
    ("setWebhook", {"url": "http://127.0.0.1:1/x", "secret_token": "a" * 257}, "secret token is too long"),
    ("setMyCommands", {"commands": [{"command": "Start", "description": "x"}]}, "BOT_COMMAND_INVALID"),
    ("setMyCommands", {"commands": [{"command": "start", "description": ""}]}, "BOT_COMMAND_DESCRIPTION_INVALID"),
    ("setMyDescription", {"description": "x" * 513}, "BOT_DESCRIPTION_TOO_LONG"),
    ("setMyShortDescription", {"short_description": "x" * 121}, "BOT_SHORT_DESCRIPTION_TOO_LONG"),
    ("sendChatAction", {"chat_id": IRA, "action": "dancing"}, "wrong parameter action in request"),
    ("sendPhoto", {"chat_id": IRA}, "there is no photo in the request"),
    ("sendDocument", {"chat_id": IRA, "document": "attach://x"}, "wrong file identifier/HTTP URL specified"),
    ("sendDocument", {"chat_id": IRA, "document": "x", "caption": "x" * 1025}, "message caption is too long"),
    ("answerCallbackQuery", {"callback_query_id": "1", "text": "x" * 201}, "MESSAGE_TOO_LONG"),
    ("answerCallbackQuery", {"callback_query_id": "1"}, TOO_OLD),
    ("deleteMessage", {"chat_id": IRA}, "message identifier is not specified"),
    ("deleteMessage", {"chat_id": IRA, "message_id": 99}, "message to delete not found"),
    ("editMessageText", {"text": "x"}, "message identifier is not specified"),
    ("editMessageText", {"chat_id": IRA, "message_id": 99, "text": "x"}, "message to edit not found"),
    ("editMessageText", {"chat_id": IRA, "message_id": 1, "text": "x"}, "message can't be edited"),
    ("getChat", {"chat_id": 404}, "chat not found"),
]


@pytest.fixture
async def known(server: LocalBotAPI) -> LocalBotAPI:
    await server.person(IRA).send("/start")
    return server


async def refusal(call: RawClient, method: str, **parameters: Any) -> str:
    answer = await call(method, **parameters)
    assert answer["ok"] is False, answer
    return str(answer["description"])


@pytest.mark.parametrize(("parameters", "reason"), SEND)
async def test_a_message_is_refused(
    known: LocalBotAPI, call: RawClient, parameters: dict[str, Any], reason: str
) -> None:
    assert await refusal(call, "sendMessage", **parameters) == f"Bad Request: {reason}"
    assert len(known.person(IRA).chat) == 1
    assert [recorded.description for recorded in known.refusals] == [f"Bad Request: {reason}"]


@pytest.mark.parametrize(("markup", "reason"), MARKUP)
async def test_a_keyboard_is_refused(known: LocalBotAPI, call: RawClient, markup: Any, reason: str) -> None:
    sent = await refusal(call, "sendMessage", chat_id=IRA, text="x", reply_markup=markup)
    assert sent == f"Bad Request: {reason}"


@pytest.mark.parametrize(("method", "parameters", "reason"), ABOUT_THE_BOT)
async def test_a_method_is_refused(
    known: LocalBotAPI, call: RawClient, method: str, parameters: dict[str, Any], reason: str
) -> None:
    assert await refusal(call, method, **parameters) == f"Bad Request: {reason}"


async def test_the_largest_allowed_sizes_are_taken(known: LocalBotAPI, call: RawClient) -> None:
    bold = "<b>" + "🙂" * 2048 + "</b>"
    markup = inline(text="x", callback_data="ж" * 32)
    answer = await call("sendMessage", chat_id=IRA, text=bold, parse_mode="HTML", reply_markup=markup)
    assert answer["ok"], answer
    # Unknown fields are ignored, an empty keyboard is none.
    unknown = {"inline_keyboard": [], "colour": "red"}
    assert (await call("sendMessage", chat_id=str(IRA), text="x", reply_markup=unknown, colour=1))["ok"]
    assert known.refusals == []


async def test_unknown_methods_and_tokens(server: LocalBotAPI, call: RawClient) -> None:
    assert await call("sendTelepathy") == {"ok": False, "error_code": 404, "description": "Not Found"}
    async with call.http.get(f"{server.base_url}/bot1:wrong/getMe") as response:
        assert response.status == 401
        assert await response.json() == {"ok": False, "error_code": 401, "description": "Unauthorized"}
    async with call.http.get(f"{server.base_url}/elsewhere") as response:
        assert response.status == 404


async def test_several_tokens_are_one_bot(clock: MovableClock) -> None:
    server = LocalBotAPI("5:old", "5:new", clock=clock)
    await server.start()
    async with aiohttp.ClientSession() as http:
        for token in ("5:old", "5:new"):
            async with http.get(f"{server.base_url}/bot{token}/getMe") as response:
                assert (await response.json())["result"]["id"] == 5
    await server.stop()
    with pytest.raises(ValueError, match="one bot"):
        LocalBotAPI("5:x", "6:x")


async def test_every_way_of_passing_arguments(known: LocalBotAPI, call: RawClient) -> None:
    async with call.http.get(call.url("SENDMESSAGE"), params={"chat_id": IRA, "text": "query"}) as response:
        assert response.status == 200
    async with call.http.post(call.url("sendMessage"), data={"chat_id": str(IRA), "text": "form"}) as response:
        assert response.status == 200
    assert (await call("sendMessage", chat_id=IRA, text="json"))["ok"]
    assert [message.text for message in known.person(IRA).answers] == ["query", "form", "json"]
    async with call.http.post(
        call.url("sendMessage"), data=b"{oops", headers={"Content-Type": "application/json"}
    ) as response:
        assert response.status == 400


async def test_whom_the_bot_may_write(server: LocalBotAPI, call: RawClient) -> None:
    ira = server.person(IRA)
    assert await refusal(call, "sendMessage", chat_id=IRA, text="x") == (
        "Forbidden: bot can't initiate conversation with a user"
    )
    await ira.send("/start")
    assert (await call("sendMessage", chat_id=IRA, text="x"))["ok"]
    await ira.block()
    for method, parameters in (
        ("sendMessage", {"text": "x"}),
        ("sendChatAction", {"action": "typing"}),
        ("editMessageText", {"text": "y", "message_id": ira.answers[-1].id}),
    ):
        answer = await call(method, chat_id=IRA, **parameters)
        assert (answer["error_code"], answer["description"]) == (403, "Forbidden: bot was blocked by the user")
    await ira.unblock()
    assert (await call("sendMessage", chat_id=IRA, text="x"))["ok"]


async def test_edits_and_deletions(known: LocalBotAPI, call: RawClient, clock: MovableClock) -> None:
    ira = known.person(IRA)
    markup = inline(text="x", callback_data="x")
    sent = (await call("sendMessage", chat_id=IRA, text="<b>x</b>", parse_mode="HTML", reply_markup=markup))["result"]
    own = {"chat_id": IRA, "message_id": sent["message_id"]}
    same = {"text": "<b>x</b> ", "parse_mode": "HTML", "reply_markup": markup}
    assert await refusal(call, "editMessageText", **own, **same) == f"Bad Request: {NOT_MODIFIED}"
    assert await refusal(call, "editMessageReplyMarkup", **own, reply_markup=markup) == f"Bad Request: {NOT_MODIFIED}"
    removal = {"remove_keyboard": True}
    assert await refusal(call, "editMessageText", **own, text="y", reply_markup=removal) == (
        "Bad Request: inline keyboard expected"
    )
    # Only the marks differ: that is a change. Without a keyboard in the call the old one goes.
    edited = await call("editMessageText", **own, text="x", reply_markup=markup)
    assert edited["result"]["edit_date"]
    assert ira.answers[-1].labels == ["x"]
    await call("editMessageReplyMarkup", **own)
    assert ira.answers[-1].labels == []
    assert (await call("deleteMessage", **own))["ok"]
    assert ira.answers == []
    assert await refusal(call, "editMessageText", **own, text="z") == "Bad Request: message to edit not found"
    assert await refusal(call, "deleteMessage", **own) == "Bad Request: message to delete not found"
    clock.offset += timedelta(hours=49)
    old = {"chat_id": IRA, "message_id": ira.chat[0].id}
    assert await refusal(call, "deleteMessage", **old) == "Bad Request: message can't be deleted for everyone"


async def test_a_message_with_a_reply_keyboard_cannot_be_edited(known: LocalBotAPI, call: RawClient) -> None:
    for markup in ({"keyboard": [["x"]]}, {"remove_keyboard": True}):
        sent = (await call("sendMessage", chat_id=IRA, text="x", reply_markup=markup))["result"]
        assert "reply_markup" not in sent
        edited = await refusal(call, "editMessageText", chat_id=IRA, message_id=sent["message_id"], text="y")
        assert edited == "Bad Request: message can't be edited"


async def test_a_file_message_has_no_text_to_edit(known: LocalBotAPI, call: RawClient) -> None:
    sent = (await call("sendPhoto", chat_id=IRA, photo="https://example.org/a.png", caption="<b>c</b>"))["result"]
    assert sent["caption"] == "<b>c</b>"
    edited = await refusal(call, "editMessageText", chat_id=IRA, message_id=sent["message_id"], text="y")
    assert edited == "Bad Request: there is no text in the message to edit"


async def test_a_press_is_answered_once_and_soon(known: LocalBotAPI, call: RawClient, clock: MovableClock) -> None:
    ira = known.person(IRA)
    await call("sendMessage", chat_id=IRA, text="x", reply_markup=inline(text="go", callback_data="go"))
    await ira.press("go")
    (press,) = ira.unanswered
    assert (await call("answerCallbackQuery", callback_query_id=press.id, text="done", show_alert=True))["result"]
    assert [(toast.text, toast.alert) for toast in ira.toasts] == [("done", True)]
    assert ira.unanswered == []
    again = await refusal(call, "answerCallbackQuery", callback_query_id=press.id)
    assert again == f"Bad Request: {TOO_OLD}"
    await ira.press("go")
    (late,) = ira.unanswered
    assert await refusal(call, "answerCallbackQuery", callback_query_id=late.id, url="https://evil.ru") == (
        "Bad Request: URL_INVALID"
    )
    clock.offset += timedelta(seconds=61)
    assert await refusal(call, "answerCallbackQuery", callback_query_id=late.id) == f"Bad Request: {TOO_OLD}"


async def test_commands_and_descriptions_are_kept_by_language(known: LocalBotAPI, call: RawClient) -> None:
    commands = [{"command": "start", "description": "Начать"}]
    await call("setMyCommands", commands=commands, language_code="ru")
    assert (await call("getMyCommands", language_code="ru"))["result"] == commands
    assert (await call("getMyCommands"))["result"] == []
    await call("deleteMyCommands", language_code="ru")
    assert (await call("getMyCommands", language_code="ru"))["result"] == []
    await call("setMyDescription", description="d")
    await call("setMyShortDescription", short_description="s")
    assert (await call("getMyDescription"))["result"] == {"description": "d"}
    assert (await call("getMyShortDescription"))["result"] == {"short_description": "s"}
