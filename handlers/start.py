"""`/start`, bare or with a payload: greets, says why one registers, asks the first pending step."""

from __future__ import annotations

from aiogram.filters import CommandStart

from handlers.greeting import greet
from handlers.reply import Reply
from handlers.routes import Routes
from handlers.turn import Event, Turn
from storage.accounts import Accounts


def add_to(routes: Routes) -> None:
    """Route `/start`."""
    routes.commands.message.register(start, CommandStart(ignore_case=True))


async def start(event: Event, turn: Turn, accounts: Accounts) -> Reply:
    """Go on where the account stands; a payload nobody knows is ignored and the person goes on."""
    turn.talk.paused = False
    if not turn.is_rebuilt:
        await turn.locate(await accounts.of(turn.telegram_id))
    return greet(turn)
