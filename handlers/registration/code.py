"""The code step: the six digits, and what to do when they do not come."""

from __future__ import annotations

from datetime import datetime

from aiogram import Router
from markupsafe import Markup

from handlers import keyboards
from handlers.filters import Acting, Text
from handlers.moments import seconds_until
from handlers.ports import Courier, Schedule
from handlers.product import Product
from handlers.registration import numbers
from handlers.registration.one_time_code import find_code
from handlers.reply import Reply
from handlers.screens import Screen
from handlers.states import Registration
from handlers.talk import Talk
from handlers.turn import Event, Step, Turn
from storage.challenges import Challenges
from storage.models import Account, SendState, Timeline

TIMELINE = {
    SendState.QUEUED: "code-help-queued",
    SendState.SENDING: "code-help-queued",
    SendState.ACCEPTED: "code-help-accepted",
    SendState.DELIVERED: "code-help-delivered",
    SendState.UNKNOWN: "code-help-unknown",
    SendState.FAILED: "code-help-failed",
    SendState.REFUSED: "code-help-refused",
}


def create_router() -> Router:
    """Route the help and the resend, then the code itself, then whatever else was typed here."""
    router = Router(name="code")
    for action, handler in (("code:help", show_help), ("code:resend", resend)):
        router.message.register(handler, Registration.code, Acting(action))
        router.callback_query.register(handler, Registration.code, Acting(action))
    router.message.register(give_code, Registration.code, Text(lambda text: find_code(text) is not None))
    router.message.register(offer_change, Registration.code, Text(numbers.looks_like_number))
    router.message.register(no_code_in_it, Registration.code, Text())
    return router


def prompt(turn: Turn) -> Screen:
    """Say where the code went, and ask for it."""
    number = numbers.pretty(turn.talk.number) if turn.talk.number else ""
    return Screen(turn.html("registration-code-prompt", number=number), keyboards.code(turn))


async def give_code(event: Event, turn: Turn, challenges: Challenges) -> Reply:
    """Try the code: one try, one transaction."""
    code = find_code(turn.text)
    assert code is not None  # noqa: S101 - the filter found it
    progress = await challenges.try_code(turn.update, code, now=turn.now)
    return await turn.proceed(progress)


async def offer_change(event: Event, turn: Turn) -> Reply:
    """A phone number instead of a code costs no try: offer to change the number."""
    return turn.say(Screen(turn.html("registration-code-is-a-number"), keyboards.change_number(turn)))


async def no_code_in_it(event: Event, turn: Turn) -> Reply:
    """A text without exactly one run of six digits costs no try."""
    return turn.say(Screen(turn.html("registration-code-none"), keyboards.code(turn)))


async def resend(event: Event, turn: Turn, challenges: Challenges, courier: Courier) -> Reply:
    """Send one more code; earlier ones stay valid."""
    sent = await challenges.resend(turn.update, language=turn.talk.language, now=turn.now)
    courier.wake()
    return await turn.proceed(sent.account, Screen(turn.html("registration-code-resent")))


async def show_help(event: Event, turn: Turn, challenges: Challenges, schedule: Schedule) -> Reply:
    """Say what happened to the codes so far; once resending opens, that message is edited once to say so."""
    timeline = await challenges.timeline(turn.telegram_id, now=turn.now)
    waits = timeline.resend_at is not None and timeline.resend_at > turn.now
    screen = _help(turn, timeline, turn.now)
    if not waits or timeline.resend_at is None:
        return turn.say(screen)
    opened = _help(turn, timeline, timeline.resend_at)
    message_id = await schedule.say_now(screen.send(turn.telegram_id, turn.talk.language))
    edit = opened.edit(turn.telegram_id, message_id, turn.talk.language)
    await schedule.call_later(turn.update, edit, run_at=timeline.resend_at)
    turn.remember(screen)
    return turn.say()


def _help(turn: Turn, timeline: Timeline, at: datetime) -> Screen:
    lines = [turn.html(TIMELINE[event.state], moment=turn.moment(event.at)) for event in timeline.events]
    if timeline.resend_at is None:
        resend_line = turn.html("code-help-no-resend")
    elif timeline.resend_at > at:
        resend_line = turn.html("code-help-resend-in", seconds_until(timeline.resend_at, at))
    else:
        resend_line = turn.html("code-help-resend-now")
    story = Markup("\n").join(lines) if lines else turn.html("code-help-nothing")
    text = turn.html("code-help", story=story, resend=resend_line)
    return Screen(text, keyboards.code_help(turn))


def is_done(account: Account | None, talk: Talk, product: Product) -> bool:
    """The number is proven."""
    return account is not None and account.phone is not None


STEP = Step("code", Registration.code, is_done, prompt)
