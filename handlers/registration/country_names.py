"""Countries as people call them: CLDR names (Babel) in any language, flags, calling codes, and a search by them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

import phonenumbers
from babel import localedata
from phonenumbers import PhoneMetadata

# Whatever language the chat is in, a name may be typed in any of these.
SEARCHED_LANGUAGES = ("ru", "en")
# How people call a country when CLDR calls it otherwise.
_ALSO_CALLED = {
    "AE": ("Эмираты", "Объединенные Арабские Эмираты", "UAE"),
    "BY": ("Белоруссия",),
    "CD": ("ДР Конго", "DR Congo"),
    "CF": ("ЦАР",),
    "CN": ("КНР",),
    "CZ": ("Чешская Республика", "Czech Republic"),
    "DO": ("Доминикана",),
    "GB": ("Англия", "Британия", "England", "Britain", "UK"),
    "KG": ("Кыргызстан", "Киргизстан"),
    "KP": ("Северная Корея", "North Korea"),
    "KR": ("Южная Корея", "Korea"),
    "MD": ("Молдавия", "Moldavia"),
    "MK": ("Македония",),
    "MM": ("Бирма", "Burma"),
    "NL": ("Голландия", "Holland"),
    "RU": ("РФ", "Российская Федерация", "Russian Federation"),
    "TM": ("Туркмения",),
    "TR": ("Turkey",),
    "US": ("США", "Америка", "USA", "America"),
    "ZA": ("ЮАР",),
}
_FIRST_FLAG_LETTER = 0x1F1E6
_FLAG_LETTERS = {_FIRST_FLAG_LETTER + place: ord("A") + place for place in range(26)}
_CODE = re.compile(r"[+＋]?\s*\d[\d\s()-]*")
# Shorter texts stand inside far too many names.
_SHORTEST_PART = 3


def name(country: str, language: str) -> str:
    """Return the name of a country (ISO 3166 code) in a language CLDR knows; the code itself when it has none."""
    return _territories(language).get(country, country)


def flag(country: str) -> str:
    """Return the flag emoji of a country: its code in regional indicator letters."""
    return "".join(chr(_FIRST_FLAG_LETTER + ord(letter) - ord("A")) for letter in country)


def calling_code(country: str) -> str:
    """Return the calling code of a country with its plus: +7 for Russia and for Kazakhstan."""
    return f"+{phonenumbers.country_code_for_region(country)}"


def is_name(text: str, country: str) -> bool:
    """Tell whether `text` is the whole name of the country in a searched language, its ISO code or its flag."""
    return _fold(_without_code(text)) in _names(country)


def search(text: str, countries: Iterable[str]) -> list[str]:
    """Return those of `countries` that a typed text may mean, the nearest first, otherwise in the given order.

    By calling code (`+7`, `7`, `00375`, `1 876`) or by name, in any searched language and whatever the case, accents
    and ё: whole names, then beginnings, then beginnings of later words, then any other part. By code a number's first
    digits tell countries of one code apart, where libphonenumber knows them (77 is Kazakhstan, 1876 Jamaica).
    """
    if _CODE.fullmatch(text.strip()):
        return _by_code("".join(str(unicodedata.decimal(c)) for c in text if c.isdecimal()), countries)
    typed = _fold(_without_code(text))
    ranked = [(rank, country) for country in countries if (rank := _rank(typed, country)) is not None]
    return [country for _, country in sorted(ranked, key=lambda found: found[0])]


def _without_code(text: str) -> str:
    """Return a typed button label without the flag before it and the calling code behind it."""
    bare = re.sub(r"^\s*[\U0001F1E6-\U0001F1FF]{2}\s*(?=\S)", "", text)
    return re.sub(r"\s*\+\d+\s*$", "", bare)


def _by_code(digits: str, countries: Iterable[str]) -> list[str]:
    wanted = digits.removeprefix("00")
    codes = {country: calling_code(country).removeprefix("+") for country in countries}
    exact = [country for country, code in codes.items() if code == wanted]
    if exact or not wanted:
        return exact
    longer = [country for country, code in codes.items() if wanted.startswith(code)]
    told_apart = [country for country in longer if _may_begin(country, wanted.removeprefix(codes[country]))]
    return told_apart or longer or [country for country, code in codes.items() if code.startswith(wanted)]


def _may_begin(country: str, national_digits: str) -> bool:
    metadata = PhoneMetadata.metadata_for_region(country)
    leading = metadata.leading_digits if metadata is not None else None
    return leading is not None and re.match(leading, national_digits) is not None


def _rank(typed: str, country: str) -> int | None:
    if not typed:
        return None
    names = _names(country)
    if typed in names:
        return 0
    if any(known.startswith(typed) for known in names):
        return 1
    if any(f" {typed}" in known for known in names):
        return 2
    if len(typed) >= _SHORTEST_PART and any(typed in known for known in names):
        return 3
    return None


@lru_cache(maxsize=512)
def _names(country: str) -> frozenset[str]:
    names = {name(country, language) for language in SEARCHED_LANGUAGES}
    return frozenset(_fold(known) for known in (*names, *_ALSO_CALLED.get(country, ()), country))


def _fold(text: str) -> str:
    """Return a name as it is compared: no case, no accents (ё is е, й is и on both sides), words by single spaces."""
    spelled = unicodedata.normalize("NFKD", text.translate(_FLAG_LETTERS)).casefold()
    letters = (character for character in spelled if not unicodedata.combining(character))
    return " ".join("".join(character if character.isalnum() else " " for character in letters).split())


@lru_cache
def _territories(language: str) -> dict[str, str]:
    """Return the names in a language, over them those of its region: `pt`, then `pt_BR`."""
    names: dict[str, str] = {}
    parts = language.split("_")
    for known in ("_".join(parts[:length]) for length in range(1, len(parts) + 1)):
        # A Locale would keep all that CLDR says of every language it met, 3 MB each.
        data = localedata.load(known, merge_inherited=False)
        names |= data["territories"]
        # Babel keeps this very object, and loads a language anew where it finds nothing in it.
        data.clear()
    return names
