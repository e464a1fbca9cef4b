"""Only likely handlers are asked: those whose decided filters pass, whatever the step, the button and the text."""

from __future__ import annotations

from itertools import product

import pytest
from aiogram.dispatcher.event.telegram import TelegramEventObserver
from aiogram.types import TelegramObject

from handlers.filters import Acting, Decided, Where
from handlers.likely import LikelyRouter
from handlers.routers import create_routers
from handlers.states import Registration

UNKNOWN = ["", ":", "terms", "terms:", "terms:registers", "nothing:at:all", "c" * 64]


class SomeTurn:
    """What a router reads of a turn."""

    def __init__(self, step: str | None, action: str | None, text: str) -> None:
        self.step, self.action, self.text = step, action, text


def router() -> LikelyRouter:
    return next(each for each in create_routers() if isinstance(each, LikelyRouter))


def decided(observer: TelegramEventObserver) -> list[list[Decided]]:
    filters = [[each.callback for each in handler.filters or ()] for handler in observer.handlers]
    return [[each for each in own if isinstance(each, Decided)] for own in filters]


@pytest.mark.parametrize("pressed", [False, True])
async def test_no_handler_is_left_out_and_none_is_asked_in_vain(pressed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    found = router()
    observer = found.callback_query if pressed else found.message
    every = decided(observer)
    actions = {each.action for own in every for each in own if isinstance(each, Acting)}
    assert len(actions) > 20
    asked: list[TelegramEventObserver] = []

    async def trigger(self: TelegramEventObserver, event: object, **kwargs: object) -> None:
        asked.append(self)

    monkeypatch.setattr(TelegramEventObserver, "trigger", trigger)
    acted: list[str | None] = [None, *sorted(actions), *(f"{action}ru" for action in sorted(actions)), *UNKNOWN]
    steps = [None, *(state.state for state in Registration.__all_states__)]
    for step, action, text in product(steps, acted, ("", "/start", "да")):
        await observer.trigger(TelegramObject(), turn=SomeTurn(step, action, text))
        where = Where(step, action, text.startswith("/"))
        expected = [
            handler.callback
            for handler, own in zip(observer.handlers, every, strict=True)
            if all(each.is_for(where) for each in own)
        ]
        assert [handler.callback for handler in asked.pop().handlers] == expected, where
    # Whatever presses say, only so much is kept.
    assert len(vars(observer)["_likely"]) <= 2 * len(steps) * (len(actions) + 2)
