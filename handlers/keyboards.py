"""The buttons of each step, by the step's name. Actions are callback data: stored names, permanent."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from handlers.registration import country_names
from handlers.screens import Button, Rows
from handlers.states import NOTHING_PENDING
from storage.models import Channel

if TYPE_CHECKING:
    from handlers.turn import Turn
    from handlers.voice import Voice

PAGE = 8


def email(turn: Turn) -> Rows:
    """Go on with the address given before, or with one that a provider named; or sign up with a provider."""
    rows: Rows = ((turn.button("button-continue", "continue"),),) if turn.talk.email else ()
    if turn.talk.suggested and not turn.talk.email:
        labels = {language: turn.talk.suggested for language in turn.texts.languages}
        rows += ((Button(labels, action="email:suggested", answer="yes", own=True),),)
    return rows + providers(turn)


def providers(turn: Turn) -> Rows:
    """A link to each provider there is. Typing its label asks for a fresh one."""
    social = turn.room.social
    if social is None:
        return ()

    def button(name: str) -> Button:
        url = social.link(name, turn.telegram_id, turn.language, turn.now)
        return Button(turn.texts.every(f"button-{name}"), action=f"social:with:{name}", url=url)

    return tuple((button(name),) for name in social.names)


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
    if turn.talk.linking:
        rows += ((turn.button("button-create-new", "social:create"),),)
    return (*rows, (turn.button("button-back", "back"),))


def taken(turn: Voice, *, mine: bool) -> Rows:
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


def code_help(turn: Voice, *, resend: bool = True, channels: Collection[Channel] = ()) -> Rows:
    """Resend (while that is possible), the other channels there are, change the number, contact support."""
    rows: list[tuple[Button, ...]] = [(turn.button("button-resend", "code:resend"),)] if resend else []
    for channel in (Channel.TELEGRAM, Channel.VOICE):
        if channel in channels:
            rows.append((turn.button(f"button-by-{channel.value}", f"code:by:{channel.value}"),))
    rows.append((turn.button("button-change-number", "phone:change"),))
    rows.append((turn.link("button-support", turn.product.support_url),))
    return tuple(rows)


def change_number(turn: Turn) -> Rows:
    """The way back to the phone step, where the own contact can be shared."""
    return ((turn.button("button-change-number", "phone:change", answer="yes"),),)


def done(turn: Turn) -> Rows:
    """Open the product, signed in. The link itself is kept nowhere, so its label asks for a fresh one."""
    return ((Button(turn.texts.every("button-start-work"), action="done:start", url=turn.sign_in_link()),),)


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


def go_on(turn: Turn) -> Rows:
    """The way back to the pending step, where there is one."""
    return () if turn.step in NOTHING_PENDING else ((turn.button("button-continue", "continue"),),)


def link(turn: Turn, key: str, url: str) -> Rows:
    """One link."""
    return ((turn.link(key, url),),)
