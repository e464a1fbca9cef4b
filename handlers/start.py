"""`/start`, bare or with a payload: greets, says why one registers, asks the first pending step."""

from __future__ import annotations

from aiogram.filters import CommandStart

from handlers import promo
from handlers.greeting import greet
from handlers.payloads import read_start
from handlers.reply import Reply
from handlers.routes import Routes
from handlers.turn import Event, Turn
from storage.accounts import Accounts
from storage.attribution import Attribution
from storage.promo_codes import PromoCodes


def add_to(routes: Routes) -> None:
    """Route `/start`."""
    routes.command(start, CommandStart(ignore_case=True))


async def start(
    event: Event, turn: Turn, accounts: Accounts, attribution: Attribution, promo_codes: PromoCodes
) -> Reply:
    """Go on where the account stands; a payload nobody knows is ignored and the person goes on."""
    turn.talk.paused = False
    if not turn.is_rebuilt:
        await turn.locate(await accounts.of(turn.telegram_id))
    arrival = read_start(turn.text)
    if arrival is None:
        return greet(turn)
    if arrival.campaign is not None:
        turn.talk.touched = await attribution.touch(turn.telegram_id, arrival.campaign, turn.now)
    if arrival.promo is None:
        return greet(turn)
    return greet(turn, await promo.taken(turn, promo_codes, arrival.promo))
