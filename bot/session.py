"""The HTTP client of the Bot API: aiogram's own, with what is paid at every call made cheap."""

from __future__ import annotations

import json
import mimetypes
from typing import Any

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.methods import Response, TelegramMethod
from aiogram.types import InputFile, Message, MessageId
from aiohttp import BytesPayload, FormData

from bot.answers import to_parameters

_ANY_FILE = "application/octet-stream"
# Kept here: see Session.
_SAID = Response[Any]


class Session(AiohttpSession):
    """aiogram's session: calls without files go as JSON, which Bot API takes as it takes forms.

    pydantic keeps a generic's models only as long as somebody else does, so aiogram has `Response[Message]` built anew
    for every call, in about 1 ms; here they are kept.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._met: dict[Any, type[Response[Any]]] = {}

    async def close(self) -> None:
        """Close the connections. aiohttp waits for their end itself, so aiogram's quarter of a second is not slept."""
        if self._session is not None:
            await self._session.close()

    def build_form_data(self, bot: Bot, method: TelegramMethod[Any]) -> Any:
        """Return the body of a call."""
        try:
            parameters = to_parameters(method, bot)
        except TypeError:
            # A file, or a value that only aiogram knows how to write.
            return self._form(bot, method)
        return BytesPayload(json.dumps(parameters).encode(), content_type="application/json")

    def _form(self, bot: Bot, method: TelegramMethod[Any]) -> FormData:
        # As aiogram does it, but a file says what it is: Telegram passes its type on to who gets it.
        form, files = FormData(quote_fields=False), dict[str, InputFile]()
        for name, value in method.model_dump(warnings=False).items():
            if prepared := self.prepare_value(value, bot=bot, files=files):
                form.add_field(name, prepared)
        for name, file in files.items():
            kind, _ = mimetypes.guess_type(file.filename or "")
            form.add_field(name, file.read(bot), filename=file.filename or name, content_type=kind or _ANY_FILE)
        return form

    def check_response(self, bot: Bot, method: TelegramMethod[Any], status_code: int, content: str) -> Response[Any]:
        """Read an answer as aiogram does, but of a message only its id. Raises what aiogram raises."""
        answer: Any = method.__returning__
        if answer is Message and (said := _said(content)) is not None:
            return _SAID(ok=True, result=said)
        if answer not in self._met:
            self._met[answer] = Response[answer]
        return super().check_response(bot, method, status_code, content)


def _said(content: str) -> MessageId | None:
    """Return the id of the message that a call made, None for any other answer.

    Nobody reads more of it; and a message in which aiogram does not know something yet would pass for a failed call,
    which is made again.
    """
    try:
        made = json.loads(content)["result"]["message_id"]
    except (ValueError, LookupError, TypeError):
        return None
    return MessageId(message_id=made) if isinstance(made, int) else None
