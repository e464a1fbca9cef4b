"""The country picker inside the phone step: pages, search by name or code, or a whole number typed at once."""

from __future__ import annotations

from collections.abc import Sequence

from aiogram.filters import Filter
from aiogram.types import Message

from handlers import keyboards
from handlers.filters import Acting, At, Text
from handlers.registration import country_names, numbers
from handlers.reply import Reply
from handlers.routes import Routes
from handlers.screens import Screen
from handlers.states import Registration
from handlers.turn import Event, Turn

ASKS_NUMBER = At(Registration.phone, Registration.country)


def add_to(routes: Routes) -> None:
    """Route the picker's buttons, and a text typed in it that is no number."""
    for action, handler in (("phone:country", open_picker), ("country:page:", turn_page), ("country:choose:", choose)):
        routes.button(handler, ASKS_NUMBER, Acting(action))
    routes.answer(search, At(Registration.country), Text(is_search))
    routes.answer(choose_named, At(Registration.phone), NamesCountry())


class NamesCountry(Filter):
    """The whole name of a country that may be chosen: whoever reads "the chosen country is ..." may answer so."""

    async def __call__(self, message: Message, turn: Turn) -> bool | dict[str, str]:
        """Pass for such a text, the country handed on as `named`. A bare no is no Norway here."""
        typed = turn.text.strip().lstrip("+")
        # Most of what comes here is a number.
        if not typed or typed[0].isdecimal() or turn.says("no"):
            return False
        named = next((code for code in turn.product.countries if country_names.is_name(turn.text, code)), None)
        return False if named is None else {"named": named}


def is_search(text: str) -> bool:
    """Tell a country's name or code from a number, which is taken inside the picker too."""
    return not numbers.looks_like_number(text)


async def open_picker(event: Event, turn: Turn) -> Reply:
    """Show the first page, likely countries first."""
    turn.talk.search = None
    await turn.move(Registration.country)
    return turn.say(_page(turn, turn.product.countries, 0))


async def turn_page(event: Event, turn: Turn) -> Reply:
    """Show another page, in place."""
    narrowed = turn.talk.search
    found = country_names.search(narrowed, turn.product.countries) if narrowed else turn.product.countries
    page = _argument(turn)
    if not page.isdecimal() or int(page) >= -(-len(found) // keyboards.PAGE):
        return turn.ask()
    return turn.say(_page(turn, found, int(page)), edit=True)


async def choose(event: Event, turn: Turn) -> Reply:
    """Take the chosen country, in place of the picker. Callback data is never trusted: it must be an allowed one."""
    return await _choose(turn, _argument(turn))


async def search(event: Event, turn: Turn) -> Reply:
    """Narrow the picker by a typed name or code; a whole name of one country chooses it."""
    found = country_names.search(turn.text, turn.product.countries)
    if len(found) == 1 and country_names.is_name(turn.text, found[0]):
        return await _choose(turn, found[0])
    if not found:
        return turn.say(Screen(turn.html("registration-country-none", text=turn.text[:40])))
    turn.talk.search = turn.text[:40]
    return turn.say(_page(turn, found, 0))


async def choose_named(event: Event, turn: Turn, named: str) -> Reply:
    """Take the country that was named without opening the picker."""
    return await _choose(turn, named)


async def _choose(turn: Turn, country: str) -> Reply:
    if country not in turn.product.countries:
        return turn.ask()
    turn.talk.country = country
    turn.talk.paused = False
    await turn.move(Registration.phone)
    text = turn.html(
        "registration-country-chosen",
        flag=country_names.flag(country),
        country=country_names.name(country, turn.language),
        calling_code=country_names.calling_code(country),
        example=numbers.example(country),
    )
    if not turn.talk.keyboard:
        # Cancelling took the step's keyboard away.
        return turn.ask(Screen(text))
    return turn.say(Screen(text), edit=True)


def _page(turn: Turn, found: Sequence[str], page: int) -> Screen:
    likely = turn.product.countries[0]
    text = turn.html(
        "registration-country-prompt",
        country=country_names.name(likely, turn.language),
        calling_code=country_names.calling_code(likely),
    )
    return Screen(text, keyboards.countries(turn, found, page))


def _argument(turn: Turn) -> str:
    return (turn.action or "").rpartition(":")[2]
