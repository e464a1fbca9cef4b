"""Where a private chat's updates are routed: commands, buttons, answers, and what is left.

Each router is skipped as a whole, by one cheap filter, when the update cannot be its: aiogram asks every handler of a
router it has entered, and every step of a longer chain is paid by every update.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiogram import Router
from aiogram.filters import Filter

from handlers.filters import IsCommand, MeansAction, Private
from handlers.reply import Reply

Handler = Callable[..., Awaitable[Reply]]


class Routes:
    """The routers of a private chat. Within each one what is registered first is asked first."""

    def __init__(self) -> None:
        self.commands = Router(name="commands")
        self.buttons = Router(name="buttons")
        self.answers = Router(name="answers")
        self.commands.message.filter(IsCommand())
        self.buttons.message.filter(MeansAction())
        self.buttons.callback_query.filter(Private())
        self.answers.message.filter(Private())
        self.answers.callback_query.filter(Private())

    @property
    def in_order(self) -> tuple[Router, ...]:
        """A command means the same at every step; a typed label is a press; what no step expected comes last."""
        return (self.commands, self.buttons, self.answers)

    def button(self, handler: Handler, *filters: Filter) -> None:
        """Route a press, and the same button's label or answer when it is typed."""
        self.buttons.message.register(handler, *filters)
        self.buttons.callback_query.register(handler, *filters)

    def answer(self, handler: Handler, *filters: Filter) -> None:
        """Route a message that is a step's own data."""
        self.answers.message.register(handler, *filters)
