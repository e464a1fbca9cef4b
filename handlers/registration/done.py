"""The end: nothing is pending. Any message of a confirmed person gets this again."""

from __future__ import annotations

from handlers import keyboards
from handlers.screens import Screen
from handlers.turn import Turn


def prompt(turn: Turn) -> Screen:
    """Say that the registration is complete, with the way into the product."""
    return Screen(turn.html("registration-done", product=turn.product.name), keyboards.done(turn))
