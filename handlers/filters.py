"""Asynchronous filters: a synchronous one costs a thread hop each (performance text)."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from aiogram.enums import ChatType
from aiogram.filters import Filter
from aiogram.fsm.state import State
from aiogram.types import CallbackQuery, Message

from handlers.turn import Turn


class Where(NamedTuple):
    """What of an update decides about most handlers: the step, the button that is meant, whether it is a command."""

    step: str | None
    action: str | None
    is_command: bool


class Decided(Filter):
    """A filter that `Where` decides, so that it need not be asked for every update: see `handlers/likely.py`."""

    @abstractmethod
    def is_for(self, where: Where) -> bool:
        """Tell whether such updates pass."""

    async def __call__(self, event: Message | CallbackQuery, turn: Turn) -> bool:
        """Ask for one update."""
        return self.is_for(Where(turn.step, turn.action, turn.text.startswith("/")))


class At(Decided):
    """At one of these steps."""

    def __init__(self, *states: State) -> None:
        """Take the steps' states."""
        self.states = frozenset(state.state for state in states)

    def is_for(self, where: Where) -> bool:
        """Pass when the person is there."""
        return where.step in self.states


class IsCommand(Decided):
    """A text that begins as commands do."""

    def is_for(self, where: Where) -> bool:
        """Pass for those."""
        return where.is_command


class MeansAction(Decided):
    """A press, or a text that stands for a button."""

    def is_for(self, where: Where) -> bool:
        """Pass when the turn understood one."""
        return where.action is not None


class Payload(Filter):
    """`/start` with a payload of this form (Bot API, "Deep linking"), handed on as `payload`."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        """Take the form of a whole payload."""
        self.pattern = pattern

    async def __call__(self, message: Message, turn: Turn) -> bool | dict[str, str]:
        """Pass for such a payload."""
        command, _, payload = turn.text.partition(" ")
        if command.partition("@")[0].casefold() != "/start" or not self.pattern.fullmatch(payload.strip()):
            return False
        return {"payload": payload.strip()}


class Private(Filter):
    """A message in the private chat of a person, or a press there."""

    async def __call__(self, event: Message | CallbackQuery, turn: Turn | None = None) -> bool:
        """Pass when a turn was opened for this update."""
        return turn is not None


class InGroup(Filter):
    """A message in a group."""

    async def __call__(self, message: Message) -> bool:
        """Pass for groups of either kind."""
        return message.chat.type in {ChatType.GROUP, ChatType.SUPERGROUP}


class Acting(Decided):
    """A button was pressed, its label typed, or answered; `action` may end with `:` to take an argument."""

    def __init__(self, action: str) -> None:
        """Take the callback data, or its beginning up to and with a colon."""
        self.action = action

    def is_for(self, where: Where) -> bool:
        """Pass when the update means this action."""
        if where.action is None:
            return False
        return where.action.startswith(self.action) if self.action.endswith(":") else where.action == self.action


class Paused(Filter):
    """The person has cancelled and not gone on since."""

    async def __call__(self, message: Message, turn: Turn) -> bool:
        """Pass while the registration is paused."""
        return turn.talk.paused


class YesOrNo(Filter):
    """A bare yes or no that no button on offer stands for: the step says what it means."""

    async def __call__(self, message: Message, turn: Turn) -> bool:
        """Pass when the text is one."""
        return turn.says("yes") or turn.says("no")


class Text(Filter):
    """A text message, optionally one that `accepts` recognises."""

    def __init__(self, accepts: Callable[[str], bool] | None = None) -> None:
        """Take a pure, quick predicate over the text."""
        self.accepts = accepts

    async def __call__(self, message: Message) -> bool:
        """Pass for such a text; commands are never a step's data."""
        text = message.text
        if not text or text.startswith("/"):
            return False
        return self.accepts is None or self.accepts(text)


class Contact(Filter):
    """A shared contact."""

    async def __call__(self, message: Message) -> bool:
        """Pass for any contact, own or foreign."""
        return message.contact is not None
