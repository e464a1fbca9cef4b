"""Coming back from a provider: "link this?", and whether it becomes a new account or joins an existing one.

A new account goes on with the steps, its verified address given. An existing one is named by its number: the number is
proven as in any registration, by the own contact or a code. When a confirmed account holds it, the identity is linked
to that account, whose person is told; its Telegram id, address and number stay, nothing of it is shown here, and what
was begun in this chat is erased. When none holds it, or the one that does confirmed it so long ago that the number may
have changed hands, this is said and the new account goes on with its number proven. An account begun in this very chat
and never confirmed is confirmed by the same proof.
"""

from __future__ import annotations

import re

from aiogram.filters import Filter
from aiogram.types import Message
from markupsafe import Markup

from handlers import keyboards
from handlers.filters import Acting, At, Payload, YesOrNo
from handlers.registration import addresses
from handlers.registration.elsewhere import Elsewhere
from handlers.reply import Reply
from handlers.routes import Routes
from handlers.screens import Rows, Screen
from handlers.states import NOTHING_PENDING, Registration
from handlers.turn import Event, Turn
from storage.accounts import Accounts
from storage.errors import AddressTaken, IdentityTaken
from storage.identities import Identities, Identity
from storage.models import Account, AccountStatus
from storage.sign_ups import ForeignArrival, SignUps

_NAME = re.compile(r"o_[A-Za-z0-9_-]{16,60}")
# Of a name, as much as callback data needs to tell two questions apart.
_MARK = 12


def add_to(routes: Routes) -> None:
    """Route the way back, the question's answers, and the choice. Before `/start`, whose payload it is."""
    routes.command(arrive, Payload(_NAME))
    routes.button(accept, Acting("social:yes:"))
    routes.button(decline, Acting("social:no"))
    routes.button(create, Acting("social:create"))
    routes.button(link_existing, Acting("social:existing"))
    routes.button(send_link, Acting("social:with:"))
    # Where a bare yes or no answers nothing else, and something was said since the question.
    routes.answer(repeat_question, At(Registration.email, Registration.phone, Registration.code), Arrived(), YesOrNo())


class Arrived(Filter):
    """The person came back from a provider and has not answered whether to link."""

    async def __call__(self, message: Message, turn: Turn) -> bool:
        """Pass while the question stands."""
        return turn.talk.arrived is not None


async def arrive(
    event: Message, turn: Turn, payload: str, accounts: Accounts, identities: Identities, sign_ups: SignUps
) -> Reply:
    """Ask who came back whether this is to be linked. Made for another chat, it is destroyed."""
    name = payload.removeprefix("o_")
    turn.talk.paused = False
    account = await accounts.of(turn.telegram_id)
    await turn.locate(account)
    try:
        arrival = await sign_ups.arrived(name, turn.telegram_id, turn.now)
    except ForeignArrival:
        return turn.ask(Screen(turn.html("social-foreign")))
    if arrival is None:
        return turn.ask(Screen(turn.html("social-expired")))
    holder = await identities.holder(arrival.identity)
    mine = holder is not None and holder.telegram_id == turn.telegram_id
    if mine or (holder is not None and holder.keeps):
        await sign_ups.finish(name)
        if not mine:
            return _someone_elses(turn, arrival.identity)
        return await _go_on(turn, arrival.identity, account, "social-already")
    turn.talk.arrived = name
    return turn.say(Screen(_question(turn, arrival.identity), _yes_or_no(turn, name)))


async def accept(
    event: Event, turn: Turn, identities: Identities, sign_ups: SignUps, accounts: Accounts, elsewhere: Elsewhere
) -> Reply:
    """Bind the identity. The name comes from the record; the button only tells which question it answers."""
    name = turn.talk.arrived
    if name is None or turn.action != f"social:yes:{name[:_MARK]}":
        return turn.ask()
    arrival = await sign_ups.arrived(name, turn.telegram_id, turn.now)
    turn.talk.arrived = None
    if arrival is None:
        return turn.ask(Screen(turn.html("social-expired")))
    email = arrival.identity.email if arrival.identity.email_verified else None
    known = email is not None and await elsewhere.has_address(turn, email, verified=True)
    try:
        result = await identities.bind(turn.update, arrival.identity, turn.now, exists_elsewhere=known)
    except IdentityTaken:
        return _someone_elses(turn, arrival.identity)
    except AddressTaken:
        await turn.locate(await accounts.of(turn.telegram_id))
        bound = turn.html("social-bound", provider=provider_name(turn, arrival.identity.provider))
        return turn.say(Screen(bound + "\n\n" + turn.html("registration-email-taken"), _existing_first(turn)))
    # What came back stays for its minutes: an update that comes again after a crash must find it. Binds nothing anew.
    if result is not None:
        await turn.settle(result)
    return await _go_on(turn, arrival.identity, result.account if result else None, "social-bound")


async def repeat_question(event: Message, turn: Turn, sign_ups: SignUps) -> Reply:
    """Ask once more: a yes counts only right after its question."""
    name = turn.talk.arrived or ""
    arrival = await sign_ups.arrived(name, turn.telegram_id, turn.now)
    if arrival is None:
        turn.talk.arrived = None
        return turn.ask(Screen(turn.html("social-expired")))
    return turn.say(Screen(_question(turn, arrival.identity), _yes_or_no(turn, name)))


async def decline(event: Event, turn: Turn, sign_ups: SignUps) -> Reply:
    """Link nothing, and go on as before."""
    if turn.talk.arrived is None:
        return turn.ask()
    await sign_ups.finish(turn.talk.arrived)
    turn.talk.arrived = None
    return turn.ask(Screen(turn.html("social-declined")))


async def create(event: Event, turn: Turn, accounts: Accounts) -> Reply:
    """Go on with a new account, from its pending step."""
    turn.talk.linking = False
    return await turn.proceed(await accounts.of(turn.telegram_id))


async def link_existing(event: Event, turn: Turn, identities: Identities) -> Reply:
    """Ask for the number of the existing account. Who has no identity to link goes on where they are."""
    if turn.step in NOTHING_PENDING:
        return turn.ask()
    progress = await identities.begin_linking(turn.update, turn.language, turn.now)
    turn.talk.linking = True
    await turn.locate(progress.account)
    # Whatever number was asked about so far, the existing account's may be another.
    await turn.move(Registration.phone)
    return turn.ask()


async def send_link(event: Event, turn: Turn) -> Reply:
    """Send a fresh link to who typed the label of a provider's button: the one on it may be too old."""
    name = (turn.action or "").rpartition(":")[2]
    if turn.room.social is None or name not in turn.room.social.names:
        return turn.ask()
    url = turn.room.social.link(name, turn.telegram_id, turn.language, turn.now)
    return turn.say(Screen(turn.html("menu-link", url=url)))


async def recall(turn: Turn, identities: Identities) -> None:
    """Take over what an identity or an invitation vouches for, when the talk was lost before there was an account."""
    email = await identities.vouched(turn.telegram_id)
    if email is not None:
        turn.talk.email, turn.talk.email_verified = email, True
        await turn.locate(None)


async def _go_on(turn: Turn, identity: Identity, account: Account | None, words: str) -> Reply:
    """Say the words, and offer the choice to whose registration is not complete."""
    text = turn.html(words, provider=provider_name(turn, identity.provider))
    if account is not None and account.status is not AccountStatus.PENDING:
        return await turn.proceed(account, Screen(text))
    if account is None and identity.email_verified:
        turn.talk.email, turn.talk.email_verified = identity.email, True
    elif identity.email and (account.email if account else turn.talk.email) is None:
        # Offered, never believed.
        turn.talk.suggested = identity.email
    await turn.locate(account)
    rows: Rows = (
        (turn.button("button-create-new", "social:create"),),
        (turn.button("button-link-existing", "social:existing"),),
    )
    return turn.say(Screen(text + "\n\n" + turn.html("social-choose"), rows, numbered=True))


def _existing_first(turn: Turn) -> Rows:
    return ((turn.button("button-link-existing", "social:existing"),), *keyboards.taken(turn, mine=False))


def _someone_elses(turn: Turn, identity: Identity) -> Reply:
    rows = keyboards.link(turn, "button-start-work", turn.product.start_url)
    rows += keyboards.link(turn, "button-support", turn.product.support_url) + keyboards.go_on(turn)
    return turn.say(Screen(turn.html("social-of-another", provider=provider_name(turn, identity.provider)), rows))


def _question(turn: Turn, identity: Identity) -> Markup:
    who = addresses.masked(identity.email) if identity.email else identity.name
    provider = provider_name(turn, identity.provider)
    return turn.html("social-question", provider=provider, who=who or provider)


def provider_name(turn: Turn, provider: str) -> str:
    """Return a provider's name as people write it."""
    return turn.texts.plain(turn.language, f"provider-{provider}")


def _yes_or_no(turn: Turn, name: str) -> Rows:
    return (
        (turn.button("button-yes-link", f"social:yes:{name[:_MARK]}", answer="yes"),),
        (turn.button("button-no-link", "social:no", answer="no"),),
    )
