"""Who and what there is: users, chats, messages, pending button presses, and the stream of what people see change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from bot.practice.entities import Entity, utf16_slice
from bot.practice.markup import Button, ForceReply, InlineKeyboard, Markup, RemoveKeyboard, ReplyKeyboard

Json = dict[str, Any]


class Clock(Protocol):
    """Tells the present moment, aware, in UTC."""

    def now(self) -> datetime:
        """Return the present moment."""
        ...


class MachineClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the present moment."""
        return datetime.now(UTC)


@dataclass(frozen=True)
class User:
    """A person or the bot, as others see it."""

    id: int
    first_name: str
    is_bot: bool = False
    username: str | None = None
    language_code: str | None = None

    def as_json(self) -> Json:
        """Return the User object of the Bot API."""
        known = {"id": self.id, "is_bot": self.is_bot, "first_name": self.first_name}
        details = {"username": self.username, "language_code": self.language_code}
        return known | {name: value for name, value in details.items() if value is not None}


@dataclass(eq=False)
class Chat:
    """A private chat (its id is the person's), a supergroup or a channel (negative ids)."""

    id: int
    kind: Literal["private", "supergroup", "channel"]
    title: str
    username: str | None = None
    started: bool = False
    blocked: bool = False
    messages: dict[int, Message] = field(default_factory=dict)
    reply_keyboard: ReplyKeyboard | None = None
    keyboard_message: Message | None = None
    actions: list[str] = field(default_factory=list)

    def as_json(self) -> Json:
        """Return the Chat object of the Bot API."""
        name = {"first_name": self.title} if self.kind == "private" else {"title": self.title}
        return {"id": self.id, "type": self.kind} | name | ({"username": self.username} if self.username else {})


@dataclass(eq=False)
class Message:
    """One message as it stands now. `content` holds the Bot API fields of whatever is not text."""

    chat: Chat
    id: int
    date: datetime
    sender: User | None
    text: str = ""
    entities: tuple[Entity, ...] = ()
    content: Json = field(default_factory=dict)
    keyboard: InlineKeyboard | None = None
    editable: bool = True
    reply_to: Message | None = None
    file: bytes | None = None
    # Every callback button it ever had, for presses that come after it has changed.
    offered: list[Button] = field(default_factory=list)
    edited_at: datetime | None = None
    deleted: bool = False

    @property
    def from_bot(self) -> bool:
        """Whether the bot sent it."""
        return self.sender is not None and self.sender.is_bot

    @property
    def edited(self) -> bool:
        """Whether it shows the "edited" mark."""
        return self.edited_at is not None

    @property
    def buttons(self) -> list[Button]:
        """The inline buttons under it, row by row."""
        return self.keyboard.buttons if self.keyboard else []

    def offer(self, keyboard: InlineKeyboard | None) -> None:
        """Put a keyboard under it in place of the one there."""
        self.keyboard = keyboard
        self.offered += [
            button for button in self.buttons if button.callback_data is not None and button not in self.offered
        ]

    @property
    def labels(self) -> list[str]:
        """What the inline buttons under it say."""
        return [button.text for button in self.buttons]

    @property
    def marked(self) -> list[tuple[str, str]]:
        """Every entity with the text it marks."""
        return [(entity.type, utf16_slice(self.text, entity.offset, entity.length)) for entity in self.entities]

    def as_json(self) -> Json:
        """Return the Message object of the Bot API."""
        result: Json = {"message_id": self.id, "date": int(self.date.timestamp()), "chat": self.chat.as_json()}
        if self.sender is not None:
            result["from"] = self.sender.as_json()
        elif self.chat.kind == "channel":
            result["sender_chat"] = self.chat.as_json()
        if self.edited_at is not None:
            result["edit_date"] = int(self.edited_at.timestamp())
        if self.reply_to is not None:
            result["reply_to_message"] = {k: v for k, v in self.reply_to.as_json().items() if k != "reply_to_message"}
        result |= self.content
        # A file's words are its caption.
        is_file = bool(self.content.keys() & {"photo", "document"})
        text, entities = ("caption", "caption_entities") if is_file else ("text", "entities")
        if self.text:
            result[text] = self.text
        if self.entities:
            result[entities] = [entity.as_json() for entity in self.entities]
        if self.keyboard is not None:
            result["reply_markup"] = self.keyboard.as_json()
        return result


@dataclass(frozen=True)
class Toast:
    """What a press was answered with; `alert`: a dialog to be closed, otherwise a line that fades."""

    text: str
    alert: bool


@dataclass
class Press:
    """A button press waiting for its answer."""

    id: str
    user: User
    at: datetime
    message: Message
    data: str
    answered: bool = False


@dataclass(frozen=True)
class Event:
    """Something a chat shows now and did not before; `text` is the message's or the toast's at that moment."""

    kind: Literal["message", "edited", "deleted", "toast"]
    chat: Chat
    text: str
    message: Message | None = None
    toast: Toast | None = None


class World:
    """The whole state, in memory. Everything in it changes on one event loop."""

    def __init__(self, bot: User, clock: Clock) -> None:
        self.bot = bot
        self.clock = clock
        self.users: dict[int, User] = {}
        self.chats: dict[int, Chat] = {}
        self.presses: dict[str, Press] = {}
        self.events: list[Event] = []
        # How many changes there were; who has seen this many has seen all.
        self.version = 0
        # The newest ids given out: of a message in a private chat, of a file, of a press.
        self.message_id = 0
        self.file_number = 0
        self.press_id = 4_000_000_000_000_000
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Wake whoever waits for something to change."""
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, timeout: float) -> None:
        """Return when something changes; raises TimeoutError after `timeout` seconds."""
        async with asyncio.timeout(timeout):
            await self._changed.wait()

    async def until(self, holds: Callable[[], bool], timeout: float | None) -> None:
        """Return once `holds()`; raises TimeoutError after `timeout` seconds, never with None."""
        async with asyncio.timeout(timeout):
            while not holds():
                await self._changed.wait()

    async def stream(self) -> AsyncIterator[Event]:
        """Yield events from now on, without an end."""
        position = len(self.events)
        while True:
            while position < len(self.events):
                position += 1
                yield self.events[position - 1]
            await self._changed.wait()

    def press(self, user: User, message: Message, data: str) -> Press:
        """Note a press that waits for its answer."""
        self.press_id += 1
        press = Press(str(self.press_id), user, self.clock.now(), message, data)
        self.presses[press.id] = press
        return press

    def show(self, event: Event) -> None:
        """Append to the stream of what people see."""
        self.events.append(event)
        self.changed()

    def post(self, chat: Chat, sender: User | None, **fields: Any) -> Message:
        """Put a new message into a chat; `fields` are those of Message."""
        message = Message(chat, self._next_id(chat), self.clock.now(), sender, **fields)
        chat.messages[message.id] = message
        self.show(Event("message", chat, message.text, message))
        return message

    def use_markup(self, message: Message, markup: Markup | None) -> None:
        """Show a message's keyboard the way clients do: a reply keyboard stays until another or its removal."""
        match markup:
            case InlineKeyboard():
                message.offer(markup)
            case ReplyKeyboard():
                message.chat.reply_keyboard, message.chat.keyboard_message = markup, message
            case RemoveKeyboard() | ForceReply():
                message.chat.reply_keyboard = message.chat.keyboard_message = None
        # Bot API, editMessageText: only messages without reply_markup or with inline keyboards can be edited.
        message.editable = markup is None or isinstance(markup, InlineKeyboard)

    def delete(self, message: Message) -> None:
        """Take a message away; a reply keyboard goes with the message that brought it."""
        message.deleted = True
        if message.chat.keyboard_message is message:
            message.chat.reply_keyboard = message.chat.keyboard_message = None
        self.show(Event("deleted", message.chat, message.text, message))

    def file_id(self, kind: str) -> Json:
        """Return the two ids every file of the Bot API has."""
        self.file_number += 1
        return {"file_id": f"{kind}-{self.file_number}", "file_unique_id": f"unique-{self.file_number}"}

    def _next_id(self, chat: Chat) -> int:
        # Private chats share the bot's own box of messages; a group or channel counts for itself.
        if chat.kind != "private":
            return max(chat.messages, default=0) + 1
        self.message_id += 1
        return self.message_id
