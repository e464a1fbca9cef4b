"""Middlewares around handlers, put together without the names that aiogram copies from each handler to its wrapper.

They are put together five times for each update, and nobody reads those names: it took longer than all they wrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from aiogram import Router
from aiogram.dispatcher.event.bases import MiddlewareEventType, MiddlewareType, NextMiddlewareType
from aiogram.dispatcher.event.handler import CallbackType
from aiogram.dispatcher.event.telegram import TelegramEventObserver
from aiogram.dispatcher.middlewares.manager import MiddlewareManager
from aiogram.types import TelegramObject


class _Middlewares(MiddlewareManager):
    @staticmethod
    def wrap_middlewares(
        middlewares: Sequence[MiddlewareType[MiddlewareEventType]], handler: CallbackType
    ) -> NextMiddlewareType[MiddlewareEventType]:
        """Return what runs the first of these around the next, and the last around `handler`."""

        def handle(event: TelegramObject, data: dict[str, Any]) -> Any:
            return handler(event, **data)

        wrapped: Any = handle
        for middleware in reversed(middlewares):
            wrapped = partial(middleware, wrapped)
        return wrapped  # type: ignore[no-any-return]


def wrap_lightly(router: Router) -> None:
    """Have every observer of this router, and of those it includes, wrap its handlers in this way."""
    for each in router.chain_tail:
        for observer in each.observers.values():
            wraps_lightly(observer)


def wraps_lightly(observer: TelegramEventObserver) -> None:
    """Have this observer do so; the middlewares it has stay."""
    observer.middleware = _with(observer.middleware)
    observer.outer_middleware = _with(observer.outer_middleware)


def _with(earlier: MiddlewareManager) -> MiddlewareManager:
    found = _Middlewares()
    for middleware in earlier:
        found.register(middleware)
    return found
