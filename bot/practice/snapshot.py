"""What the practice page shows, as one JSON value: the chat of one person, everybody, the phone, the bot's calls."""

from __future__ import annotations

from datetime import timedelta

from bot.practice.calls import Call
from bot.practice.formatted import to_html
from bot.practice.markup import Button
from bot.practice.people import Person
from bot.practice.phone import Phone, Sms
from bot.practice.server import LocalBotAPI
from bot.practice.world import Json, Message

CALLS = 100
OLD_BUTTONS = 60
PREVIEW = 60
# Clients give up waiting for the answer to a press about then.
SPINNING = timedelta(seconds=15)


def snapshot(api: LocalBotAPI, phone: Phone, person: Person) -> Json:
    """Return everything a page needs to draw itself for this person."""
    world, keyboard = api.world, person.reply_keyboard
    busy = {
        (press.message, press.data)
        for press in world.presses.values()
        if not press.answered and world.clock.now() - press.at < SPINNING
    }
    return {
        "bot": {"username": world.bot.username, "name": world.bot.first_name},
        "person": person.id,
        "people": [_person(one) for one in api.people],
        "messages": [_message(message, person, busy) for message in person.chat],
        "keyboard": None if keyboard is None else {"rows": [[_key(button) for button in row] for row in keyboard.rows]},
        "commands": api.commands(person.user.language_code),
        "phone": [_sms(sms) for sms in phone.messages],
        "calls": [_call(call) for call in shown_calls(api)],
        "old_buttons": _old_buttons(person),
    }


def shown_calls(api: LocalBotAPI) -> list[Call]:
    """Return the newest calls worth a look: a poll that brought updates is no news, a refused one is."""
    return [call for call in api.calls if call.method != "getUpdates" or not call.ok][-CALLS:]


def gone(message: Message) -> list[tuple[int, Button]]:
    """Return the buttons that this message had and has no more, each with its place among all it ever had."""
    now = [] if message.deleted else message.buttons
    return [(index, button) for index, button in enumerate(message.offered) if button not in now]


def file_address(message: Message) -> str | None:
    """Return the path of the message's file, None when it has none that was uploaded."""
    return f"/practice/files/{message.chat.id}-{message.id}" if message.file is not None else None


def _person(person: Person) -> Json:
    lines = person.chat[-1].text.splitlines() if person.chat else []
    return {
        "id": person.id,
        "name": person.user.first_name,
        "language": person.user.language_code,
        "phone": person.phone,
        "blocked": person.private.blocked,
        "started": person.private.started,
        "last": lines[0][:PREVIEW] if lines else "",
    }


def _message(message: Message, person: Person, busy: set[tuple[Message, str]]) -> Json:
    rows, index = [], 0
    for row in message.keyboard.rows if message.keyboard else ():
        rows.append([_button(message, button, index + place, busy) for place, button in enumerate(row)])
        index += len(row)
    content, address = message.content, file_address(message)
    return {
        "id": message.id,
        "from": "bot" if message.from_bot else "me",
        "at": message.date.isoformat(),
        "html": to_html(message.text, message.entities),
        "text": message.text,
        "edited": message.edited,
        "buttons": rows,
        "photo": address if "photo" in content else None,
        "file": {"name": content["document"]["file_name"], "url": address} if "document" in content else None,
        "contact": _contact(content["contact"]) if "contact" in content else None,
        "sticker": "sticker" in content,
        "voice": "voice" in content,
        "editable": is_editable(message, person),
    }


def is_editable(message: Message, person: Person) -> bool:
    """Tell whether the person may change it: a text of their own that is still there."""
    own = message.sender is not None and message.sender.id == person.id
    return own and not message.content and not message.deleted


def _button(message: Message, button: Button, index: int, busy: set[tuple[Message, str]]) -> Json:
    if button.url is not None:
        return {"label": button.text, "kind": "url", "url": button.url, "index": index, "busy": False}
    waits = button.callback_data is not None and (message, button.callback_data) in busy
    return {"label": button.text, "kind": "callback", "index": index, "busy": waits}


def _key(button: Button) -> Json:
    return {"label": button.text, "contact": button.action == "request_contact"}


def _contact(contact: Json) -> Json:
    name = " ".join(contact[part] for part in ("first_name", "last_name") if contact.get(part))
    return {"name": name, "phone": "+" + str(contact["phone_number"]).removeprefix("+")}


def _sms(sms: Sms) -> Json:
    return {"id": sms.id, "at": sms.at.isoformat(), "number": sms.number, "text": sms.text, "code": sms.code}


def _call(call: Call) -> Json:
    return {
        "id": call.id,
        "at": call.at.isoformat(),
        "method": call.method,
        "ok": call.ok,
        "code": call.code,
        "description": call.description,
        "via": call.via,
        "parameters": call.parameters,
    }


def _old_buttons(person: Person) -> list[Json]:
    found = [
        {"message": message.id, "index": index, "label": button.text}
        for message in person.private.messages.values()
        for index, button in gone(message)
    ]
    return found[-OLD_BUTTONS:]
