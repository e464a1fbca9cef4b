"""What a person on the practice page may do, each as one small JSON object."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

from bot.practice.entities import utf16_length
from bot.practice.people import TEXT_LENGTH, NotOnOffer, Person
from bot.practice.server import LocalBotAPI
from bot.practice.snapshot import gone, is_editable
from bot.practice.world import Json, Message

MOST_PEOPLE = 50
_PAYLOAD = re.compile(r"[A-Za-z0-9_-]{0,64}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})?")
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")

Act = Callable[[Person, Json], Awaitable[Json | None]]


class NotPossible(Exception):
    """An act that cannot be done; the message is one sentence for the page."""


class Acts:
    """Does acts for the people of one server."""

    def __init__(self, api: LocalBotAPI) -> None:
        self._api = api
        self._table: dict[str, Act] = {
            "send": self._send,
            "press": self._press,
            "press_old": self._press_old,
            "tap": self._tap,
            "contact": self._contact,
            "foreign_contact": self._foreign_contact,
            "forwarded_contact": self._forwarded_contact,
            "edit": self._edit,
            "delete": self._delete,
            "sticker": self._sticker,
            "voice": self._voice,
            "block": self._block,
            "unblock": self._unblock,
            "start": self._start,
            "add_person": self._add_person,
            "change_person": self._change_person,
        }

    async def do(self, order: Json) -> Json:
        """Do what `order` asks for and return what is to be told beside "ok". Raises NotPossible."""
        person = next((person for person in self._api.people if person.id == order.get("person")), None)
        if person is None:
            raise NotPossible("there is no such person")
        act = self._table.get(str(order.get("act")))
        if act is None:
            raise NotPossible(f"there is no act {str(order.get('act'))[:40]!r}")
        try:
            return await act(person, order) or {}
        except NotOnOffer as error:
            raise NotPossible(str(error)) from error

    async def _send(self, person: Person, order: Json) -> None:
        text = _text(order, "text").strip()
        if not text:
            raise NotPossible("an empty message is not sent")
        await person.send(text)

    async def _press(self, person: Person, order: Json) -> None:
        message, index = _message(person, order), _number(order, "index")
        if message.deleted or not 0 <= index < len(message.buttons):
            raise NotPossible("this button is not there any more")
        button = message.buttons[index]
        if button.callback_data is None:
            raise NotPossible("this button does not call the bot")
        waiting = (press for press in person.unanswered if press.message is message)
        # A button that still shows the clock takes no second press.
        if all(press.data != button.callback_data for press in waiting):
            await person.press_data(button.callback_data, message)

    async def _press_old(self, person: Person, order: Json) -> None:
        message, index = _message(person, order), _number(order, "index")
        button = dict(gone(message)).get(index)
        if button is None or button.callback_data is None:
            raise NotPossible("this is no old button")
        await person.press_data(button.callback_data, message)

    async def _tap(self, person: Person, order: Json) -> None:
        label = _text(order, "label")
        keys = person.reply_keyboard.buttons if person.reply_keyboard else []
        key = next((key for key in keys if key.text == label), None)
        if key is None:
            raise NotPossible("this key is not on the keyboard any more")
        if key.action == "request_contact":
            raise NotPossible("this key shares the number, which is the act contact")
        await person.tap(label)

    async def _contact(self, person: Person, order: Json) -> None:
        keys = person.reply_keyboard.buttons if person.reply_keyboard else []
        key = next((key for key in keys if key.action == "request_contact"), None)
        if key is None:
            await person.share_contact()
        else:
            await person.tap(key.text)

    async def _foreign_contact(self, person: Person, order: Json) -> None:
        other = next((other for other in self._api.people if other is not person), None)
        if other is None:
            raise NotPossible("there is nobody else; add a person first")
        await person.share_contact(other)

    async def _forwarded_contact(self, person: Person, order: Json) -> None:
        await person.share_contact(forwarded=True)

    async def _edit(self, person: Person, order: Json) -> None:
        message, text = _message(person, order), _text(order, "text").strip()
        if not is_editable(message, person):
            raise NotPossible("only an own text that is still there can be edited")
        if person.private.blocked:
            raise NotPossible("the bot is blocked; unblock it first")
        if not text or utf16_length(text) > TEXT_LENGTH:
            raise NotPossible(f"a message holds 1 to {TEXT_LENGTH} characters")
        if text != message.text:
            await person.edit(message, text)

    async def _delete(self, person: Person, order: Json) -> None:
        message = _message(person, order)
        if message.deleted:
            raise NotPossible("this message is not there any more")
        self._api.world.delete(message)

    async def _sticker(self, person: Person, order: Json) -> None:
        await person.sticker()

    async def _voice(self, person: Person, order: Json) -> None:
        await person.voice()

    async def _block(self, person: Person, order: Json) -> None:
        if not person.private.started:
            raise NotPossible("the chat has not begun; press Start first")
        await person.block()

    async def _unblock(self, person: Person, order: Json) -> None:
        await person.unblock()

    async def _start(self, person: Person, order: Json) -> None:
        payload = _text(order, "payload") if order.get("payload") else ""
        if not _PAYLOAD.fullmatch(payload):
            raise NotPossible("a start payload holds at most 64 Latin letters, digits, _ and -")
        if payload:
            await person.follow_link(payload)
        else:
            await person.send("/start")

    async def _add_person(self, person: Person, order: Json) -> Json:
        people = self._api.people
        if len(people) >= MOST_PEOPLE:
            raise NotPossible(f"there are {MOST_PEOPLE} people already, which must do")
        name = " ".join(_text(order, "name").split())
        if not 1 <= len(name) <= 64:
            raise NotPossible("a name holds 1 to 64 characters")
        language, phone = _language(order), self._phone(order, None)
        added = self._api.person(max(one.id for one in people) + 1, name, language, phone)
        self._api.world.changed()
        return {"person": added.id}

    async def _change_person(self, person: Person, order: Json) -> None:
        # Both are read before either is changed: an act is done whole or not at all.
        language = _language(order) if "language" in order else person.user.language_code
        phone = self._phone(order, person) if "phone" in order else person.phone
        person.user, person.phone = replace(person.user, language_code=language), phone
        self._api.world.users[person.id] = person.user
        self._api.world.changed()

    def _phone(self, order: Json, owner: Person | None) -> str:
        number = re.sub(r"[\s().-]", "", _text(order, "phone"))
        if not _NUMBER.fullmatch(number):
            raise NotPossible("a number is written with + and 7 to 15 digits")
        holder = next((one for one in self._api.people if one.phone == number and one is not owner), None)
        if holder is not None:
            raise NotPossible(f"{holder.user.first_name} has this number")
        return number


def _text(order: Json, field: str) -> str:
    value = order.get(field)
    if not isinstance(value, str):
        raise NotPossible(f"{field!r} must be a text")
    # What no client can type, and no file or database can keep.
    return value.encode("utf-8", "replace").decode().replace("\0", "")


def _number(order: Json, field: str) -> int:
    value = order.get(field)
    if isinstance(value, bool) or not isinstance(value, int):
        raise NotPossible(f"{field!r} must be a whole number")
    return value


def _message(person: Person, order: Json) -> Message:
    message = person.private.messages.get(_number(order, "message"))
    if message is None:
        raise NotPossible("there is no such message in this chat")
    return message


def _language(order: Json) -> str:
    language = _text(order, "language").strip()
    if not _LANGUAGE.fullmatch(language):
        raise NotPossible("a language is written as two letters, for example ru or en")
    return language
