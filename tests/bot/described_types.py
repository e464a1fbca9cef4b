"""Prints what aiogram's types and methods are and do, as JSON: `python -m tests.bot.described_types [deferred]`."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from bot.deferred_types import load_aiogram

PERSON = {"id": 7, "is_bot": False, "first_name": "Ира", "language_code": "ru", "unknown": 1}
CHAT = {"id": 7, "type": "private", "first_name": "Ира"}
MESSAGE = {"message_id": 5, "date": 1_790_000_000, "chat": CHAT, "from": PERSON, "text": "да"}
PHOTO = {"file_id": "f", "file_unique_id": "u", "width": 1, "height": 2}
KEYBOARD = {"inline_keyboard": [[{"text": "a", "callback_data": "b"}, {"text": "c", "url": "https://e.example"}]]}
RICH_MESSAGE = MESSAGE | {
    "entities": [{"type": "bold", "offset": 0, "length": 2}],
    "reply_to_message": MESSAGE | {"photo": [PHOTO], "caption": "фото"},
    "forward_origin": {"type": "user", "date": 1_790_000_000, "sender_user": PERSON},
    "contact": {"phone_number": "+79161234567", "first_name": "Ира", "user_id": 7},
    "reply_markup": KEYBOARD,
    "via_bot": PERSON | {"is_bot": True},
}
POLL = {
    "id": "1", "question": "?", "options": [{"persistent_id": "1", "text": "a", "voter_count": 0}],
    "total_voter_count": 0, "is_closed": False, "is_anonymous": True, "type": "regular",
    "allows_multiple_answers": False, "allows_revoting": False, "members_only": False,
}  # fmt: skip
MEMBER = {
    "chat": CHAT, "from": PERSON, "date": 1_790_000_000,
    "old_chat_member": {"status": "member", "user": PERSON},
    "new_chat_member": {"status": "kicked", "user": PERSON, "until_date": 0},
}  # fmt: skip
PRESS = {"id": "9", "from": PERSON, "chat_instance": "x", "data": "country:page:1"}
UPDATES: dict[str, dict[str, Any]] = {
    "message": RICH_MESSAGE,
    "edited_message": RICH_MESSAGE | {"edit_date": 1_790_000_001},
    "channel_post": MESSAGE | {"chat": {"id": -100, "type": "channel", "title": "t"}, "sender_chat": CHAT},
    "edited_channel_post": MESSAGE,
    "callback_query": PRESS | {"message": RICH_MESSAGE},
    "my_chat_member": MEMBER,
    "chat_member": MEMBER,
    "chat_join_request": {"chat": CHAT, "from": PERSON, "user_chat_id": 7, "date": 1},
    "inline_query": {"id": "1", "from": PERSON, "query": "q", "offset": ""},
    "chosen_inline_result": {"result_id": "1", "from": PERSON, "query": "q"},
    "shipping_query": {
        "id": "1", "from": PERSON, "invoice_payload": "p",
        "shipping_address": {
            "country_code": "RU", "state": "", "city": "c", "street_line1": "", "street_line2": "", "post_code": "1",
        },
    },
    "pre_checkout_query": {"id": "1", "from": PERSON, "currency": "RUB", "total_amount": 1, "invoice_payload": "p"},
    "poll": POLL,
    "poll_answer": {"poll_id": "1", "user": PERSON, "option_ids": [0], "option_persistent_ids": ["1"]},
    "message_reaction": {
        "chat": CHAT, "message_id": 1, "user": PERSON, "date": 1,
        "old_reaction": [], "new_reaction": [{"type": "emoji", "emoji": "👍"}],
    },
    "unknown_kind": {"a": 1},
}  # fmt: skip
WRONG: list[Any] = [
    {},
    {"update_id": "x"},
    {"update_id": 1, "message": {}},
    {"update_id": 1, "message": MESSAGE | {"chat": {"id": "x"}}},
    {"update_id": 1, "callback_query": PRESS | {"message": 3}},
    {"update_id": 1, "my_chat_member": MEMBER | {"new_chat_member": {"status": "unheard of"}}},
    7,
]
# Of those that differ between processes: addresses in reprs, the ids of classes in references.
_ID = re.compile(r"(?<=0x)[0-9a-f]+|(?<=:)\d{6,}")


def of_anything(make: Callable[[], Any]) -> Any:
    """Return what comes of it, as JSON-able data: a dumped model, or the error and its details."""
    try:
        made = make()
    except ValidationError as error:
        return _ID.sub("", repr(error.errors(include_url=False)))
    except Exception as error:
        return _ID.sub("", repr(error))
    return _ID.sub("", repr(made.model_dump() if isinstance(made, BaseModel) else made))


def uses() -> dict[str, Any]:
    """Return what first uses of types of every sort come to; none of them is built before."""
    types: Any = importlib.import_module("aiogram.types")
    methods: Any = importlib.import_module("aiogram.methods")
    response: Any = importlib.import_module("aiogram.methods.base").Response

    class Ours(types.ChatInviteLink):  # type: ignore[misc]
        """A type of ours on one of aiogram's, with a field that aiogram's names do not know."""

        User: int = 3
        guest: types.ChatFullInfo | None = None

    class OurMethod(methods.SetMyName):  # type: ignore[misc]
        """The same with a method."""

        command: types.BotCommand | None = None

    class Holder(BaseModel):
        """A model of somebody else's that holds one of aiogram's."""

        member: types.ChatMemberUpdated

    markup = types.InlineKeyboardMarkup.model_validate(KEYBOARD)
    found = {
        "holder": of_anything(lambda: Holder.model_validate({"member": MEMBER})),
        "ours": of_anything(
            lambda: Ours(
                invite_link="l", creator=PERSON, creates_join_request=False, is_primary=True, is_revoked=False, User=4
            )
        ),
        "our method": of_anything(lambda: OurMethod(name="a", command={"command": "a", "description": "b"})),
        "direct": of_anything(lambda: types.Poll(**POLL)),
        "direct, wrong": of_anything(lambda: types.StickerSet(name=1)),
        "adapter": of_anything(lambda: TypeAdapter(list[types.Game]).validate_python([{"title": 1}])),
        "response": of_anything(
            lambda: response[types.Message].model_validate({"ok": True, "result": RICH_MESSAGE}, context={"bot": None})
        ),
        "union": of_anything(
            lambda: response[types.Message | bool].model_validate({"ok": True, "result": True}, context={"bot": None})
        ),
        "copied": of_anything(lambda: types.Contact(phone_number="+7", first_name="a").model_copy(update={"b": 1})),
        "constructed": of_anything(lambda: types.Venue.model_construct(title="t")),
        "assigned": of_anything(lambda: setattr(types.User(id=1, is_bot=False, first_name="a"), "id", 2)),
        "GetMe": of_anything(methods.GetMe),
        "GetUpdates": of_anything(lambda: methods.GetUpdates(offset=1, allowed_updates=["message"])),
        "SetWebhook": of_anything(lambda: methods.SetWebhook(url="https://e.example", max_connections=100)),
        "DeleteWebhook": of_anything(methods.DeleteWebhook),
        "SetMyCommands": of_anything(
            lambda: methods.SetMyCommands(commands=[types.BotCommand(command="a", description="b")], language_code="ru")
        ),
        "SendMessage": of_anything(lambda: methods.SendMessage(chat_id=7, text="да", reply_markup=markup)),
        "SendMessage, wrong": of_anything(lambda: methods.SendMessage(chat_id=None, text=3)),
        "EditMessageText": of_anything(
            lambda: methods.EditMessageText(chat_id=7, message_id=1, text="да", reply_markup=markup)
        ),
        "AnswerCallbackQuery": of_anything(lambda: methods.AnswerCallbackQuery(callback_query_id="1", text="да")),
        "SendPhoto": of_anything(lambda: methods.SendPhoto(chat_id=7, photo=types.FSInputFile("a.png"), caption="c")),
        "answer": of_anything(lambda: types.Message(**MESSAGE).answer("да", reply_markup=markup)),
    }
    validate = types.Update.model_validate
    for kind, value in UPDATES.items():
        found[kind] = of_anything(partial(validate, {"update_id": 1, kind: value}, context={"bot": None}))
    for number, raw in enumerate(WRONG):
        found[f"wrong {number}"] = of_anything(partial(validate, raw))
    return found


def classes() -> Iterable[type[BaseModel]]:
    """Yield every model that aiogram has, the last defined first: nested ones are not built before who holds them."""
    modules = [sys.modules[name] for name in list(sys.modules) if name.startswith(("aiogram.types", "aiogram.methods"))]
    found = {
        cls.__name__: cls
        for module in modules
        for cls in vars(module).values()
        if isinstance(cls, type) and issubclass(cls, BaseModel) and cls.__module__.startswith("aiogram.")
    }
    return [cls for _, cls in sorted(found.items(), reverse=True)]


def described(cls: type[BaseModel]) -> Any:
    """Return the class's fields and the schema pydantic-core has of it; other models in it by their names alone."""
    cls.model_rebuild(raise_errors=False)
    fields = {name: _ID.sub("", repr(field)) for name, field in cls.model_fields.items()}
    return {"fields": fields, "schema": _canonical(dict(cls.__pydantic_core_schema__), cls)}


def _canonical(schema: Any, root: type) -> Any:
    if isinstance(schema, dict):
        if schema.get("type") == "definitions":
            own = next((one for one in schema["definitions"] if one.get("cls") is root), schema["schema"])
            return _canonical(own, root)
        if schema.get("type") == "definition-ref":
            return {"model": _ID.sub("", schema["schema_ref"]).rstrip(":").rpartition(".")[2]}
        if schema.get("type") == "model" and schema["cls"] is not root:
            return {"model": schema["cls"].__name__}
        return {key: _canonical(value, root) for key, value in schema.items() if key != "ref"}
    if isinstance(schema, list | tuple):
        return [_canonical(value, root) for value in schema]
    return _ID.sub("", repr(schema))


if __name__ == "__main__":
    deferred = load_aiogram() if "deferred" in sys.argv else False
    importlib.import_module("aiogram")
    told = {"deferred": deferred, "uses": uses(), "types": {cls.__name__: described(cls) for cls in classes()}}
    json.dump(told, sys.stdout)
