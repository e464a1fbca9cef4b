"""Methods that write into chats and answer presses, with Telegram's order of checks and its wording."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from bot.practice.entities import Entity, read_entities, trimmed, utf16_length, with_automatic
from bot.practice.html_text import parse_html
from bot.practice.markup import InlineKeyboard, Markup, check_buttons, read_markup
from bot.practice.parameters import Parameters
from bot.practice.refusals import bad_request, forbidden
from bot.practice.world import Chat, Event, Json, Message, Toast, World

TEXT_LENGTH = 4096
CAPTION_LENGTH = 1024
TOAST_LENGTH = 200
DELETABLE = timedelta(hours=48)
# The real server publishes no figure; presses answered within seconds are fine, minutes later they are not.
ANSWERABLE = timedelta(seconds=60)
ACTIONS = frozenset(
    {
        "typing",
        "upload_photo",
        "record_video",
        "upload_video",
        "record_voice",
        "upload_voice",
        "upload_document",
        "choose_sticker",
        "find_location",
        "record_video_note",
        "upload_video_note",
    }
)
TOO_OLD = "query is too old and response timeout expired or query ID is invalid"
NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same "
    "as a current content and reply markup of the message"
)

Method = Callable[[Parameters], Awaitable[object]]
Formatted = tuple[str, tuple[Entity, ...]]


class MessageMethods:
    """Each method takes the call's arguments, returns the `result`, raises Refused."""

    def __init__(self, world: World) -> None:
        self._world = world

    def table(self) -> dict[str, Method]:
        """Return the methods by name."""
        return {
            "sendMessage": self.send_message,
            "sendPhoto": self.send_photo,
            "sendDocument": self.send_document,
            "sendChatAction": self.send_chat_action,
            "editMessageText": self.edit_message_text,
            "editMessageReplyMarkup": self.edit_message_reply_markup,
            "deleteMessage": self.delete_message,
            "answerCallbackQuery": self.answer_callback_query,
            "getChat": self.get_chat,
        }

    async def send_message(self, call: Parameters) -> Json:
        """Bot API, sendMessage."""
        text, entities = _formatted(call, "text", "entities")
        _check_preview(call)
        markup = read_markup(call.text("reply_markup"))
        chat = self._writable_chat(call)
        _check_length(text, TEXT_LENGTH, "message is too long")
        check_buttons(markup)
        reply_to = self._reply_to(call, chat)
        return self._post(chat, markup, text=text, entities=entities, reply_to=reply_to)

    async def send_photo(self, call: Parameters) -> Json:
        """Bot API, sendPhoto."""
        return self._send_file(call, "photo")

    async def send_document(self, call: Parameters) -> Json:
        """Bot API, sendDocument."""
        return self._send_file(call, "document")

    async def send_chat_action(self, call: Parameters) -> bool:
        """Bot API, sendChatAction."""
        chat = self._writable_chat(call)
        if call.text("action") not in ACTIONS:
            raise bad_request("wrong parameter action in request")
        chat.actions.append(call.text("action"))
        self._world.changed()
        return True

    async def edit_message_text(self, call: Parameters) -> Json:
        """Bot API, editMessageText."""
        text, entities = _formatted(call, "text", "entities")
        _check_preview(call)
        markup = read_markup(call.text("reply_markup"))
        message = self._editable_message(call)
        if message.content:
            raise bad_request("there is no text in the message to edit")
        _check_length(text, TEXT_LENGTH, "message is too long")
        return self._edit(message, text, entities, markup)

    async def edit_message_reply_markup(self, call: Parameters) -> Json:
        """Bot API, editMessageReplyMarkup."""
        markup = read_markup(call.text("reply_markup"))
        message = self._editable_message(call)
        return self._edit(message, message.text, message.entities, markup)

    async def delete_message(self, call: Parameters) -> bool:
        """Bot API, deleteMessage."""
        chat = self._chat(call)
        message = self._message(call, chat, "delete")
        if self._world.clock.now() - message.date > DELETABLE:
            raise bad_request("message can't be deleted for everyone")
        if chat.kind != "private" and not message.from_bot:
            raise bad_request("message can't be deleted")
        self._world.delete(message)
        return True

    async def answer_callback_query(self, call: Parameters) -> bool:
        """Bot API, answerCallbackQuery."""
        text = call.text("text")
        _check_length(text, TOAST_LENGTH, "MESSAGE_TOO_LONG")
        press = self._world.presses.get(call.text("callback_query_id"))
        if press is None or press.answered or self._world.clock.now() - press.at > ANSWERABLE:
            raise bad_request(TOO_OLD)
        own_links = tuple(f"{scheme}t.me/{self._world.bot.username}?" for scheme in ("", "https://"))
        if call.text("url") and not call.text("url").startswith(own_links):
            raise bad_request("URL_INVALID")
        press.answered = True
        toast = Toast(text, call.flag("show_alert"))
        self._world.show(Event("toast", self._world.chats[press.user.id], text, toast=toast))
        return True

    async def get_chat(self, call: Parameters) -> Json:
        """Bot API, getChat."""
        full = {"accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": _NO_GIFTS}
        return self._chat(call).as_json() | full

    def _send_file(self, call: Parameters, kind: str) -> Json:
        caption, entities = _formatted(call, "caption", "caption_entities") if call.text("caption") else ("", ())
        markup = read_markup(call.text("reply_markup"))
        upload, named = call.file(kind), call.text(kind)
        if upload is None and not named:
            raise bad_request(f"there is no {kind} in the request")
        if upload is None and named.startswith("attach://"):
            raise bad_request("wrong file identifier/HTTP URL specified")
        if upload is not None and not upload.data:
            raise bad_request("file must be non-empty")
        chat = self._writable_chat(call)
        _check_length(caption, CAPTION_LENGTH, "message caption is too long")
        check_buttons(markup)
        file = self._world.file_id(kind) | {"file_size": len(upload.data) if upload else 0}
        if kind == "photo":
            content: Json = {"photo": [file | {"width": 512, "height": 512}]}
        else:
            kind_of_file = {"mime_type": upload.kind} if upload and upload.kind else {}
            content = {"document": file | {"file_name": upload.name if upload else named} | kind_of_file}
        data = upload.data if upload else None
        return self._post(chat, markup, text=caption, entities=entities, content=content, file=data)

    def _post(self, chat: Chat, markup: Markup | None, **fields: object) -> Json:
        keyboard = markup if isinstance(markup, InlineKeyboard) else None
        message = self._world.post(chat, self._world.bot, keyboard=keyboard, **fields)
        self._world.use_markup(message, markup)
        return message.as_json()

    def _edit(self, message: Message, text: str, entities: tuple[Entity, ...], markup: Markup | None) -> Json:
        check_buttons(markup)
        if markup is not None and not isinstance(markup, InlineKeyboard):
            raise bad_request("inline keyboard expected")
        if (text, entities, markup) == (message.text, message.entities, message.keyboard):
            raise bad_request(NOT_MODIFIED)
        message.text, message.entities = text, entities
        message.offer(markup)
        message.edited_at = self._world.clock.now()
        self._world.show(Event("edited", message.chat, text, message))
        return message.as_json()

    def _chat(self, call: Parameters) -> Chat:
        raw = call.text("chat_id").strip()
        if not raw:
            raise bad_request("chat_id is empty")
        chat = self._world.chats.get(int(raw)) if raw.lstrip("-").isdecimal() else None
        if chat is None:
            raise bad_request("chat not found")
        return chat

    def _writable_chat(self, call: Parameters) -> Chat:
        chat = self._chat(call)
        if chat.blocked:
            raise forbidden("bot was blocked by the user")
        if chat.kind == "private" and not chat.started:
            raise forbidden("bot can't initiate conversation with a user")
        return chat

    def _message(self, call: Parameters, chat: Chat, purpose: str) -> Message:
        number = call.integer("message_id")
        if number <= 0:
            raise bad_request("message identifier is not specified")
        message = chat.messages.get(number)
        if message is None or message.deleted:
            raise bad_request(f"message to {purpose} not found")
        return message

    def _editable_message(self, call: Parameters) -> Message:
        if not call.text("chat_id") and not call.integer("message_id"):
            raise bad_request("message identifier is not specified")
        message = self._message(call, self._writable_chat(call), "edit")
        if not message.from_bot or not message.editable:
            raise bad_request("message can't be edited")
        return message

    def _reply_to(self, call: Parameters, chat: Chat) -> Message | None:
        wanted = call.json("reply_parameters")
        if wanted is None:
            return None
        if not isinstance(wanted, dict) or not isinstance(wanted.get("message_id"), int):
            raise bad_request("can't parse reply parameters: Can't find field \"message_id\"")
        message = chat.messages.get(wanted["message_id"])
        if message is None or message.deleted:
            if wanted.get("allow_sending_without_reply") is True:
                return None
            raise bad_request("message to be replied not found")
        return message


_NO_GIFTS = {
    "unlimited_gifts": False,
    "limited_gifts": False,
    "unique_gifts": False,
    "premium_subscription": False,
    "gifts_from_channels": False,
}


def _formatted(call: Parameters, text_field: str, entities_field: str) -> Formatted:
    """Return the visible text and all its entities, read by the call's parse mode."""
    raw = call.text(text_field)
    if not raw:
        raise bad_request("message text is empty")
    mode = call.text("parse_mode").lower()
    given: tuple[Entity, ...] = ()
    # Markdown is Telegram's, too; this server reads HTML alone and says so in the same words.
    if mode not in ("", "html"):
        raise bad_request("unsupported parse_mode")
    if mode == "html":
        raw, given = parse_html(raw)
    elif call.text(entities_field):
        given = read_entities(call.json(entities_field), raw)
    text, given = trimmed(raw, given)
    if not text:
        raise bad_request("text must be non-empty")
    return text, with_automatic(text, given)


def _check_length(text: str, limit: int, refusal: str) -> None:
    if utf16_length(text) > limit:
        raise bad_request(refusal)


def _check_preview(call: Parameters) -> None:
    options = call.json("link_preview_options")
    if options is not None and not isinstance(options, dict):
        raise bad_request("can't parse link preview options: Object expected")
