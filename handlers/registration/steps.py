"""The ordered list of steps. The next one is always computed from what is known; adding a step is a file and a line."""

from __future__ import annotations

from aiogram import Router

from handlers.registration import code, countries, email, phone, terms
from handlers.turn import Step

STEPS: tuple[Step, ...] = (email.STEP, terms.STEP, phone.STEP, code.STEP)


def create_router() -> Router:
    """Route every step's own data. The picker stands before the phone step: both listen to typed text."""
    router = Router(name="registration")
    for step in (email, terms, countries, phone, code):
        router.include_router(step.create_router())
    return router
