"""What the proof of a number comes to while an existing account is looked for: see `handlers/social.py`."""

from __future__ import annotations

from handlers.reply import Reply
from handlers.screens import Rows, Screen
from handlers.turn import Turn
from storage.errors import NumberTaken
from storage.identities import Identities
from storage.models import Progress


async def found(turn: Turn, identities: Identities, number: str) -> Reply:
    """Link to the account that holds the number just proven. Raises NumberTaken when it has changed meanwhile."""
    turn.talk.linking = False
    if not await identities.attach(turn.telegram_id, number, turn.now):
        raise NumberTaken
    turn.room.wake()
    await turn.forget()
    # Without a token: the account is not this chat's.
    rows: Rows = ((turn.link("button-start-work", turn.product.start_url),),)
    return turn.say(Screen(turn.html("social-linked-to-existing"), rows))


async def not_found(turn: Turn, progress: Progress) -> Reply:
    """Say that no account has the number; what is proven stays, and a new account goes on from there."""
    turn.talk.linking = False
    if progress.confirmed_now:
        return await turn.proceed(progress)
    await turn.settle(progress)
    await turn.locate(progress.account)
    rows: Rows = ((turn.button("button-create-new", "social:create", answer="yes"),),)
    return turn.say(Screen(turn.html("social-none-found"), rows))
