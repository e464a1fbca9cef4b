"""`/start`, bare or with a payload: greets, says why one registers, asks the first pending step."""

from __future__ import annotations

from aiogram import Router
from aiogram.filters import CommandStart

from handlers.filters import Private
from handlers.greeting import greet
from handlers.reply import Reply
from handlers.turn import Event, Turn
from storage.accounts import Accounts


def create_router() -> Router:
    """Route `/start` in a private chat."""
    router = Router(name="start")
    router.message.register(start, Private(), CommandStart(ignore_case=True))
    return router


async def start(event: Event, turn: Turn, accounts: Accounts) -> Reply:
    """Go on where the account stands; a payload nobody knows is ignored and the person goes on."""
    turn.talk.paused = False
    await turn.locate(await accounts.of(turn.telegram_id))
    return greet(turn)
