"""The ordered list of steps. The next one is always computed from what is known; adding a step is a file and a line."""

from __future__ import annotations

from handlers.registration import code, countries, email, phone, terms
from handlers.routes import Routes
from handlers.turn import Step

STEPS: tuple[Step, ...] = (email.STEP, terms.STEP, phone.STEP, code.STEP)


def add_to(routes: Routes) -> None:
    """Route every step's own data. The picker stands before the phone step: both listen to typed text."""
    for step in (email, terms, countries, phone, code):
        step.add_to(routes)
