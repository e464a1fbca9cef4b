"""Bot API calls as plain JSON: what a webhook response carries and what is kept as the answer to a duplicate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from functools import cache
from types import NoneType
from typing import Any

import aiogram.methods
from aiogram import Bot
from aiogram.client.default import Default
from aiogram.methods import EditMessageText, SendMessage, TelegramMethod
from aiogram.types import InputFile
from pydantic import BaseModel

# What JSON has as it is: most of what is said. Not what is derived from it, as an Enum may be.
_ATOMS = frozenset({str, int, float, bool})


def to_answer(method: TelegramMethod[Any], bot: Bot) -> dict[str, Any]:
    """Return `{"method": ..., <parameters>}` (Bot API, "Making requests when getting updates").

    The bot's defaults are filled in, what is not set is left out. Raises TypeError for a file upload, which only
    HTTP can carry.
    """
    return {"method": method.__api_method__, **to_parameters(method, bot)}


def to_parameters(method: TelegramMethod[Any], bot: Bot) -> dict[str, Any]:
    """Return a call's parameters alone. Otherwise as `to_answer`."""
    return _fields(method, bot)


def from_answer(answer: Mapping[str, Any]) -> TelegramMethod[Any]:
    """Return the call that `to_answer` wrote; where it left a default out, none applies.

    Raises KeyError for an unknown method, pydantic's ValidationError for unfitting parameters.
    """
    method = _methods()[answer["method"]]
    unset = {name: None for name, field in method.model_fields.items() if isinstance(field.default, Default)}
    return method.model_validate({**unset, **{name: value for name, value in answer.items() if name != "method"}})


def anew(edit: EditMessageText) -> SendMessage:
    """Return the call that says in a new message what this edit would have said."""
    return SendMessage(
        chat_id=edit.chat_id or 0,
        text=edit.text or "",
        parse_mode=edit.parse_mode,
        link_preview_options=edit.link_preview_options,
        reply_markup=edit.reply_markup,
    )


@cache
def _methods() -> dict[str, type[TelegramMethod[Any]]]:
    found = (getattr(aiogram.methods, name) for name in aiogram.methods.__all__)
    return {kind.__api_method__: kind for kind in found if isinstance(getattr(kind, "__api_method__", None), str)}


def _fields(model: BaseModel, bot: Bot) -> dict[str, Any]:
    # Its fields as they lie there: ten times cheaper than model_dump, and this runs for every answer.
    found = {}
    for name, value in (*vars(model).items(), *(model.model_extra or {}).items()):
        if value is None:
            continue
        plain = value if type(value) in _ATOMS else _plain(value, bot)
        if plain is not None:
            found[name] = plain
    return found


def _plain(value: Any, bot: Bot) -> Any:
    return _writer(value.__class__)(value, bot)


# An answer is made of a few types over and over; what each of them is takes a dozen questions.
@cache
def _writer(kind: type[Any]) -> Callable[[Any, Bot], Any]:
    """Return what makes JSON of values of this type; raises TypeError for what is none of the Bot API's."""
    if issubclass(kind, InputFile):
        raise TypeError("a file upload cannot travel in a webhook response: it belongs into Reply.before")
    if issubclass(kind, str | int | float | NoneType):
        return (lambda value, bot: value.value) if issubclass(kind, Enum) else (lambda value, bot: value)
    writers: dict[type[Any], Callable[[Any, Bot], Any]] = {
        Default: lambda value, bot: _plain(bot.default[value.name], bot),
        BaseModel: _fields,
        Mapping: lambda value, bot: {name: _plain(item, bot) for name, item in value.items()},
        list: lambda value, bot: [_plain(item, bot) for item in value],
        tuple: lambda value, bot: [_plain(item, bot) for item in value],
        datetime: lambda value, bot: round(value.timestamp()),
    }
    for base, writer in writers.items():
        if issubclass(kind, base):
            return writer
    raise TypeError(f"{kind.__name__} is not a Bot API value")
