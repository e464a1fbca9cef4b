"""The real aiogram client understands the server, in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiogram import Bot, Dispatcher
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError, TelegramNotFound
from aiogram.filters import CommandStart
from aiogram.methods import DeleteStickerSet
from aiogram.types import (
    BotCommand,
    BufferedInputFile,
    CallbackQuery,
    ChatMemberUpdated,
    InaccessibleMessage,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    KeyboardButton,
    Message,
    ReplyKeyboardMarkup,
    ReplyKeyboardRemove,
)
from aiogram.webhook.aiohttp_server import SimpleRequestHandler
from aiohttp import web

from bot.practice import LocalBotAPI

GO = InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="Go", callback_data="go")]])


def dispatcher() -> Dispatcher:
    """A bot of four handlers."""
    dispatcher = Dispatcher()

    @dispatcher.message(CommandStart())
    async def start(message: Message) -> object:
        return message.answer("<b>Привет</b>", parse_mode="HTML", reply_markup=GO)

    @dispatcher.callback_query()
    async def press(query: CallbackQuery) -> None:
        await query.answer("Готово")
        assert isinstance(query.message, Message)
        await query.message.edit_text("Пошли")

    @dispatcher.message()
    async def other(message: Message) -> object:
        return message.answer("?")

    return dispatcher


async def test_a_conversation_by_polling(server: LocalBotAPI, client: Bot) -> None:
    dp = dispatcher()
    polling = asyncio.create_task(dp.start_polling(client, handle_signals=False, close_bot_session=False))
    ira = server.person(7)
    await ira.send("/start")
    greeting = await ira.wait_for("Привет")
    assert greeting.marked == [("bold", "Привет")]
    await ira.press("Go")
    await ira.wait_for("Пошли")
    assert (ira.toasts[-1].text, ira.unanswered, ira.chat[-1].labels) == ("Готово", [], [])
    await ira.settled()
    await dp.stop_polling()
    await polling
    assert server.refusals == []


@asynccontextmanager
async def webhook_bot(client: Bot) -> AsyncIterator[str]:
    """The same bot behind aiogram's own webhook endpoint, answering in the response."""
    application = web.Application()
    handler = SimpleRequestHandler(dispatcher(), client, handle_in_background=False, secret_token="secret")
    handler.register(application, "/telegram")
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/telegram"
        await client.delete_webhook()
    finally:
        await runner.cleanup()


async def test_a_conversation_by_webhook_answered_in_multipart(server: LocalBotAPI, client: Bot) -> None:
    async with webhook_bot(client) as url:
        await client.set_webhook(url, secret_token="secret")
        ira = server.person(7)
        await ira.send("/start")
        await ira.settled()
        assert ira.answers[0].marked == [("bold", "Привет")]
        await ira.press("Go")
        await ira.wait_for("Пошли")
        await ira.settled()
    assert {call.via for call in server.calls if call.method == "sendMessage"} == {"webhook"}
    assert server.refusals == []


async def test_every_kind_of_update_is_understood(server: LocalBotAPI, client: Bot) -> None:
    ira = server.person(7, username="ira")
    sent = await ira.send("/start")
    await ira.edit(sent, "x")
    await ira.share_contact(forwarded=True)
    await ira.sticker()
    await ira.voice()
    await ira.press_data("x", sent)
    await client.delete_message(7, sent.id)
    await ira.press_data("y", sent)
    await ira.send_in(server.group(-1001, "Support"), "@practice_bot hi")
    await server.channel(-1002, "News").post("post")
    await ira.block()
    updates = await client.get_updates()
    assert [update.event_type for update in updates] == [
        "message", "edited_message", "message", "message", "message", "callback_query", "callback_query", "message",
        "channel_post", "my_chat_member",
    ]  # fmt: skip
    assert isinstance(updates[6].event, CallbackQuery)
    assert isinstance(updates[6].event.message, InaccessibleMessage)
    assert isinstance(updates[-1].event, ChatMemberUpdated)
    assert updates[-1].event.new_chat_member.status == "kicked"
    with pytest.raises(TelegramForbiddenError):
        await client.send_message(7, "x")


async def test_every_method_is_understood(server: LocalBotAPI, client: Bot) -> None:
    ira = server.person(7)
    await ira.send("/start")
    me = await client.me()
    assert (me.username, me.is_bot) == ("practice_bot", True)
    await client.set_my_commands([BotCommand(command="start", description="Начать")])
    assert [command.command for command in await client.get_my_commands()] == ["start"]
    await client.set_my_description("x")
    assert (await client.get_my_description()).description == "x"
    assert (await client.get_chat(7)).first_name == "Ира"
    await client.send_chat_action(7, "typing")
    assert ira.private.actions == ["typing"]
    picture = bytes(range(256)) * 3
    sent = await client.send_photo(7, BufferedInputFile(picture, "chart.png"), caption="<i>c</i>", parse_mode="HTML")
    assert (sent.caption, ira.chat[-1].file, ira.chat[-1].marked) == ("c", picture, [("italic", "c")])
    document = await client.send_document(7, BufferedInputFile(b"a;b", "report.csv"))
    assert document.document is not None
    assert (document.document.file_name, ira.chat[-1].file) == ("report.csv", b"a;b")
    share = ReplyKeyboardMarkup(keyboard=[[KeyboardButton(text="Share", request_contact=True)]])
    await client.send_message(7, "x", reply_markup=share)
    await ira.tap("Share")
    await client.send_message(7, "x", reply_markup=ReplyKeyboardRemove())
    assert ira.reply_keyboard is None
    reply = await client.send_message(7, "y", reply_to_message_id=None, reply_markup=GO)
    await client.edit_message_reply_markup(chat_id=7, message_id=reply.message_id)
    with pytest.raises(TelegramBadRequest, match="message is not modified"):
        await client.edit_message_text("y", chat_id=7, message_id=reply.message_id)
    await client.delete_message(7, reply.message_id)
    info = await client.get_webhook_info()
    assert (info.url, info.pending_update_count) == ("", 2)
    with pytest.raises(TelegramNotFound):
        await client(DeleteStickerSet(name="x"))
