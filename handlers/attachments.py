"""Pictures and files in the chat: a screen whose text is the caption. Only HTTP carries them: see `Reply.before`."""

from __future__ import annotations

from aiogram.enums import ParseMode
from aiogram.methods import SendDocument, SendMessage, SendPhoto
from aiogram.types import BufferedInputFile
from markupsafe import Markup

from handlers.screens import Screen, inline_markup


def photo(chat_id: int, picture: bytes | None, screen: Screen, language: str) -> SendPhoto | SendMessage:
    """Return the call that shows a screen below a picture; without one (it was not drawn) the screen alone.

    The text has 1024 characters at most (Bot API, sendPhoto).
    """
    if picture is None:
        return screen.send(chat_id, language)
    return SendPhoto(
        chat_id=chat_id,
        photo=BufferedInputFile(picture, "picture.png"),
        caption=str(screen.text),
        parse_mode=ParseMode.HTML,
        reply_markup=inline_markup(screen.rows, language),
    )


def document(chat_id: int, data: bytes, name: str, caption: Markup | None = None) -> SendDocument:
    """Return the call that sends a file of this name."""
    return SendDocument(
        chat_id=chat_id,
        document=BufferedInputFile(data, name),
        caption=None if caption is None else str(caption),
        parse_mode=None if caption is None else ParseMode.HTML,
    )
