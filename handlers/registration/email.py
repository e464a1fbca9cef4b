"""The e-mail step: one address, said back when it looks like a slip, counted against a day's limit."""

from __future__ import annotations

from handlers import keyboards
from handlers.filters import Acting, At, Text
from handlers.greeting import greet
from handlers.ports import MailDomains
from handlers.product import Product
from handlers.registration import addresses
from handlers.registration.elsewhere import Elsewhere
from handlers.reply import Reply
from handlers.routes import Routes
from handlers.screens import Screen
from handlers.states import Registration
from handlers.talk import Talk
from handlers.turn import Event, Step, Turn
from storage.accounts import Accounts
from storage.errors import AddressTaken
from storage.models import Account


def add_to(routes: Routes) -> None:
    """Route the hint's two buttons, and the address."""
    here = At(Registration.email)
    routes.button(take_hint, here, Acting("email:hint"))
    routes.button(keep_as_typed, here, Acting("email:keep"))
    routes.button(take_suggested, here, Acting("email:suggested"))
    routes.answer(give_address, here, Text())


def prompt(turn: Turn) -> Screen:
    """Ask for the address; name the one given before."""
    given = turn.talk.email
    text = turn.html("registration-email-prompt")
    if given:
        text += "\n\n" + turn.html("registration-email-given", email=addresses.display(given))
    elif turn.talk.suggested:
        text += "\n\n" + turn.html("registration-email-suggested", email=addresses.display(turn.talk.suggested))
    return Screen(text, keyboards.email(turn))


async def give_address(
    event: Event, turn: Turn, accounts: Accounts, mail_domains: MailDomains, elsewhere: Elsewhere
) -> Reply:
    """Take an address, unless it looks like a slip: then ask which one is meant."""
    if turn.is_first and not addresses.looks_like_address(turn.text):
        # Nobody has asked for an address yet: a "hello" is answered by the greeting, not by "there is no @".
        return greet(turn)
    address = addresses.parse_address(turn.text)
    suggestion = addresses.suggest(address)
    if suggestion is None:
        return await _accept(turn, accounts, mail_domains, elsewhere, address)
    turn.talk.candidate = address
    domain = suggestion.rpartition("@")[2]
    text = turn.html("registration-email-hint", typed=addresses.display(address), suggested=suggestion)
    return turn.say(Screen(text, keyboards.email_hint(turn, domain), numbered=True))


async def take_hint(
    event: Event, turn: Turn, accounts: Accounts, mail_domains: MailDomains, elsewhere: Elsewhere
) -> Reply:
    """Take the suggested address."""
    candidate = turn.talk.candidate
    suggestion = addresses.suggest(candidate) if candidate else None
    if suggestion is None:
        return turn.ask()
    return await _accept(turn, accounts, mail_domains, elsewhere, suggestion)


async def keep_as_typed(
    event: Event, turn: Turn, accounts: Accounts, mail_domains: MailDomains, elsewhere: Elsewhere
) -> Reply:
    """Take the address as it was typed: the hint never refuses."""
    candidate = turn.talk.candidate
    if candidate is None:
        return turn.ask()
    return await _accept(turn, accounts, mail_domains, elsewhere, candidate)


async def take_suggested(
    event: Event, turn: Turn, accounts: Accounts, mail_domains: MailDomains, elsewhere: Elsewhere
) -> Reply:
    """Take the address a provider named: the person's own claim from here on, like a typed one."""
    if turn.talk.suggested is None:
        return turn.ask()
    return await _accept(turn, accounts, mail_domains, elsewhere, turn.talk.suggested)


async def _accept(
    turn: Turn, accounts: Accounts, mail_domains: MailDomains, elsewhere: Elsewhere, address: str
) -> Reply:
    domain = address.rpartition("@")[2]
    if turn.product.check_mail_domains and await mail_domains.accepts_mail(domain) is False:
        raise addresses.ImpossibleDomain(domain)
    reveal = turn.product.reveal_existing
    if await elsewhere.has_address(turn, address):
        raise AddressTaken
    progress = await accounts.give_email(
        turn.update, address, verified=False, reveal=reveal, now=turn.now, touched=turn.talk.touched
    )
    turn.talk.candidate = turn.talk.suggested = None
    turn.talk.email_verified = turn.talk.email_verified and turn.talk.email == address
    turn.talk.email = address
    return await turn.proceed(progress)


def is_done(account: Account | None, talk: Talk, product: Product) -> bool:
    """An address is known: the account's, or before there is one the conversation's."""
    return (account.email if account else talk.email) is not None


STEP = Step("email", Registration.email, is_done, prompt)
