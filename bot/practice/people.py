"""People who write to the bot: what a real client lets them do, and what it shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bot.practice.entities import find_entities, utf16_length
from bot.practice.markup import Button, ReplyKeyboard
from bot.practice.world import Chat, Event, Json, Message, Press, Toast, User, World

if TYPE_CHECKING:
    from bot.practice.groups import Group

TEXT_LENGTH = 4096
# (kind, body, chat id, author) of an update
Queue = Callable[[str, Json, int, int], object]
Wanted = str | Callable[[Message], bool]


class NotOnOffer(AssertionError):
    """The person looks for a button that is not there; says what is."""


class Person:
    """One Telegram user and their private chat with the bot.

    Whatever they do marks everything shown so far as read: `wait_for` finds only what came, or changed, after it.
    """

    def __init__(self, world: World, queue: Queue, handled: Callable[[int], bool], user: User, phone: str) -> None:
        self.user = user
        self.phone = phone
        self.private = Chat(user.id, "private", user.first_name, user.username)
        self._world = world
        self._queue = queue
        self._handled = handled
        self._read = len(world.events)

    @property
    def id(self) -> int:
        """The Telegram id."""
        return self.user.id

    @property
    def chat(self) -> list[Message]:
        """The private chat as they see it now, oldest first."""
        return [message for message in self.private.messages.values() if not message.deleted]

    @property
    def answers(self) -> list[Message]:
        """What the bot wrote in the private chat and has not deleted, oldest first."""
        return [message for message in self.chat if message.from_bot]

    @property
    def reply_keyboard(self) -> ReplyKeyboard | None:
        """The keyboard shown in place of their own, None when there is none."""
        return self.private.reply_keyboard

    @property
    def toasts(self) -> list[Toast]:
        """What presses were answered with, empty answers left out."""
        return [
            event.toast for event in self._world.events if event.chat is self.private and event.toast and event.text
        ]

    @property
    def unanswered(self) -> list[Press]:
        """Presses whose button still shows the clock."""
        return [press for press in self._world.presses.values() if press.user.id == self.id and not press.answered]

    async def send(self, text: str) -> Message:
        """Send a text; the client trims it and cuts what is longer than 4096 UTF-16 units into several messages."""
        pieces = _pieces(text.strip())
        for piece in pieces[:-1]:
            self._say(self.private, text=piece)
        return self._say(self.private, text=pieces[-1])

    async def follow_link(self, payload: str) -> Message:
        """Open `t.me/<bot>?start=<payload>` and press Start: the chat shows "/start", the bot is told the payload."""
        return self._say(self.private, text="/start", told=f"/start {payload}")

    async def send_in(self, group: Group, text: str) -> Message:
        """Send a text to a group; `@<bot's name>` in it becomes a mention."""
        return self._say(group.chat, text=text.strip())

    async def edit(self, message: Message, new_text: str) -> None:
        """Change a message of their own."""
        if message.sender is None or message.sender.id != self.id or message.deleted:
            raise NotOnOffer("only an own message that is still there can be edited")
        self._act()
        message.text, message.entities = new_text.strip(), find_entities(new_text.strip())
        message.edited_at = self._world.clock.now()
        self._world.show(Event("edited", message.chat, message.text, message))
        self._queue("edited_message", message.as_json(), message.chat.id, self.id)

    def button(self, label: str) -> tuple[Message, Button]:
        """Return the inline button with this label and its message: the newest one that has it."""
        for message in reversed(self.chat):
            for button in message.buttons:
                if button.text == label:
                    return message, button
        raise NotOnOffer(f"no inline button {label!r}; on offer: {self._on_offer()}")

    async def press(self, label: str) -> str | None:
        """Press an inline button; returns the address a link button opens, None for the others."""
        message, button = self.button(label)
        if button.url is not None:
            self._act()
            return button.url
        if button.callback_data is None:
            raise NotOnOffer(f"the button {label!r} does not call the bot, it has {button.action!r}")
        await self.press_data(button.callback_data, message)
        return None

    async def press_data(self, data: str, message: Message) -> Press:
        """Send a press with any data under any message: crafted, or of a keyboard that has changed since."""
        self._act()
        press = self._world.press(self.user, message, data)
        shown = message.as_json()
        if message.deleted:
            shown = {"chat": message.chat.as_json(), "message_id": message.id, "date": 0}
        query = {"id": press.id, "from": self.user.as_json(), "message": shown, "data": data}
        self._queue("callback_query", query | {"chat_instance": str(message.chat.id)}, message.chat.id, self.id)
        return press

    async def tap(self, label: str) -> Message:
        """Tap a button of the reply keyboard: it sends its label, or shares the own contact."""
        keyboard, origin = self.reply_keyboard, self.private.keyboard_message
        button = next((one for one in keyboard.buttons if one.text == label), None) if keyboard else None
        if keyboard is None or button is None:
            raise NotOnOffer(f"no reply button {label!r}; on offer: {self._on_offer()}")
        if keyboard.one_time:
            self.private.reply_keyboard = None
        if button.action == "request_contact":
            return self._share(self._contact(), reply_to=origin)
        if button.action != "text":
            raise NotOnOffer(f"the reply button {label!r} has {button.action!r}, which nobody can play here")
        return self._say(self.private, text=label)

    async def share_contact(self, of: Person | Json | None = None, *, forwarded: bool = False) -> Message:
        """Share a contact: their own, another person's, or any fields; `forwarded`: as a message passed on."""
        origin = {"type": "user", "sender_user": self.user.as_json(), "date": int(self._world.clock.now().timestamp())}
        contact = of if isinstance(of, dict) else (of or self)._contact()
        return self._share(contact, forward_origin=origin) if forwarded else self._share(contact)

    async def sticker(self) -> Message:
        """Send a sticker."""
        looks = {"type": "regular", "width": 512, "height": 512, "is_animated": False, "is_video": False, "emoji": "👍"}
        return self._say(self.private, content={"sticker": self._world.file_id("sticker") | looks})

    async def voice(self) -> Message:
        """Send a voice message."""
        return self._say(self.private, content={"voice": self._world.file_id("voice") | {"duration": 3}})

    async def block(self) -> None:
        """Block the bot."""
        self._set_blocked(True)

    async def unblock(self) -> None:
        """Unblock the bot."""
        self._set_blocked(False)

    async def wait_for(self, wanted: Wanted, timeout: float = 10) -> Message:
        """Return the bot's first unread message that holds the text, or for which `wanted` is true; new or edited.

        It and what came before it is read then. Raises TimeoutError, naming what is shown, after `timeout` seconds.
        """
        fits = (lambda message: wanted in message.text) if isinstance(wanted, str) else wanted
        found: list[Message] = []

        def look() -> bool:
            while self._read < len(self._world.events):
                event = self._world.events[self._read]
                self._read += 1
                message = event.message
                fresh = event.chat is self.private and event.kind in ("message", "edited")
                if fresh and message is not None and message.from_bot and not message.deleted and fits(message):
                    found.append(message)
                    return True
            return False

        await self._until(look, f"{wanted!r}" if isinstance(wanted, str) else "the message waited for", timeout)
        return found[0]

    async def wait_for_toast(self, fragment: str, timeout: float = 10) -> Toast:
        """Return the newest answer to a press once it holds `fragment`."""
        await self._until(
            lambda: bool(self.toasts) and fragment in self.toasts[-1].text, f"toast {fragment!r}", timeout
        )
        return self.toasts[-1]

    async def settled(self, timeout: float = 10) -> None:
        """Return when the bot has taken all they did: answered 2xx to the webhook, or confirmed by a poll's offset."""
        await self._until(lambda: self._handled(self.id), "the bot to take every update", timeout)

    async def _until(self, holds: Callable[[], bool], what: str, timeout: float) -> None:
        try:
            await self._world.until(holds, timeout)
        except TimeoutError:
            raise TimeoutError(f"{timeout} s passed without {what}; {self._shown()}") from None

    def _act(self) -> None:
        self._read = len(self._world.events)

    def _say(self, chat: Chat, text: str = "", told: str | None = None, **fields: Any) -> Message:
        if chat is self.private:
            if chat.blocked:
                raise NotOnOffer("the bot is blocked: a client offers nothing but to unblock it")
            chat.started = True
        if not text and not fields:
            raise ValueError("a client does not send an empty message")
        message = self._world.post(chat, self.user, text=text, entities=find_entities(text), **fields)
        self._act()
        self._queue("message", message.as_json() | ({"text": told} if told else {}), chat.id, self.id)
        return message

    def _contact(self) -> Json:
        # Telegram gives the number of a shared contact without the plus more often than with it.
        return {"phone_number": self.phone.removeprefix("+"), "first_name": self.user.first_name, "user_id": self.id}

    def _share(self, contact: Json, reply_to: Message | None = None, **content: Any) -> Message:
        return self._say(self.private, content={"contact": contact, **content}, reply_to=reply_to)

    def _set_blocked(self, blocked: bool) -> None:
        if blocked == self.private.blocked:
            return
        self._act()
        self.private.blocked = blocked
        kicked = {"user": self._world.bot.as_json(), "status": "kicked", "until_date": 0}
        member = {"user": self._world.bot.as_json(), "status": "member"}
        change = {
            "chat": self.private.as_json(),
            "from": self.user.as_json(),
            "date": int(self._world.clock.now().timestamp()),
            "old_chat_member": member if blocked else kicked,
            "new_chat_member": kicked if blocked else member,
        }
        self._queue("my_chat_member", change, self.id, self.id)

    def _on_offer(self) -> str:
        inline = [message.labels for message in self.chat if message.buttons]
        reply = [button.text for button in self.reply_keyboard.buttons] if self.reply_keyboard else []
        return f"inline {inline}, reply keyboard {reply}"

    def _shown(self) -> str:
        last = [f"{'bot' if message.from_bot else 'person'}: {message.text!r}" for message in self.chat[-4:]]
        return f"the chat ends with {last}; on offer: {self._on_offer()}"


def _pieces(text: str) -> list[str]:
    """Cut a text into messages of at most 4096 UTF-16 units."""
    pieces = [""]
    for character in text:
        if utf16_length(pieces[-1] + character) > TEXT_LENGTH:
            pieces.append("")
        pieces[-1] += character
    return pieces
