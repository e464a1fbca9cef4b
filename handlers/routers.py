"""The whole conversation: commands, steps, and a catch-all."""

from __future__ import annotations

from aiogram import Router

from handlers import (
    export,
    fallback,
    invite,
    invited,
    menu,
    partners,
    promo,
    settings_menu,
    social,
    staff,
    staff_partners,
    start,
)
from handlers.registration import steps
from handlers.routes import Routes


def create_routers() -> tuple[Router, ...]:
    """Build the whole conversation: routers to include in this order, side by side (each level is paid per update).

    Order matters: what works at any step stands before the steps' own; the catch-all takes what no step expected, so
    it must be last.
    """
    routes = Routes()
    social.add_to(routes)
    invited.add_to(routes)
    start.add_to(routes)
    menu.add_to(routes)
    export.add_to(routes)
    settings_menu.add_to(routes)
    promo.add_to(routes)
    invite.add_to(routes)
    partners.add_to(routes)
    staff.add_to(routes)
    staff_partners.add_to(routes)
    steps.add_to(routes)
    fallback.add_to(routes)
    return (routes.router(), staff.create_router(), staff_partners.create_router(), fallback.create_router())
