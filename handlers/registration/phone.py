"""The phone step: share the own contact, or choose the country and type the number. A valid number sends the code."""

from __future__ import annotations

from aiogram.types import Contact as SharedContact
from aiogram.types import Message

from handlers import keyboards
from handlers.filters import Acting, At, Contact, Text
from handlers.ports import Courier
from handlers.product import Product
from handlers.registration import country_names, linking, numbers
from handlers.registration.elsewhere import Elsewhere
from handlers.reply import Reply
from handlers.routes import Routes
from handlers.screens import Screen
from handlers.states import Registration
from handlers.talk import Talk
from handlers.turn import Event, Step, Turn
from storage.challenges import Challenges
from storage.errors import AddressTaken, NumberTaken
from storage.identities import Identities
from storage.models import Account, CodeSent

ASKS_NUMBER = At(Registration.phone, Registration.country)
TAKES_CONTACT = At(Registration.phone, Registration.country, Registration.code)


def add_to(routes: Routes) -> None:
    """Route the contact, "this is my number", and a typed number. The picker stands before this: see `countries`."""
    routes.label(explain_contact, ASKS_NUMBER, Acting("contact"))
    routes.button(prove_mine, TAKES_CONTACT, Acting("phone:mine"))
    routes.button(change_number, TAKES_CONTACT, Acting("phone:change"))
    routes.answer(give_number, ASKS_NUMBER, Text())
    routes.answer(give_contact, TAKES_CONTACT, Contact())


def prompt(turn: Turn) -> Screen:
    """Say why a number is asked, how to give it, and which country a national number is read for."""
    country = country_of(turn)
    reason = turn.product.phone_reason
    text = turn.html(
        "registration-phone-prompt",
        reason=reason if reason else turn.html("registration-phone-reason"),
        country=country_names.name(country, turn.language),
        flag=country_names.flag(country),
        calling_code=country_names.calling_code(country),
        example=numbers.example(country),
    )
    if turn.talk.number:
        text += "\n\n" + turn.html("registration-phone-given", number=numbers.pretty(turn.talk.number))
    if turn.talk.linking:
        text = turn.html("social-which-number") + "\n\n" + text
    return Screen(text, keyboards.phone(turn), reply_keyboard=True)


def country_of(turn: Turn) -> str:
    """Return the country that a national number is read for: the chosen one, else the operator's first."""
    chosen = turn.talk.country
    return chosen if chosen in turn.product.countries else turn.product.countries[0]


async def give_number(
    event: Event, turn: Turn, challenges: Challenges, courier: Courier, identities: Identities, elsewhere: Elsewhere
) -> Reply:
    """Take a typed number."""
    number = numbers.parse_number(turn.text, country_of(turn), turn.product.countries, turn.product.number_types)
    return await _ask_code(turn, challenges, courier, identities, elsewhere, number)


async def give_contact(
    event: Message, turn: Turn, challenges: Challenges, courier: Courier, identities: Identities, elsewhere: Elsewhere
) -> Reply:
    """Take a shared contact when it is the person's own; Telegram has verified such a number itself."""
    contact = event.contact
    assert contact is not None  # noqa: S101 - the filter saw it
    if not is_own(event, contact):
        return turn.say(Screen(turn.html("registration-phone-foreign-contact")))
    number = numbers.parse_contact(contact.phone_number, turn.product.countries, turn.product.number_types)
    return await _ask_code(turn, challenges, courier, identities, elsewhere, number, own_contact=True)


def is_own(message: Message, contact: SharedContact) -> bool:
    """Tell whether a contact counts as the sender's own: same id, not forwarded. The chat is private by routing."""
    sender = message.from_user
    own = sender is not None and contact.user_id == sender.id
    return own and message.forward_origin is None and message.via_bot is None


async def explain_contact(event: Event, turn: Turn) -> Reply:
    """Explain the contact button to who typed its label: only a press shares a contact."""
    return turn.say(Screen(turn.html("registration-phone-how-to-share")))


async def prove_mine(
    event: Event, turn: Turn, challenges: Challenges, courier: Courier, identities: Identities, elsewhere: Elsewhere
) -> Reply:
    """Start the proof that a registered number is one's own; the number comes from the record, never from data."""
    if turn.talk.taken is None:
        return turn.ask()
    number = numbers.ParsedNumber(turn.talk.taken, numbers.country_of(turn.talk.taken))
    by_contact = turn.talk.taken_by_contact
    return await _ask_code(turn, challenges, courier, identities, elsewhere, number, own_contact=by_contact, claim=True)


async def change_number(event: Event, turn: Turn) -> Reply:
    """Go back to the phone step; the earlier number stays until another is accepted."""
    await turn.move(Registration.phone)
    return turn.ask()


async def _ask_code(
    turn: Turn,
    challenges: Challenges,
    courier: Courier,
    identities: Identities,
    elsewhere: Elsewhere,
    number: numbers.ParsedNumber,
    *,
    own_contact: bool = False,
    claim: bool = False,
) -> Reply:
    turn.talk.taken = None
    claim = claim or turn.talk.linking
    try:
        if not claim and await elsewhere.has_number(turn, number, own_contact=own_contact):
            raise NumberTaken
        result = await challenges.ask_code(
            turn.update, number.e164, number.country, turn.language, own_contact=own_contact,
            contact_needs_code=turn.product.contact_needs_code, claim=claim, reveal=turn.product.reveal_existing,
            now=turn.now,
        )  # fmt: skip
    except NumberTaken:
        if turn.talk.linking:
            return await linking.found(turn, identities, number.e164)
        if not claim:
            turn.talk.taken, turn.talk.taken_by_contact = number.e164, own_contact
        raise
    except AddressTaken:
        # The number is proven; it is the address that is missing.
        turn.talk.linking = False
        raise
    if not isinstance(result, CodeSent):
        if turn.talk.linking:
            return await linking.not_found(turn, result)
        return await turn.proceed(
            result, Screen(turn.html("registration-phone-proven", number=numbers.pretty(number.e164)))
        )
    courier.wake()
    key = "registration-phone-accepted" if result.queued else "registration-code-still-live"
    return await turn.proceed(result.account, Screen(turn.html(key, number=numbers.pretty(result.number))))


def is_done(account: Account | None, talk: Talk, product: Product) -> bool:
    """A number is proven, or one is being proven."""
    return account is not None and (account.phone or account.asked_number) is not None


STEP = Step("phone", Registration.phone, is_done, prompt)
