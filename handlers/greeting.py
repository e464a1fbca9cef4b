"""The greeting: what is said to who comes, in one message with the pending question."""

from __future__ import annotations

from dataclasses import replace

from handlers.reply import Reply
from handlers.states import Registration
from handlers.turn import Turn


def greet(turn: Turn) -> Reply:
    """Say why one registers and ask the pending step; who is confirmed, or refused by the CRM, is told that."""
    prompt = turn.prompt()
    if turn.step == Registration.done.state:
        return turn.say(prompt, by_http=True)
    if turn.step == Registration.conflict.state:
        return turn.say(prompt)
    greeting = turn.html("start-greeting", product=turn.product.name)
    return turn.say(replace(prompt, text=greeting + "\n\n" + prompt.text))
