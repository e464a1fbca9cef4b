"""Where a private chat's updates are routed: commands, buttons, answers, and what is left.

All in one router, since every level is paid by every update, and so is every handler that is asked: see `likely`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiogram.filters import Filter

from handlers.filters import IsCommand, MeansAction, Private
from handlers.likely import LikelyRouter
from handlers.reply import Reply

Handler = Callable[..., Awaitable[Reply]]


class Routes:
    """The router of a private chat. What is registered first is asked first; answers are asked last."""

    def __init__(self) -> None:
        self._router = LikelyRouter(name="private chat")
        self._router.message.filter(Private())
        self._router.callback_query.filter(Private())
        self._answers: list[tuple[Handler, tuple[Filter, ...]]] = []

    def router(self) -> LikelyRouter:
        """Return it, complete: a command or a button that nothing took is an answer like any other text."""
        for handler, filters in self._answers:
            self._router.message.register(handler, *filters)
        return self._router

    def command(self, handler: Handler, *filters: Filter) -> None:
        """Route a command: it means the same at every step."""
        self._router.message.register(handler, IsCommand(), *filters)

    def button(self, handler: Handler, *filters: Filter) -> None:
        """Route a press, and the same button's label or answer when it is typed."""
        self.label(handler, *filters)
        self._router.callback_query.register(handler, *filters)

    def label(self, handler: Handler, *filters: Filter) -> None:
        """Route what is typed and stands for a button."""
        self._router.message.register(handler, MeansAction(), *filters)

    def answer(self, handler: Handler, *filters: Filter) -> None:
        """Route a message that is a step's own data."""
        self._answers.append((handler, filters))

    def rest(self, handler: Handler) -> None:
        """Route what nothing else expects. Added last."""
        self.answer(handler)
        self._router.callback_query.register(handler)
