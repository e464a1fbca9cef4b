"""The code step: the six digits, and what to do when they do not come."""

from __future__ import annotations

from markupsafe import Markup

from handlers import keyboards
from handlers.filters import Acting, At, Text, YesOrNo
from handlers.moments import seconds_until
from handlers.ports import Courier, Schedule
from handlers.product import Product
from handlers.registration import linking, numbers
from handlers.registration.one_time_code import find_code
from handlers.reply import Reply
from handlers.routes import Routes
from handlers.screens import Rows, Screen
from handlers.states import Registration
from handlers.talk import Talk
from handlers.turn import Event, Step, Turn
from handlers.voice import Voice
from storage.challenges import Challenges
from storage.errors import AddressTaken, Limit, NumberTaken
from storage.identities import Identities
from storage.models import Account, Channel, SendEvent, SendState, Timeline

TIMELINE = {
    SendState.QUEUED: "code-help-queued",
    SendState.SENDING: "code-help-queued",
    SendState.ACCEPTED: "code-help-accepted",
    SendState.DELIVERED: "code-help-delivered",
    SendState.UNDELIVERED: "code-help-undelivered",
    SendState.UNKNOWN: "code-help-unknown",
    SendState.FAILED: "code-help-failed",
    SendState.REFUSED: "code-help-refused",
}


# By which channels a code comes only when it is asked for: the button's action, and what is answered.
BY = {
    "code:by:telegram": (Channel.TELEGRAM, "registration-code-by-telegram"),
    "code:by:voice": (Channel.VOICE, "registration-code-by-voice"),
}


def add_to(routes: Routes) -> None:
    """Route the help and the resend, then the code itself, then whatever else was typed here."""
    here = At(Registration.code)
    routes.button(show_help, here, Acting("code:help"))
    routes.button(resend, here, Acting("code:resend"))
    routes.button(resend_by, here, Acting("code:by:"))
    routes.answer(give_code, here, Text(lambda text: find_code(text) is not None))
    routes.answer(offer_change, here, Text(numbers.looks_like_number))
    routes.answer(stay, here, YesOrNo())
    routes.answer(no_code_in_it, here, Text())


def prompt(turn: Turn) -> Screen:
    """Say where the code went, and ask for it."""
    number = numbers.pretty(turn.talk.number) if turn.talk.number else ""
    return Screen(turn.html("registration-code-prompt", number=number), keyboards.code(turn))


async def give_code(event: Event, turn: Turn, challenges: Challenges, identities: Identities) -> Reply:
    """Try the code: one try, one transaction."""
    code = find_code(turn.text)
    assert code is not None  # noqa: S101 - the filter found it
    number = turn.talk.number
    try:
        progress = await challenges.try_code(turn.update, code, now=turn.now)
    except NumberTaken:
        if number is None or not turn.talk.linking:
            raise
        return await linking.found(turn, identities, number)
    except AddressTaken:
        # The number is proven; it is the address that is missing.
        turn.talk.linking = False
        raise
    return await (linking.not_found(turn, progress) if turn.talk.linking else turn.proceed(progress))


async def offer_change(event: Event, turn: Turn) -> Reply:
    """A phone number instead of a code costs no try: offer to change the number."""
    return turn.say(Screen(turn.html("registration-code-is-a-number"), keyboards.change_number(turn)))


async def stay(event: Event, turn: Turn) -> Reply:
    """Ask for the code again: a no to "change the number?" is no mistake."""
    return turn.ask()


async def no_code_in_it(event: Event, turn: Turn) -> Reply:
    """A text without exactly one run of six digits costs no try."""
    return turn.say(Screen(turn.html("registration-code-none"), keyboards.code(turn)))


async def resend(event: Event, turn: Turn, challenges: Challenges, courier: Courier) -> Reply:
    """Send one more code; earlier ones stay valid."""
    sent = await challenges.resend(turn.update, language=turn.language, now=turn.now)
    courier.wake()
    key = "registration-code-anew" if sent.is_new else "registration-code-resent"
    return await turn.proceed(sent.account, Screen(turn.html(key)))


async def resend_by(event: Event, turn: Turn, challenges: Challenges, courier: Courier) -> Reply:
    """Send one more code by the channel that was asked for."""
    if turn.action not in BY:
        return turn.ask()
    channel, key = BY[turn.action]
    sent = await challenges.resend(turn.update, language=turn.language, now=turn.now, channel=channel)
    courier.wake()
    return await turn.proceed(sent.account, Screen(turn.html(key)))


async def show_help(event: Event, turn: Turn, challenges: Challenges, schedule: Schedule) -> Reply:
    """Say what happened to the codes so far; once resending opens, that message is edited once to say so."""
    timeline = await challenges.timeline(turn.telegram_id, now=turn.now)
    screen = help_screen(turn, timeline)
    if timeline.challenge_id is None or timeline.resend_at <= turn.now:
        return turn.say(screen)
    message_id = await schedule.say_now(screen.send(turn.telegram_id, turn.language))
    await schedule.edit_help(turn.update, message_id, timeline.challenge_id, run_at=timeline.resend_at)
    turn.remember(screen)
    return turn.say()


def help_screen(voice: Voice, timeline: Timeline) -> Screen:
    """Tell what became of the codes, when the next may be asked for, and the ways on."""
    lines = [_line(voice, event) for event in timeline.events]
    if timeline.limited and timeline.resend_at <= voice.now:
        resend_line = voice.html("registration-code-paused")
    elif timeline.resend_at <= voice.now:
        resend_line = voice.html("code-help-resend-now")
    elif timeline.limited:
        resend_line = voice.html("code-help-no-resend", until=voice.moment(timeline.resend_at))
    else:
        resend_line = voice.html("code-help-resend-in", seconds_until(timeline.resend_at, voice.now))
    story = Markup("\n").join(lines) if lines else voice.html("code-help-nothing")
    waits_long = timeline.limited and timeline.resend_at > voice.now
    text = voice.html("code-help", story=story, resend=resend_line)
    return Screen(text, keyboards.code_help(voice, resend=not waits_long, channels=timeline.channels))


def _line(voice: Voice, event: SendEvent) -> Markup:
    paused = event.refused_by in (Limit.PAUSED, Limit.NO_GATEWAY)
    key = "code-help-paused" if paused else TIMELINE[event.state]
    return voice.html(key, moment=voice.moment(event.at), how=voice.html(f"code-how-{event.channel.value}"))


def is_done(account: Account | None, talk: Talk, product: Product) -> bool:
    """The number is proven."""
    return account is not None and account.phone is not None


def _also_offers(turn: Turn) -> Rows:
    # A key of the phone step's keyboard may be tapped while the code is being sent.
    back: Rows = ((turn.button("button-back", "back"),),)
    return keyboards.code_help(turn, channels=tuple(channel for channel, _ in BY.values())) + back


STEP = Step("code", Registration.code, is_done, prompt, also_offers=_also_offers)
