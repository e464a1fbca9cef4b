"""A practice as JSON and back: people with their chats, presses and updates that still wait, the phone, the calls."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta

from bot.practice.calls import Call
from bot.practice.entities import Entity
from bot.practice.markup import Button, InlineKeyboard, ReplyKeyboard, Rows
from bot.practice.people import Person
from bot.practice.phone import Phone, Sms
from bot.practice.server import LocalBotAPI
from bot.practice.snapshot import shown_calls
from bot.practice.updates import Update
from bot.practice.world import Json, Message, Press

VERSION = 1
# A press older than this is answered by nobody.
_PRESSES_FOR = timedelta(minutes=10)
# What a killed process may have given out after the last time it was written down: ids only rise.
_LEAP = 1000


def to_json(api: LocalBotAPI, phone: Phone) -> Json:
    """Return everything that is to outlive the process; groups and channels are for tests alone."""
    world = api.world
    presses = [press for press in world.presses.values() if _waits(press, world.clock.now())]
    return {
        "version": VERSION,
        "next_update": api.queue.next_id,
        "message_id": world.message_id,
        "file_number": world.file_number,
        "press_id": world.press_id,
        "people": [_person(person) for person in api.people],
        "presses": [_press(press) for press in presses],
        "updates": [_update(update) for update in api.queue.pending()],
        "calls": [_call(call) for call in shown_calls(api)],
        "phone": [_sms(sms) for sms in phone.messages],
    }


def from_json(raw: Json, api: LocalBotAPI, phone: Phone) -> None:
    """Fill a new server and phone with what `to_json` returned. Raises ValueError, KeyError or TypeError for others."""
    if raw["version"] != VERSION:
        raise ValueError(f"is of version {raw['version']}, not {VERSION}")
    world = api.world
    for one in raw["people"]:
        person = api.person(one["id"], one["name"], one["language"], one["phone"], one["username"])
        _fill_chat(person, one, api)
    for one in raw["presses"]:
        message = world.chats[one["person"]].messages[one["message"]]
        press = Press(one["id"], world.users[one["person"]], _moment(one["at"]), message, one["data"])
        world.presses[press.id] = press
    updates = [Update(**one | {"at": _moment(one["at"])}) for one in raw["updates"]]
    api.queue.restore(updates, raw["next_update"] + _LEAP)
    api.remember([Call(**one | {"at": _moment(one["at"])}) for one in raw["calls"]])
    phone.messages = [Sms(**one | {"at": _moment(one["at"])}) for one in raw["phone"]]
    world.message_id, world.press_id = raw["message_id"] + _LEAP, raw["press_id"] + _LEAP
    world.file_number = raw["file_number"]


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return moment


def _person(person: Person) -> Json:
    chat = person.private
    keyboard = chat.reply_keyboard
    return {
        "id": person.id,
        "name": person.user.first_name,
        "language": person.user.language_code,
        "phone": person.phone,
        "username": person.user.username,
        "started": chat.started,
        "blocked": chat.blocked,
        "messages": [_message(message) for message in chat.messages.values()],
        "keyboard": None
        if keyboard is None
        else {"rows": _rows(keyboard.rows), "one_time": keyboard.one_time, "placeholder": keyboard.placeholder},
        "keyboard_message": chat.keyboard_message.id if chat.keyboard_message else None,
    }


def _fill_chat(person: Person, raw: Json, api: LocalBotAPI) -> None:
    chat = person.private
    chat.started, chat.blocked = raw["started"], raw["blocked"]
    for one in raw["messages"]:
        sender = api.world.bot if one["from_bot"] else person.user
        entities = tuple(Entity(**entity) for entity in one["entities"])
        message = Message(
            chat, one["id"], _moment(one["at"]), sender, one["text"], entities, one["content"],
            _inline(one["keyboard"]), one["editable"], chat.messages.get(one["reply_to"]),
            None if one["file"] is None else base64.b64decode(one["file"]), _buttons(one["offered"]),
            None if one["edited_at"] is None else _moment(one["edited_at"]), one["deleted"],
        )  # fmt: skip
        chat.messages[message.id] = message
    if raw["keyboard"] is not None:
        keyboard = raw["keyboard"]
        chat.reply_keyboard = ReplyKeyboard(
            tuple(tuple(_buttons(row)) for row in keyboard["rows"]), keyboard["one_time"], keyboard["placeholder"]
        )
        chat.keyboard_message = chat.messages.get(raw["keyboard_message"])


def _message(message: Message) -> Json:
    return {
        "id": message.id,
        "at": message.date.isoformat(),
        "from_bot": message.from_bot,
        "text": message.text,
        "entities": [entity.as_json() for entity in message.entities],
        "content": message.content,
        "keyboard": _rows(message.keyboard.rows) if message.keyboard else None,
        "offered": [button.as_json() for button in message.offered],
        "editable": message.editable,
        "reply_to": message.reply_to.id if message.reply_to else None,
        "file": None if message.file is None else base64.b64encode(message.file).decode(),
        "edited_at": message.edited_at.isoformat() if message.edited_at else None,
        "deleted": message.deleted,
    }


def _rows(rows: Rows) -> list[list[Json]]:
    return [[button.as_json() for button in row] for row in rows]


def _inline(rows: list[list[Json]] | None) -> InlineKeyboard | None:
    return None if rows is None else InlineKeyboard(tuple(tuple(_buttons(row)) for row in rows))


def _buttons(row: list[Json]) -> list[Button]:
    return [_button(raw) for raw in row]


def _button(raw: Json) -> Button:
    # A reply button that only says its label has no second field.
    action, value = next(((name, value) for name, value in raw.items() if name != "text"), ("text", raw["text"]))
    return Button(raw["text"], action, value)


def _waits(press: Press, now: datetime) -> bool:
    private = press.message.chat.kind == "private"
    return private and not press.answered and now - press.at < _PRESSES_FOR


def _press(press: Press) -> Json:
    return {
        "id": press.id,
        "person": press.user.id,
        "at": press.at.isoformat(),
        "message": press.message.id,
        "data": press.data,
    }


def _update(update: Update) -> Json:
    return {
        "id": update.id,
        "kind": update.kind,
        "body": update.body,
        "lane": update.lane,
        "author": update.author,
        "at": update.at.isoformat(),
    }


def _call(call: Call) -> Json:
    return {
        "id": call.id,
        "at": call.at.isoformat(),
        "method": call.method,
        "parameters": call.parameters,
        "via": call.via,
        "ok": call.ok,
        "code": call.code,
        "description": call.description,
        "injected": call.injected,
    }


def _sms(sms: Sms) -> Json:
    return {"id": sms.id, "at": sms.at.isoformat(), "number": sms.number, "text": sms.text}
