"""Groups and channels the bot is in."""

from __future__ import annotations

from collections.abc import Callable

from bot.practice.entities import find_entities
from bot.practice.people import Queue
from bot.practice.world import Chat, Message, World


class Group:
    """A supergroup; people write into it with `person.send_in(group, ...)`."""

    def __init__(self, world: World, chat: Chat) -> None:
        self.chat = chat
        self._world = world

    @property
    def messages(self) -> list[Message]:
        """What its members see now, oldest first."""
        return [message for message in self.chat.messages.values() if not message.deleted]

    @property
    def answers(self) -> list[Message]:
        """What the bot wrote there, oldest first."""
        return [message for message in self.messages if message.from_bot]

    async def wait_for(self, wanted: str | Callable[[Message], bool], timeout: float = 10) -> Message:
        """Return the bot's newest message there that holds the text or fits; raises TimeoutError."""
        fits = (lambda message: wanted in message.text) if isinstance(wanted, str) else wanted
        await self._world.until(lambda: any(fits(message) for message in self.answers), timeout)
        return next(message for message in reversed(self.answers) if fits(message))


class Channel:
    """A channel the bot was added to."""

    def __init__(self, world: World, queue: Queue, chat: Chat) -> None:
        self.chat = chat
        self._world = world
        self._queue = queue

    async def post(self, text: str) -> Message:
        """Publish a post."""
        message = self._world.post(self.chat, None, text=text, entities=find_entities(text))
        self._queue("channel_post", message.as_json(), self.chat.id, self.chat.id)
        return message
