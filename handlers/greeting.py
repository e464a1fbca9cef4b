"""The greeting: what is said to who comes, in one message with the pending question."""

from __future__ import annotations

from dataclasses import replace

from handlers.reply import Reply
from handlers.screens import Screen
from handlers.states import Registration
from handlers.turn import Turn


def greet(turn: Turn, *before: Screen) -> Reply:
    """Say why one registers and ask the pending step; who is confirmed, or refused by the CRM, is told that.

    `before`: what is said first.
    """
    prompt = turn.prompt()
    if turn.step == Registration.done.state:
        return turn.say(*before, prompt, by_http=True)
    if turn.step == Registration.conflict.state:
        return turn.say(*before, prompt)
    greeting = turn.html("start-greeting", product=turn.product.name)
    return turn.say(*before, replace(prompt, text=greeting + "\n\n" + prompt.text))
