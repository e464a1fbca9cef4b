"""The buttons of each step, by the step's name. Actions are callback data: stored names, permanent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from handlers.registration import country_names
from handlers.screens import Button, Rows

if TYPE_CHECKING:
    from handlers.turn import Turn
    from handlers.voice import Voice

PAGE = 8


def email(turn: Turn) -> Rows:
    """Go on with the address given before, when there is one."""
    return ((turn.button("button-continue", "continue"),),) if turn.talk.email else ()


def email_hint(turn: Turn, domain: str) -> Rows:
    """Take the suggested domain, or leave the address as typed."""
    suggested = Button({language: domain for language in turn.texts.languages}, action="email:hint", answer="yes")
    return ((suggested,), (turn.button("button-as-typed", "email:keep", answer="no"),))


def email_meant(turn: Turn, domain: str) -> Rows:
    """Take the suggested domain; there is nothing to leave as typed."""
    return ((Button({code: domain for code in turn.texts.languages}, action="email:keep", answer="yes"),),)


def terms(turn: Turn, *, toggle: bool) -> Rows:
    """Tick (checkbox style only), register, go back."""
    submit = (turn.button("button-register", "terms:register", answer="" if toggle else "yes"),)
    back = (turn.button("button-back", "back"),)
    if not toggle:
        return (submit, back)
    ticked = turn.talk.ticked == turn.product.terms_version
    box = turn.button("terms-consent-ticked" if ticked else "terms-consent", "terms:toggle")
    return ((box,), submit, back)


def terms_missing(turn: Turn) -> Rows:
    """Return to the terms after the refusal."""
    return ((turn.button("button-continue", "terms:continue"),),)


def phone(turn: Turn) -> Rows:
    """The phone step's own buttons, on the reply keyboard: share the contact, choose the country, go back."""
    rows: Rows = (
        (turn.button("button-share-contact", "contact"),),
        (turn.button("button-country", "phone:country"),),
    )
    if turn.talk.number:
        rows += ((turn.button("button-continue", "continue"),),)
    return (*rows, (turn.button("button-back", "back"),))


def taken(turn: Turn, *, mine: bool) -> Rows:
    """The ways on from "already registered"; `mine` offers to prove that the number is one's own."""
    rows: Rows = (
        (turn.link("button-restore-password", turn.product.restore_password_url),),
        (turn.link("button-support", turn.product.support_url),),
    )
    return (*rows, (turn.button("button-my-number", "phone:mine"),)) if mine else rows


def countries(turn: Turn, found: Sequence[str], page: int) -> Rows:
    """One page of countries with flag and code, and the way to its neighbours."""
    shown = found[page * PAGE : (page + 1) * PAGE]
    rows: Rows = tuple((_country(turn, code),) for code in shown)
    turning: tuple[Button, ...] = ()
    if page:
        turning += (turn.button("button-page-before", f"country:page:{page - 1}"),)
    if (page + 1) * PAGE < len(found):
        turning += (turn.button("button-page-after", f"country:page:{page + 1}"),)
    return (*rows, turning) if turning else rows


def _country(turn: Turn, code: str) -> Button:
    def label(language: str) -> str:
        name = country_names.name(code, language)
        return f"{country_names.flag(code)} {name} {country_names.calling_code(code)}"

    return Button({language: label(language) for language in turn.texts.languages}, action=f"country:choose:{code}")


def code(turn: Turn) -> Rows:
    """Change the number, or ask why no code came."""
    return (
        (turn.button("button-code-missing", "code:help"),),
        (turn.button("button-change-number", "phone:change"),),
    )


def code_help(turn: Voice, *, resend: bool = True) -> Rows:
    """Resend (while that is possible), change the number, contact support."""
    rows: Rows = (
        (turn.button("button-change-number", "phone:change"),),
        (turn.link("button-support", turn.product.support_url),),
    )
    return ((turn.button("button-resend", "code:resend"),), *rows) if resend else rows


def change_number(turn: Turn) -> Rows:
    """The way back to the phone step, where the own contact can be shared."""
    return ((turn.button("button-change-number", "phone:change", answer="yes"),),)


def done(turn: Turn) -> Rows:
    """Open the product."""
    return ((turn.link("button-start-work", turn.product.start_url),),)


def language(turn: Turn) -> Rows:
    """Every language that has a catalogue, each named in itself."""
    texts = turn.texts
    return tuple(
        (Button({shown: texts.plain(code, "language-name") for shown in texts.languages}, action=f"language:{code}"),)
        for code in texts.languages
    )


def cancel(turn: Turn) -> Rows:
    """Go on after all, or delete now."""
    return (
        (turn.button("button-continue", "continue", answer="yes"),),
        (turn.button("button-delete-now", "delete"),),
    )


def delete(turn: Turn) -> Rows:
    """Confirm the erasure once, or keep everything."""
    return (
        (turn.button("button-delete", "delete:yes", answer="yes"),),
        (turn.button("button-keep", "continue", answer="no"),),
    )


def link(turn: Turn, key: str, url: str) -> Rows:
    """One link."""
    return ((turn.link(key, url),),)
