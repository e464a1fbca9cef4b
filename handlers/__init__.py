"""Talks and decides: commands, steps, and a catch-all."""

from __future__ import annotations

from aiogram import Router

from handlers import fallback, menu, start
from handlers.registration import steps


def create_router() -> Router:
    """Build the whole conversation.

    Order matters: a command means the same at every step, so commands stand first; a step's own data comes next; the
    catch-all takes what no step expected, so it must be last.
    """
    router = Router(name="conversation")
    router.include_router(start.create_router())
    router.include_router(menu.create_router())
    router.include_router(steps.create_router())
    router.include_router(fallback.create_router())
    return router
