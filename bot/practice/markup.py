"""Keyboards: read as strictly as Telegram reads them (Bot API, `reply_markup`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bot.practice.refusals import Refused, bad_request
from bot.practice.urls import why_not_a_url

CALLBACK_DATA_BYTES = 64
BUTTONS_PER_ROW = 8
BUTTONS = 100

# Field of the button object -> the JSON type Telegram insists on.
_INLINE_ACTIONS: dict[str, type] = {
    "url": str,
    "callback_data": str,
    "web_app": dict,
    "login_url": dict,
    "switch_inline_query": str,
    "switch_inline_query_current_chat": str,
    "copy_text": dict,
}
_REPLY_ACTIONS: dict[str, type] = {
    "request_contact": bool,
    "request_location": bool,
    "request_poll": dict,
    "request_users": dict,
    "request_chat": dict,
    "web_app": dict,
}
_TYPE_NAMES = {str: "String", bool: "Boolean", dict: "Object"}


@dataclass(frozen=True)
class Button:
    """One button; `action` is the Bot API's field ("text" for a reply button that only says its label)."""

    text: str
    action: str
    value: Any

    @property
    def url(self) -> str | None:
        """The address a link button opens."""
        return str(self.value) if self.action == "url" else None

    @property
    def callback_data(self) -> str | None:
        """What a press of it sends to the bot."""
        return str(self.value) if self.action == "callback_data" else None

    def as_json(self) -> dict[str, Any]:
        """Return the button object of the Bot API."""
        return {"text": self.text, self.action: self.value}


Rows = tuple[tuple[Button, ...], ...]


@dataclass(frozen=True)
class InlineKeyboard:
    """Buttons under a message."""

    rows: Rows

    @property
    def buttons(self) -> list[Button]:
        """All buttons, row by row."""
        return [button for row in self.rows for button in row]

    def as_json(self) -> dict[str, Any]:
        """Return InlineKeyboardMarkup."""
        return {"inline_keyboard": [[button.as_json() for button in row] for row in self.rows]}


@dataclass(frozen=True)
class ReplyKeyboard:
    """Buttons in place of the person's own keyboard; `one_time`: hidden by the first tap."""

    rows: Rows
    one_time: bool = False
    placeholder: str | None = None

    @property
    def buttons(self) -> list[Button]:
        """All buttons, row by row."""
        return [button for row in self.rows for button in row]


@dataclass(frozen=True)
class RemoveKeyboard:
    """Takes the reply keyboard away."""


@dataclass(frozen=True)
class ForceReply:
    """Opens an answer to the message; it takes the reply keyboard away as well."""


Markup = InlineKeyboard | ReplyKeyboard | RemoveKeyboard | ForceReply


def read_markup(raw: str | None) -> Markup | None:
    """Return the keyboard of a call's `reply_markup` (JSON text), None when it names none. Raises Refused."""
    if not raw:
        return None
    try:
        value = json.loads(raw)
    except ValueError:
        raise bad_request("can't parse reply keyboard markup JSON object") from None
    if not isinstance(value, dict):
        raise bad_request("object expected as reply markup")
    if "keyboard" in value:
        rows = _read_rows(value["keyboard"], "keyboard", "ReplyKeyboardMarkup", _read_reply_button)
        _flag(value, "resize_keyboard")
        return ReplyKeyboard(rows, _flag(value, "one_time_keyboard"), _placeholder(value)) if rows else None
    if "inline_keyboard" in value:
        rows = _read_rows(value["inline_keyboard"], "inline_keyboard", "InlineKeyboardMarkup", _read_inline_button)
        return InlineKeyboard(rows) if rows else None
    if _flag(value, "remove_keyboard"):
        return RemoveKeyboard()
    return ForceReply() if _flag(value, "force_reply") else None


def check_buttons(markup: Markup | None) -> None:
    """Refuse what Telegram refuses only after it has found the chat: sizes, callback data, addresses."""
    if not isinstance(markup, InlineKeyboard | ReplyKeyboard):
        return
    if len(markup.buttons) > BUTTONS or any(len(row) > BUTTONS_PER_ROW for row in markup.rows):
        raise bad_request("REPLY_MARKUP_TOO_LONG")
    for button in markup.buttons:
        if button.callback_data is not None and len(button.callback_data.encode()) > CALLBACK_DATA_BYTES:
            raise bad_request("BUTTON_DATA_INVALID")
        if button.url is not None and (reason := why_not_a_url(button.url)):
            raise bad_request(f"inline keyboard button URL '{button.url}' is invalid: {reason}")
        if button.action == "copy_text" and not 1 <= len(button.value.get("text", "")) <= 256:
            raise bad_request("BUTTON_COPY_TEXT_INVALID")


def _read_rows(raw: object, field: str, kind: str, read: Callable[[object], Button]) -> Rows:
    if not isinstance(raw, list):
        raise bad_request(f'field "{field}" of the {kind} must be an Array')
    if not all(isinstance(row, list) for row in raw):
        raise bad_request(f'field "{field}" of the {kind} must be an Array of Arrays')
    return tuple(tuple(read(button) for button in row) for row in raw if row)


def _read_inline_button(raw: object) -> Button:
    def refuse(reason: str) -> Refused:
        return bad_request(f"can't parse inline keyboard button: {reason}")

    if not isinstance(raw, dict):
        raise refuse("InlineKeyboardButton must be an Object")
    text = _label(raw, refuse)
    actions = [Button(text, name, raw[name]) for name in _present(raw, _INLINE_ACTIONS, refuse)]
    # An empty address or empty data is no action at all; an empty inline query is one.
    actions = [button for button in actions if button.value != "" or button.action.startswith("switch_")]
    if not actions:
        raise refuse("Text buttons are unallowed in the inline keyboard")
    if len(actions) > 1:
        names = ", ".join(button.action for button in actions)
        raise refuse(f"exactly one of the optional fields must be used, found {names}")
    return actions[0]


def _read_reply_button(raw: object) -> Button:
    def refuse(reason: str) -> Refused:
        return bad_request(f"can't parse keyboard button: {reason}")

    if isinstance(raw, str):
        raw = {"text": raw}
    if not isinstance(raw, dict):
        raise refuse("KeyboardButton must be an Object")
    text = _label(raw, refuse)
    actions = [Button(text, name, raw[name]) for name in _present(raw, _REPLY_ACTIONS, refuse) if raw[name]]
    if len(actions) > 1:
        raise refuse("at most one of the optional fields must be used")
    return actions[0] if actions else Button(text, "text", text)


def _label(raw: dict[str, Any], refuse: Callable[[str], Refused]) -> str:
    if "text" not in raw:
        raise refuse('Can\'t find field "text"')
    text = raw["text"]
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise refuse('Field "text" must be of type String')
    if not str(text).strip():
        raise refuse("button text must be non-empty")
    return str(text).strip()


def _present(raw: dict[str, Any], actions: dict[str, type], refuse: Callable[[str], Refused]) -> list[str]:
    """Return the action fields a button has, each of the type Telegram wants."""
    for name in actions.keys() & raw.keys():
        if not isinstance(raw[name], actions[name]):
            raise refuse(f'Field "{name}" must be of type {_TYPE_NAMES[actions[name]]}')
    return [name for name in actions if name in raw]


def _flag(raw: dict[str, Any], name: str) -> bool:
    value = raw.get(name, False)
    if not isinstance(value, bool):
        raise bad_request(f'field "{name}" must be of type Boolean')
    return value


def _placeholder(raw: dict[str, Any]) -> str | None:
    value = raw.get("input_field_placeholder")
    if value is not None and not isinstance(value, str):
        raise bad_request('field "input_field_placeholder" must be of type String')
    return value
