"""A router that asks only the handlers an update may be for: aiogram asks one after the other, which takes longer than
what most of them do.

Where a person is and which button they mean decide about most handlers, always in the same way: so their `Decided`
filters are asked once for each step and button. What else a handler wants is asked for each update.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from aiogram import Router
from aiogram.dispatcher.event.bases import MiddlewareType
from aiogram.dispatcher.event.handler import FilterObject, HandlerObject
from aiogram.dispatcher.event.telegram import TelegramEventObserver
from aiogram.types import TelegramObject

from handlers.filters import Acting, Decided, Where
from handlers.turn import Turn
from handlers.wrapping import wraps_lightly


class LikelyRouter(Router):
    """Routes messages and presses of a private chat; its own filters let nothing pass that is no turn."""

    def __init__(self, *, name: str) -> None:
        super().__init__(name=name)
        self.message = self.observers["message"] = _Likely(self, "message")
        self.callback_query = self.observers["callback_query"] = _Likely(self, "callback_query")


class _Likely(TelegramEventObserver):
    def __init__(self, router: Router, event_name: str) -> None:
        super().__init__(router, event_name)
        self._likely: dict[Where, _Chosen] = {}

    async def trigger(self, event: TelegramObject, **kwargs: Any) -> Any:
        """Ask the handlers that are left for this step and button, in the order they were registered in."""
        turn: Turn = kwargs["turn"]
        where = Where(turn.step, self._known(turn.action), turn.text.startswith("/"))
        likely = self._likely.get(where)
        if likely is None:
            likely = self._likely[where] = _Chosen(self.router, self.event_name)
            wraps_lightly(likely)
            likely.handlers = [left for handler in self.handlers if (left := _left(handler, where))]
        return await likely.trigger(event, **kwargs)

    def _known(self, action: str | None) -> str | None:
        """Return the action, without its argument after the colon; "" for those of no handler. So they are few."""
        if action is None or action in self._actions:
            return action
        beginnings = (known for known in self._actions if known.endswith(":") and action.startswith(known))
        return max(beginnings, key=len, default="")

    @cached_property
    def _actions(self) -> frozenset[str]:
        filters = (each.callback for handler in self.handlers for each in handler.filters or ())
        return frozenset(each.action for each in filters if isinstance(each, Acting))


class _Chosen(TelegramEventObserver):
    """Made when updates come, so that what stands around handlers is known by then: aiogram collects it each time."""

    @cached_property
    def _around(self) -> list[MiddlewareType[TelegramObject]]:
        return super()._resolve_middlewares()

    def _resolve_middlewares(self) -> list[MiddlewareType[TelegramObject]]:
        return self._around


def _left(handler: HandlerObject, where: Where) -> HandlerObject | None:
    """Return the handler with the filters that are not decided yet, None when one of the others lets nothing pass."""
    undecided: list[FilterObject] = []
    for each in handler.filters or ():
        if not isinstance(each.callback, Decided):
            undecided.append(each)
        elif not each.callback.is_for(where):
            return None
    return HandlerObject(handler.callback, filters=undecided, flags=handler.flags)
