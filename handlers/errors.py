"""Refusals in words: what happened, and what to do next. Nothing typed is lost, and there is always a way on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from handlers import keyboards
from handlers.moments import seconds_until
from handlers.registration import addresses, country_names, numbers
from handlers.reply import Reply
from handlers.screens import Screen
from handlers.states import Registration
from handlers.turn import Turn
from storage import errors
from storage.accounts import Accounts
from storage.errors import Limit, Refusal

log = logging.getLogger(__name__)

_AT_PHONE = frozenset({Registration.phone.state, Registration.country.state})
_AT_EMAIL = frozenset({Registration.email.state})
# These may say that the account is no longer where the conversation is, unless the step itself was just answered.
_STEPS_OF: dict[type[Refusal], frozenset[str | None]] = {
    errors.NoAccount: frozenset(),
    errors.NothingToResend: frozenset(),
    errors.AddressTaken: _AT_EMAIL,
    errors.NumberTaken: _AT_PHONE,
}


async def explain(refusal: Refusal, turn: Turn, accounts: Accounts) -> Reply:
    """Return the answer to a refused request. Every Refusal has its words here; an unknown one is a KeyError."""
    words = _WORDS[type(refusal)]
    turn.talk.paused = False
    log.info("a request was refused: %s", _for_the_log(refusal))
    if isinstance(refusal, errors.ResendTooEarly):
        return turn.alert(words(refusal, turn))
    stays = _STEPS_OF.get(type(refusal))
    if turn.step in _AT_PHONE and not turn.talk.keyboard:
        # Cancelling took the step's keyboard away, and the words may speak of its button.
        return turn.ask(words(refusal, turn))
    if stays is None or turn.step in stays:
        return turn.say(words(refusal, turn))
    await turn.locate(await accounts.of(turn.telegram_id))
    return turn.ask(words(refusal, turn))


def words_of(refusal: Refusal, turn: Turn) -> Screen:
    """Return a refusal in words alone, for where the person goes on all the same."""
    log.info("a request was refused: %s", _for_the_log(refusal))
    return _WORDS[type(refusal)](refusal, turn)


def _for_the_log(refusal: Refusal) -> str:
    """Name what was refused: the kind, and of the data only what is nobody's."""
    data = [str(getattr(refusal, name)) for name in ("limit", "country", "kind") if hasattr(refusal, name)]
    return " ".join([type(refusal).__name__, *data])


def _no_at_sign(refusal: addresses.NoAtSign, turn: Turn) -> Screen:
    return Screen(turn.html("registration-email-no-at"))


def _impossible_domain(refusal: addresses.ImpossibleDomain, turn: Turn) -> Screen:
    text = turn.html("registration-email-domain", domain=refusal.domain)
    if refusal.suggestion is None:
        return Screen(text)
    # A slip such as gmail,com: leaving it as typed would lead nowhere, so the other spelling is all there is to take.
    turn.talk.candidate = refusal.suggestion
    text += "\n\n" + turn.html("registration-email-meant", suggested=refusal.suggestion)
    return Screen(text, keyboards.email_meant(turn, refusal.suggestion.rpartition("@")[2]))


def _disposable_domain(refusal: addresses.DisposableDomain, turn: Turn) -> Screen:
    return Screen(turn.html("registration-email-disposable", domain=refusal.domain))


def _impossible_address(refusal: addresses.ImpossibleAddress, turn: Turn) -> Screen:
    return Screen(turn.html("registration-email-impossible"))


def _address_taken(refusal: errors.AddressTaken, turn: Turn) -> Screen:
    return Screen(turn.html("registration-email-taken"), keyboards.taken(turn, mine=False))


def _invalid_number(refusal: numbers.InvalidNumber, turn: Turn) -> Screen:
    return Screen(
        turn.html(
            "registration-phone-invalid",
            country=country_names.name(refusal.country, turn.language),
            calling_code=country_names.calling_code(refusal.country),
            example=numbers.example(refusal.country),
        )
    )


def _country_not_allowed(refusal: numbers.CountryNotAllowed, turn: Turn) -> Screen:
    allowed = ", ".join(country_names.name(country, turn.language) for country in turn.product.countries)
    named = country_names.name(refusal.country, turn.language) if refusal.country else "?"
    return Screen(turn.html("registration-phone-country", country=named, allowed=allowed))


def _number_type(refusal: numbers.NumberTypeRefused, turn: Turn) -> Screen:
    return Screen(turn.html("registration-phone-type"))


def _anonymous(refusal: numbers.AnonymousNumber, turn: Turn) -> Screen:
    return Screen(turn.html("registration-phone-anonymous"))


def _number_taken(refusal: errors.NumberTaken, turn: Turn) -> Screen:
    # Only a number just typed can still be claimed: after a proof the offer would lead in a circle.
    return Screen(turn.html("registration-phone-taken"), keyboards.taken(turn, mine=turn.talk.taken is not None))


def _limit_reached(refusal: errors.LimitReached, turn: Turn) -> Screen:
    until = turn.moment(refusal.retry_at)
    if refusal.limit is Limit.ADDRESSES_PER_PERSON:
        return Screen(turn.html("registration-email-limit", until=until))
    if refusal.limit is Limit.INVITES_PER_PERSON:
        return Screen(turn.html("invite-limit", until=until))
    if refusal.limit is Limit.PROMO_GUESSES:
        return Screen(turn.html("promo-limit", until=until))
    if refusal.limit is Limit.WRONG_CODES:
        return Screen(turn.html("registration-code-limit", until=until), keyboards.change_number(turn))
    if turn.step == Registration.code.state:
        return Screen(turn.html("registration-code-no-more", until=until), keyboards.change_number(turn))
    return Screen(turn.html("registration-phone-limit", until=until))


def _nothing_is_sent(refusal: errors.NothingIsSent, turn: Turn) -> Screen:
    if turn.step == Registration.code.state:
        return Screen(turn.html("registration-code-paused"), keyboards.change_number(turn))
    return Screen(turn.html("registration-phone-paused"))


def _resend_too_early(refusal: errors.ResendTooEarly, turn: Turn) -> Screen:
    return Screen(turn.html("code-help-resend-in", seconds_until(refusal.retry_at, turn.now)))


def _pending(refusal: Refusal, turn: Turn) -> Screen:
    return Screen(turn.html("registration-outdated"))


def _wrong_code(refusal: errors.WrongCode, turn: Turn) -> Screen:
    if refusal.tries_left == 0:
        return Screen(turn.html("registration-code-wrong-last"), keyboards.code_help(turn))
    return Screen(turn.html("registration-code-wrong", refusal.tries_left), keyboards.code(turn))


def _code_expired(refusal: errors.CodeExpired, turn: Turn) -> Screen:
    return Screen(turn.html("registration-code-expired"), keyboards.code_help(turn))


def _too_many_tries(refusal: errors.TooManyTries, turn: Turn) -> Screen:
    return Screen(turn.html("registration-code-too-many"), keyboards.code_help(turn))


def _said(key: str) -> Callable[[Refusal, Turn], Screen]:
    return lambda refusal, turn: Screen(turn.html(key))


_WORDS: dict[type[Refusal], Callable[[Any, Turn], Screen]] = {
    addresses.NoAtSign: _no_at_sign,
    addresses.ImpossibleDomain: _impossible_domain,
    addresses.DisposableDomain: _disposable_domain,
    addresses.ImpossibleAddress: _impossible_address,
    numbers.InvalidNumber: _invalid_number,
    numbers.CountryNotAllowed: _country_not_allowed,
    numbers.NumberTypeRefused: _number_type,
    numbers.AnonymousNumber: _anonymous,
    errors.AddressTaken: _address_taken,
    errors.IdentityTaken: _pending,
    errors.NumberTaken: _number_taken,
    errors.LimitReached: _limit_reached,
    errors.NothingIsSent: _nothing_is_sent,
    errors.ResendTooEarly: _resend_too_early,
    errors.NothingToResend: _pending,
    errors.NoAccount: _pending,
    errors.WrongCode: _wrong_code,
    errors.CodeExpired: _code_expired,
    errors.TooManyTries: _too_many_tries,
    errors.PromoUnknown: _said("promo-unknown"),
    errors.PromoNotNow: _said("promo-not-now"),
    errors.PromoUsedUp: _said("promo-used-up"),
    errors.PromoUsedBefore: _said("promo-used-before"),
    errors.PromoTooLate: _said("promo-too-late"),
    errors.InvitationGone: _said("invited-gone"),
}
