"""Phone numbers as people type and share them, read by libphonenumber's metadata. Everything returned is E.164.

`phonenumbers.geocoder` is never imported: its data costs 100 MB and a second.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from urllib.parse import unquote

import phonenumbers
from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    NumberParseException,
    PhoneNumber,
    PhoneNumberFormat,
    PhoneNumberType,
)
from phonenumbers.phonemetadata import REGION_CODE_FOR_NON_GEO_ENTITY

from storage.errors import Refusal

# Fewer digits are never a whole number: a calling code, an option, a house number.
_FEWEST_DIGITS = 7
_ANONYMOUS_PREFIX = "888"
_MINUS_SIGN = "\u2212"
_TEL_LINK = re.compile(r"\s*tel:(?://)?([^;?]*)", re.IGNORECASE)
_RUN = re.compile(r"(?:\+[\s().\[\]/_~-]*)?[0-9](?:[\s().\[\]/_~-]*[0-9])*")


@dataclass(frozen=True)
class ParsedNumber:
    """A number that may be sent a code: E.164 with the plus, and the allowed country (ISO 3166) it belongs to."""

    e164: str
    country: str


@dataclass
class InvalidNumber(Refusal):
    """No number of any country can be read here; `country` is the one whose `example` helps most."""

    country: str


@dataclass
class CountryNotAllowed(Refusal):
    """A valid number of a country no code is sent to; None for a range that belongs to no country."""

    country: str | None


@dataclass
class NumberTypeRefused(Refusal):
    """A valid number of a kind that gets no code; `kind` is libphonenumber's name in lower case: `premium_rate`."""

    kind: str


@dataclass
class AnonymousNumber(Refusal):
    """A collectible +888 number: it lives in Telegram only and cannot receive an SMS."""


@dataclass(frozen=True)
class _Typed:
    """ASCII digits as typed, and whether a plus stood before them."""

    digits: str
    plus: bool


def parse_number(text: str, country: str, allowed: Collection[str], types: Collection[str]) -> ParsedNumber:
    """Return the number that `text` means to someone who chose `country`.

    With a plus it is international. Without, it is read as a number of `country` (with or without the trunk prefix,
    or dialled abroad from there), and only when it is none as an international number that lost its plus. So where a
    text is both (ten digits may be a German number to a Russian reader), the chosen country wins.

    `country` and `allowed` are ISO 3166 codes, `types` libphonenumber's names in lower case.
    Raises InvalidNumber, CountryNotAllowed, NumberTypeRefused, AnonymousNumber.
    """
    typed = _typed(text)
    if typed is None:
        raise InvalidNumber(country)
    readings = list(_readings(typed, country))
    refusals: list[Refusal] = []
    for reading in readings:
        try:
            return _accept(reading, allowed, types)
        except Refusal as refusal:
            refusals.append(refusal)
    if typed.digits.startswith(_ANONYMOUS_PREFIX) and (typed.plus or not readings):
        raise AnonymousNumber
    raise refusals[0] if refusals else InvalidNumber(_meant_country(typed, country, allowed))


def parse_contact(phone_number: str, allowed: Collection[str], types: Collection[str]) -> ParsedNumber:
    """Return the number of a contact as the Bot API gives it: international, often without the plus.

    Raises what `parse_number` raises; InvalidNumber names the first of `allowed` unless the calling code tells more.
    """
    typed = _typed(phone_number)
    international = f"+{typed.digits}" if typed else ""
    return parse_number(international, next(iter(allowed)), allowed, types)


def looks_like_number(text: str) -> bool:
    """Tell whether a whole phone number may be meant, valid or not: one run of at least seven digits, no more runs."""
    typed = _typed(text)
    return typed is not None and len(typed.digits) >= _FEWEST_DIGITS


@cache
def example(country: str) -> str:
    """Return an example mobile number: international, then national. `country` is one libphonenumber knows."""
    kinds = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)
    found = (phonenumbers.example_number_for_type(country, kind) for kind in kinds)
    number = next(number for number in found if number is not None)
    forms = (PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.NATIONAL)
    return ", ".join(phonenumbers.format_number(number, form) for form in forms)


# One update says its number more than once; what is said later is not kept for it.
@lru_cache(maxsize=16)
def pretty(e164: str) -> str:
    """Return an E.164 number in full, grouped as people read it: +7 916 123-45-67."""
    return phonenumbers.format_number(_read(e164), PhoneNumberFormat.INTERNATIONAL)


def masked(e164: str) -> str:
    """Return an E.164 number as staff may see it: +7*******67, the same count of stars for every length."""
    return f"+{_read(e164).country_code}*******{e164[-2:]}"


def country_of(e164: str) -> str:
    """Return the ISO 3166 code of an E.164 number's country; one unknown to it falls to its calling code's main one."""
    number = _read(e164)
    found = phonenumbers.region_code_for_number(number)
    return found or phonenumbers.region_code_for_country_code(number.country_code or 0)


def _read(e164: str) -> PhoneNumber:
    """Return an E.164 number in parts. No calling code begins with another one, so the first that fits is right."""
    for length in (1, 2, 3):
        calling_code, rest = int(e164[1 : 1 + length]), e164[1 + length :]
        # A zero in front is a part of some numbers, which libphonenumber knows.
        if calling_code in COUNTRY_CODE_TO_REGION_CODE and not rest.startswith("0"):
            return PhoneNumber(country_code=calling_code, national_number=int(rest))
    return phonenumbers.parse(e164)


def _typed(text: str) -> _Typed | None:
    link = _TEL_LINK.match(text)
    plain = "".join(_simplify(character) for character in (unquote(link[1]) if link else text))
    found = [run[0] for run in _RUN.finditer(plain) if _whole(run)]
    runs = [_Typed(re.sub(r"[^0-9]", "", run), run.startswith("+")) for run in found]
    long = [run for run in runs if len(run.digits) >= _FEWEST_DIGITS] or runs
    return long[0] if len(long) == 1 else None


def _whole(run: re.Match[str]) -> bool:
    """Tell whether a run touches no letter: "891612345O7" hides a slip, and its digits alone reach a stranger."""
    before, after = run.string[max(run.start() - 1, 0) : run.start()], run.string[run.end() : run.end() + 1]
    return not (before.isalpha() or after.isalpha())


def _simplify(character: str) -> str:
    """Return ASCII for digits, pluses, dashes and brackets of any script; nothing for what cannot be seen."""
    category = unicodedata.category(character)
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if character.isdigit():
        # A superscript or circled digit is a mistake inside a number: it must spoil the run, like a letter.
        return "x"
    if category in {"Cf", "Mn", "Me"}:
        return ""
    if category == "Pd" or character == _MINUS_SIGN:
        return "-"
    if category in {"Ps", "Pe"}:
        return "("
    return unicodedata.normalize("NFKC", character) if character in "\uff0b\ufe62" else character


def _readings(typed: _Typed, country: str) -> Iterator[PhoneNumber]:
    """Yield the valid numbers this may be, the likeliest first."""
    national = None if typed.plus else _valid(typed.digits, country)
    if national is not None:
        yield national
    international = _valid(f"+{typed.digits}", None)
    # A landline of the chosen country stays one, though its digits may be a mobile number elsewhere: it is refused by
    # its kind. Only when the digits begin with that country's own calling code was the plus surely lost: 49 151 ...
    if international is not None and (national is None or international.country_code == national.country_code):
        yield international
    if national is None and international is None and typed.digits.startswith("00"):
        abroad = _valid(f"+{typed.digits[2:]}", None)
        if abroad is not None:
            yield abroad


def _valid(number: str, country: str | None) -> PhoneNumber | None:
    try:
        parsed = phonenumbers.parse(number, country)
    except NumberParseException:
        return None
    return parsed if phonenumbers.is_valid_number(parsed) else None


def _accept(number: PhoneNumber, allowed: Collection[str], types: Collection[str]) -> ParsedNumber:
    country = _allowed_country(number, allowed)
    kind = PhoneNumberType.to_string(phonenumbers.number_type(number)).lower()
    if kind not in types:
        raise NumberTypeRefused(kind)
    return ParsedNumber(phonenumbers.format_number(number, PhoneNumberFormat.E164), country)


def _allowed_country(number: PhoneNumber, allowed: Collection[str]) -> str:
    country = phonenumbers.region_code_for_number(number)
    if country is not None and country in allowed:
        return country
    for sharing in phonenumbers.region_codes_for_country_code(number.country_code or 0):
        mother = _mother(sharing) if sharing in allowed else None
        if mother is not None and mother == country and phonenumbers.is_valid_number_for_region(number, sharing):
            return sharing
    raise CountryNotAllowed(None if country == REGION_CODE_FOR_NON_GEO_ENTITY else country)


@lru_cache
def _mother(territory: str) -> str | None:
    """Return the country libphonenumber names for a territory's own mobile numbers: Finland for the Åland Islands.

    Nine territories share every number with their mother country; allowed alone, they must still be served. All other
    countries under one calling code (Russia and Kazakhstan) are their own, and never stand in for each other.
    """
    number = phonenumbers.example_number_for_type(territory, PhoneNumberType.MOBILE)
    return phonenumbers.region_code_for_number(number) if number is not None else None


def _meant_country(typed: _Typed, country: str, allowed: Collection[str]) -> str:
    """Return the country whose example to show: the chosen one, unless the typed calling code is of other ones."""
    if not typed.plus:
        return country
    codes = (int(typed.digits[:length]) for length in (1, 2, 3))
    meant = [region for code in codes for region in phonenumbers.region_codes_for_country_code(code)]
    return country if country in meant else next((region for region in meant if region in allowed), country)
