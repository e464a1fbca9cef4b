"""What is shown: a text with its buttons, before Telegram's types come into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from aiogram.enums import ParseMode
from aiogram.methods import EditMessageText, SendMessage
from aiogram.types import (
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    KeyboardButton,
    LinkPreviewOptions,
    ReplyKeyboardMarkup,
    ReplyKeyboardRemove,
)
from markupsafe import Markup

NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


@dataclass(frozen=True)
class Button:
    """One choice. `labels` by language, since a label is understood typed in any of them.

    `action` is the callback data, or `contact` for the button that shares the own contact; a `url` makes it a link,
    whose `action` then says what typing its label means (empty: to be sent this very link).
    `answer` ("yes" or "no") lets a bare yes or no mean this button. `own`: its label says something of this person.
    """

    labels: Mapping[str, str]
    action: str = ""
    url: str = ""
    answer: str = ""
    own: bool = False


Rows = tuple[tuple[Button, ...], ...]


@dataclass(frozen=True)
class Screen:
    """One message.

    `reply_keyboard` puts the rows below the input field, `removes_keyboard` takes such a keyboard away; `numbered`
    says that the text numbers its options.
    """

    text: Markup
    rows: Rows = ()
    reply_keyboard: bool = False
    removes_keyboard: bool = False
    numbered: bool = False

    def after(self, preface: Markup) -> Screen:
        """Return the same screen with `preface` as a first paragraph."""
        return replace(self, text=preface + "\n\n" + self.text)

    def buttons(self) -> tuple[Button, ...]:
        """Return all buttons in reading order."""
        return tuple(button for row in self.rows for button in row)

    def send(self, chat_id: int, language: str) -> SendMessage:
        """Return the call that shows this as a new message."""
        return SendMessage(
            chat_id=chat_id,
            text=str(self.text),
            parse_mode=ParseMode.HTML,
            link_preview_options=NO_PREVIEW,
            reply_markup=self._markup(language),
        )

    def edit(self, chat_id: int, message_id: int, language: str) -> EditMessageText:
        """Return the call that shows this in place of an earlier message."""
        return EditMessageText(
            chat_id=chat_id,
            message_id=message_id,
            text=str(self.text),
            parse_mode=ParseMode.HTML,
            link_preview_options=NO_PREVIEW,
            reply_markup=inline_markup(self.rows, language),
        )

    def _markup(self, language: str) -> InlineKeyboardMarkup | ReplyKeyboardMarkup | ReplyKeyboardRemove | None:
        if self.removes_keyboard:
            return ReplyKeyboardRemove(remove_keyboard=True)
        if self.reply_keyboard:
            return _reply_keyboard(_shown(self.rows, language))
        return inline_markup(self.rows, language)


def inline_markup(rows: Rows, language: str) -> InlineKeyboardMarkup | None:
    """Return the inline keyboard of these rows, None without any."""
    if not rows:
        return None
    shown = _shown(rows, language)
    # An address may be one person's alone, and sign them in; a label may say theirs: neither is kept anywhere.
    of_everybody = not any(button.url or button.own for row in rows for button in row)
    return _kept_keyboard(shown) if of_everybody else _inline_keyboard(shown)


# Label, action and address of each button.
_Shown = tuple[tuple[tuple[str, str, str], ...], ...]


def _shown(rows: Rows, language: str) -> _Shown:
    return tuple(tuple((button.labels[language], button.action, button.url) for button in row) for row in rows)


def _inline_keyboard(shown: _Shown) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(inline_keyboard=[[_inline(*button) for button in row] for row in shown])


# The same few keyboards are shown to everybody, and frozen: each is validated once.
_kept_keyboard = lru_cache(maxsize=1000)(_inline_keyboard)


@lru_cache(maxsize=1000)
def _reply_keyboard(shown: _Shown) -> ReplyKeyboardMarkup:
    keyboard = [[_key(label, action) for label, action, _ in row] for row in shown]
    return ReplyKeyboardMarkup(keyboard=keyboard, resize_keyboard=True, is_persistent=True)


def _inline(label: str, action: str, url: str) -> InlineKeyboardButton:
    if url:
        return InlineKeyboardButton(text=label, url=url)
    return InlineKeyboardButton(text=label, callback_data=action)


def _key(label: str, action: str) -> KeyboardButton:
    return KeyboardButton(text=label, request_contact=True if action == "contact" else None)
