"""Bot API calls as webhook answers, and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.enums import ParseMode
from aiogram.methods import (
    AnswerCallbackQuery,
    BanChatMember,
    EditMessageText,
    SendDocument,
    SendMessage,
    TelegramMethod,
)
from aiogram.types import (
    BufferedInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    KeyboardButton,
    LinkPreviewOptions,
    ReplyKeyboardMarkup,
    ReplyKeyboardRemove,
)

from bot.answers import from_answer, to_answer

PLAIN = Bot("42:TEST")
HTML = Bot("42:TEST", default=DefaultBotProperties(parse_mode=ParseMode.HTML, link_preview_is_disabled=True))
INLINE = InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="Регистрация", callback_data="go")]])
REPLY = ReplyKeyboardMarkup(keyboard=[[KeyboardButton(text="Мой номер", request_contact=True)]], resize_keyboard=True)

METHODS: list[TelegramMethod[Any]] = [
    SendMessage(chat_id=7, text="<b>Регистрация</b>", reply_markup=INLINE),
    SendMessage(chat_id=7, text="номер", reply_markup=REPLY, parse_mode=None),
    SendMessage(chat_id=7, text="спасибо", reply_markup=ReplyKeyboardRemove()),
    SendMessage(chat_id=7, text="x", link_preview_options=LinkPreviewOptions(is_disabled=False, url="https://e.com")),
    EditMessageText(chat_id=7, message_id=5, text="другое", reply_markup=INLINE),
    AnswerCallbackQuery(callback_query_id="5", text="да", show_alert=False),
    BanChatMember(chat_id=7, user_id=8, until_date=datetime(2026, 1, 1, tzinfo=UTC)),
]


def test_what_is_not_set_is_left_out() -> None:
    assert to_answer(METHODS[0], PLAIN) == {
        "method": "sendMessage",
        "chat_id": 7,
        "text": "<b>Регистрация</b>",
        "reply_markup": {"inline_keyboard": [[{"text": "Регистрация", "callback_data": "go"}]]},
    }


def test_the_bots_defaults_are_filled_in_and_an_explicit_none_is_kept() -> None:
    answer = to_answer(METHODS[0], HTML)
    assert answer["parse_mode"] == "HTML"
    assert answer["link_preview_options"] == {"is_disabled": True}
    assert "parse_mode" not in to_answer(METHODS[1], HTML)


def test_moments_are_unix_time() -> None:
    assert to_answer(METHODS[-1], PLAIN)["until_date"] == 1767225600


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
@pytest.mark.parametrize("bot", [PLAIN, HTML], ids=["plain", "html"])
def test_an_answer_becomes_the_same_call_again(method: TelegramMethod[Any], bot: Bot) -> None:
    answer = to_answer(method, bot)
    again = from_answer(answer)
    assert type(again) is type(method)
    assert to_answer(again, bot) == answer


def test_a_file_cannot_travel_in_a_response() -> None:
    with pytest.raises(TypeError, match="before"):
        to_answer(SendDocument(chat_id=7, document=BufferedInputFile(b"x", "x.csv")), PLAIN)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(KeyError):
        from_answer({"method": "sendNothing"})
