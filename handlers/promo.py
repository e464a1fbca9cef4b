"""`/promo CODE`, or a code in a link: held for the person until they are registered."""

from __future__ import annotations

from aiogram.filters import Command

from handlers.errors import words_of
from handlers.payloads import read_promo
from handlers.reply import Reply
from handlers.routes import Routes
from handlers.screens import Screen
from handlers.turn import Event, Turn
from storage.errors import PromoUnknown, Refusal
from storage.promo_codes import PromoCodes


def add_to(routes: Routes) -> None:
    """Route `/promo`."""
    routes.command(give_promo, Command("promo", ignore_case=True))


async def give_promo(event: Event, turn: Turn, promo_codes: PromoCodes) -> Reply:
    """Take the code, or say how one is given; then the pending step again."""
    typed = turn.text.partition(" ")[2]
    if not typed.strip():
        return turn.ask(Screen(turn.html("promo-how")))
    code = read_promo(typed)
    if code is None:
        raise PromoUnknown
    return turn.ask(await _take(turn, promo_codes, code))


async def taken(turn: Turn, promo_codes: PromoCodes, code: str) -> Screen:
    """Take the code of a link; whoever cannot have it is told and goes on all the same."""
    try:
        return await _take(turn, promo_codes, code)
    except Refusal as refusal:
        return words_of(refusal, turn)


async def _take(turn: Turn, promo_codes: PromoCodes, code: str) -> Screen:
    await promo_codes.take(turn.update, code, turn.now)
    turn.talk.promo = code.upper()
    return Screen(turn.html("promo-taken", promo=turn.talk.promo))
