"""`/start i_<once>`: the link of an invitation by e-mail. Its address is taken as verified, and is not asked for."""

from __future__ import annotations

import re

from aiogram.types import Message

from handlers.errors import words_of
from handlers.filters import Payload
from handlers.greeting import greet
from handlers.registration import addresses
from handlers.registration.elsewhere import Elsewhere
from handlers.reply import Reply
from handlers.routes import Routes
from handlers.screens import Screen
from handlers.turn import Turn
from storage.accounts import Accounts
from storage.errors import InvitationGone
from storage.invitations import Invitations
from storage.models import AccountStatus

_NAME = re.compile(r"i_[A-Za-z0-9_-]{1,62}")


def add_to(routes: Routes) -> None:
    """Route the link. Before `/start`, whose payload it is."""
    routes.command(follow, Payload(_NAME))


async def follow(
    event: Message, turn: Turn, payload: str, accounts: Accounts, invitations: Invitations, elsewhere: Elsewhere
) -> Reply:
    """Take the address; whoever comes too late goes on as everybody does, after a word of it."""
    name = payload.removeprefix("i_")
    turn.talk.paused = False
    account = await accounts.of(turn.telegram_id)
    await turn.locate(account)
    if account is not None and account.status is not AccountStatus.PENDING:
        return greet(turn, Screen(turn.html("invited-already")))
    email = await invitations.address_of(name, turn.now)
    if email is None:
        return greet(turn, words_of(InvitationGone(), turn))
    known = await elsewhere.has_address(turn, email, verified=True)
    try:
        progress = await invitations.follow(turn.update, name, turn.now, exists_elsewhere=known)
    except InvitationGone as gone:
        return greet(turn, words_of(gone, turn))
    welcome = Screen(turn.html("invited-welcome", email=addresses.display(email)))
    if progress is not None:
        kept = progress.account.email == email
        return await turn.proceed(progress, welcome if kept else Screen(turn.html("invited-unused")))
    turn.talk.email, turn.talk.email_verified = email, True
    turn.talk.candidate = turn.talk.suggested = None
    await turn.locate(None)
    return greet(turn, welcome)
