"""The end: nothing is pending. Any message of a confirmed person gets this again."""

from __future__ import annotations

from handlers import keyboards
from handlers.payloads import bot_link
from handlers.screens import Screen
from handlers.states import Registration
from handlers.turn import Turn


def prompt(turn: Turn) -> Screen:
    """Say that the registration is complete, with the way into the product; or that the CRM has refused it."""
    if turn.step == Registration.conflict.state:
        return Screen(turn.html("notice-conflict"), keyboards.taken(turn, mine=False))
    text = turn.html("registration-done", product=turn.product.name)
    if turn.talk.promo:
        text += "\n\n" + turn.html("registration-done-promo", promo=turn.talk.promo)
    if turn.talk.invite:
        text += "\n\n" + turn.html("registration-done-invite", link=bot_link(turn.product, turn.talk.invite))
    return Screen(text, keyboards.done(turn))
