"""aiogram's dispatcher: the routers of the conversation, and what stands around them in which order."""

from __future__ import annotations

from aiogram import Dispatcher
from aiogram.fsm.strategy import FSMStrategy

from bot.metrics import Counters
from bot.middlewares import Services, TurnMiddleware
from handlers.routers import create_routers
from handlers.turn import Room
from handlers.wrapping import wrap_lightly
from storage.accounts import Accounts
from storage.clock import Clock
from storage.identities import Identities


def create_dispatcher(
    room: Room, accounts: Accounts, clock: Clock, identities: Identities, counters: Counters, **services: object
) -> Dispatcher:
    """Return the conversation. `services`: what handlers ask for by name, beside what is given here."""
    dispatcher = Dispatcher(
        storage=room.conversations, events_isolation=room.conversations, fsm_strategy=FSMStrategy.USER_IN_CHAT,
        room=room,
    )  # fmt: skip
    # Inside aiogram's own FSM middleware, which has found the open conversation by then.
    dispatcher.update.outer_middleware(TurnMiddleware(room, accounts, clock, identities))
    # Inside the turn, which answers refusals: outside of it they are answers like any other.
    dispatcher.update.outer_middleware(counters)
    at_hand = Services(accounts=accounts, clock=clock, identities=identities, **services)
    for observer in dispatcher.observers.values():
        if observer is not dispatcher.update:
            observer.middleware(at_hand)
    dispatcher.include_routers(*create_routers())
    wrap_lightly(dispatcher)
    return dispatcher
