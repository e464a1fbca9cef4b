"""`/settings`: what is linked to the person, unlinking it, linking more, the language."""

from __future__ import annotations

from uuid import UUID

from aiogram.filters import Command

from handlers import keyboards
from handlers.filters import Acting
from handlers.menu import ask_language
from handlers.registration import addresses
from handlers.reply import Reply
from handlers.routes import Routes
from handlers.screens import Button, Rows, Screen
from handlers.social import provider_name
from handlers.turn import Event, Turn
from storage.identities import Identities, Linked


def add_to(routes: Routes) -> None:
    """Route the command and its buttons."""
    routes.command(show, Command("settings", ignore_case=True))
    routes.button(show, Acting("settings:show"))
    routes.button(ask_language, Acting("settings:language"))
    routes.button(unlink, Acting("settings:unlink-now:"))
    routes.button(ask_unlink, Acting("settings:unlink:"))


async def show(event: Event, turn: Turn, identities: Identities) -> Reply:
    """Show what is linked, each with its button."""
    linked = await identities.of(turn.telegram_id)
    return turn.say(_screen(turn, linked))


async def ask_unlink(event: Event, turn: Turn, identities: Identities) -> Reply:
    """Ask once whether this identity is to be unlinked; whose it is, SQL says."""
    one = _meant(turn, await identities.of(turn.telegram_id))
    if one is None:
        return turn.ask()
    rows: Rows = (
        (turn.button("button-unlink-now", f"settings:unlink-now:{one.id.hex}", answer="yes"),),
        (turn.button("button-keep-linked", "settings:show", answer="no"),),
    )
    return turn.say(Screen(turn.html("settings-unlink", what=_named(turn, one)), rows))


async def unlink(event: Event, turn: Turn, identities: Identities) -> Reply:
    """Unlink it. Only while the question is the newest on offer: an old button must not."""
    argument = (turn.action or "").rpartition(":")[2]
    if not turn.offers(turn.action or "") or not await identities.unlink(turn.update, UUID(argument)):
        return turn.ask()
    return turn.say(Screen(turn.html("settings-unlinked")), _screen(turn, await identities.of(turn.telegram_id)))


def _screen(turn: Turn, linked: tuple[Linked, ...]) -> Screen:
    names = [_named(turn, one) for one in linked]
    text = turn.html("settings-linked", names="; ".join(names)) if names else turn.html("settings-nothing-linked")
    rows: Rows = tuple((_unlinking(turn, one),) for one in linked)
    rows += keyboards.providers(turn)
    rows += ((turn.button("button-language", "settings:language"),),)
    return Screen(text, rows + keyboards.go_on(turn))


def _unlinking(turn: Turn, one: Linked) -> Button:
    return turn.button("button-unlink", f"settings:unlink:{one.id.hex}", what=_named(turn, one))


def _named(turn: Turn, one: Linked) -> str:
    provider = provider_name(turn, one.provider)
    return f"{provider} ({addresses.masked(one.email)})" if one.email else provider


def _meant(turn: Turn, linked: tuple[Linked, ...]) -> Linked | None:
    argument = (turn.action or "").rpartition(":")[2]
    return next((one for one in linked if one.id.hex == argument), None)
