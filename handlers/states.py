"""Where a person is, as stored in the conversation record. Stored names: permanent."""

from __future__ import annotations

from aiogram.fsm.state import State, StatesGroup


class Registration(StatesGroup):
    """One state per step; `country` is the picker inside the phone step, `done` and `conflict` have nothing pending."""

    email = State()
    terms = State()
    phone = State()
    country = State()
    code = State()
    done = State()
    conflict = State()


NOTHING_PENDING = frozenset({Registration.done.state, Registration.conflict.state})
