"""The terms step: read, tick, register. Accepting creates the account; what was shown is recorded as proof."""

from __future__ import annotations

import hashlib

from markupsafe import Markup

from handlers import keyboards
from handlers.filters import Acting, At, YesOrNo
from handlers.product import Product, TermsStyle
from handlers.reply import Reply
from handlers.routes import Routes
from handlers.screens import Screen
from handlers.states import Registration
from handlers.talk import Talk
from handlers.turn import Event, Step, Turn
from storage.accounts import Accounts
from storage.models import Account, AccountStatus, TermsAcceptance


def add_to(routes: Routes) -> None:
    """Route the toggle, the submission and the way back from the refusal, pressed, typed, or answered with yes."""
    here = At(Registration.terms)
    for action, handler in (("terms:toggle", toggle), ("terms:register", register), ("terms:continue", ask_again)):
        routes.button(handler, here, Acting(action))
    routes.answer(answer, here, YesOrNo())


def prompt(turn: Turn) -> Screen:
    """Show the sentence that is agreed to, with link and version."""
    toggle_shown = turn.product.terms_style is TermsStyle.CHECKBOX
    text = turn.html("registration-terms-prompt", sentence=_sentence(turn), version=turn.product.terms_version)
    if turn.talk.terms_changed:
        text = turn.html("registration-terms-changed") + "\n\n" + text
    return Screen(text, keyboards.terms(turn, toggle=toggle_shown))


async def toggle(event: Event, turn: Turn) -> Reply:
    """Tick or untick the box, in place when it was pressed."""
    return _tick(turn, ticked=not _is_ticked(turn))


async def answer(event: Event, turn: Turn) -> Reply:
    """Tick with a bare yes, untick with a bare no."""
    return _tick(turn, ticked=turn.says("yes"))


async def register(event: Event, turn: Turn, accounts: Accounts) -> Reply:
    """Accept the terms: the account exists from here on."""
    if turn.product.terms_style is TermsStyle.CHECKBOX and not _is_ticked(turn):
        return turn.say(Screen(turn.html("registration-terms-missing"), keyboards.terms_missing(turn)))
    language = turn.language
    acceptance = TermsAcceptance(turn.product.terms_version, language, sentence_hash(turn))
    progress = await accounts.accept_terms(
        turn.update, language=language, email=turn.talk.email, acceptance=acceptance, now=turn.now,
        verified=turn.talk.email_verified,
    )  # fmt: skip
    return await turn.proceed(progress)


async def ask_again(event: Event, turn: Turn) -> Reply:
    """Return to the terms after the refusal."""
    return turn.ask()


def sentence_hash(turn: Turn) -> str:
    """Return SHA-256 (hex) of the sentence as shown, its link and its version, one per line, without the box."""
    shown = (_sentence(turn).striptags().lstrip("☐☑ "), turn.product.terms_url, turn.product.terms_version)
    return hashlib.sha256("\n".join(shown).encode()).hexdigest()


def is_done(account: Account | None, talk: Talk, product: Product) -> bool:
    """The present version is accepted; who is confirmed already is not asked anew."""
    if account is None:
        return False
    return account.status is AccountStatus.CONFIRMED or account.terms_version == product.terms_version


def _sentence(turn: Turn) -> Markup:
    if turn.product.terms_style is TermsStyle.BUTTON:
        return turn.html("terms-sentence-button", url=turn.product.terms_url)
    key = "terms-sentence-ticked" if _is_ticked(turn) else "terms-sentence"
    return turn.html(key, url=turn.product.terms_url)


def _is_ticked(turn: Turn) -> bool:
    return turn.talk.ticked == turn.product.terms_version


def _tick(turn: Turn, *, ticked: bool) -> Reply:
    turn.talk.ticked = turn.product.terms_version if ticked else None
    return turn.say(turn.prompt(), edit=True)


STEP = Step("terms", Registration.terms, is_done, prompt)
