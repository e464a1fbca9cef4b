from __future__ import annotations

import phonenumbers
import pytest
from babel import Locale, localedata
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.registration import country_names
from handlers.registration.country_names import SEARCHED_LANGUAGES, calling_code, flag, is_name, name, search

EVERYWHERE = sorted(phonenumbers.SUPPORTED_REGIONS)
LIKELY = ("RU", "BY", "KZ", "AM", "KG", "UZ", "AZ", "GE", "MD", "TJ")


def test_names_come_in_the_persons_language() -> None:
    assert name("RU", "ru") == "Россия"
    assert name("RU", "en") == "Russia"
    assert name("KZ", "ru") == "Казахстан"
    assert name("TR", "en") == "Türkiye"


def test_names_are_those_of_cldr_and_nothing_else_of_it_stays() -> None:
    for language in ("ru", "en", "uk", "pt_BR", "zh_Hant"):
        theirs = Locale.parse(language).territories
        # The second time with nothing that the first one left behind.
        localedata._cache.clear()
        country_names._territories.cache_clear()
        assert {country: name(country, language) for country in EVERYWHERE} == {
            country: theirs[country] for country in EVERYWHERE
        }
        assert sum(map(len, localedata._cache.values())) == 0
        assert Locale.parse(language).territories["RU"] == name("RU", language)


def test_every_country_has_a_name_a_flag_and_a_code() -> None:
    for country in EVERYWHERE:
        for language in SEARCHED_LANGUAGES:
            assert name(country, language) not in ("", country)
        assert len(flag(country)) == 2
        assert calling_code(country)[0] == "+"
        assert calling_code(country)[1:].isdecimal()
    assert flag("RU") == "🇷🇺"
    assert calling_code("RU") == calling_code("KZ") == "+7"
    assert calling_code("BY") == "+375"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Россия", ["RU"]),
        ("  РОССИЯ! ", ["RU"]),
        ("russia", ["RU"]),
        ("ru", ["RU"]),
        ("🇷🇺", ["RU"]),
        ("РФ", ["RU"]),
        ("рос", ["RU"]),
        ("белорус", ["BY"]),
        ("Белоруссия", ["BY"]),
        ("Кыргызстан", ["KG"]),
        ("Киргизия", ["KG"]),
        ("Молдавия", ["MD"]),
        ("кир", ["KG"]),
        ("а", ["AM", "AZ"]),
        ("аз", ["AZ"]),
        ("тан", ["KZ", "KG", "UZ", "TJ"]),
        ("stan", ["KZ", "KG", "UZ", "TJ"]),
        ("+7", ["RU", "KZ"]),
        ("7", ["RU", "KZ"]),
        ("＋７", ["RU", "KZ"]),
        ("007", ["RU", "KZ"]),
        ("77", ["KZ"]),
        ("+7 9", ["RU"]),
        ("375", ["BY"]),
        ("+375", ["BY"]),
        ("00375", ["BY"]),
        ("37", ["BY", "AM", "MD"]),
        ("998", ["UZ"]),
        ("1", []),
        ("Бразилия", []),
        ("", []),
        ("+", []),
        ("0", []),
        ("00", []),
        ("😀", []),
        ("/", []),
    ],
)
def test_searching_the_likely_countries(text: str, found: list[str]) -> None:
    assert search(text, LIKELY) == found


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("США", "US"),
        ("usa", "US"),
        ("соединенные штаты", "US"),
        ("соединённые штаты", "US"),
        ("United Kingdom", "GB"),
        ("Англия", "GB"),
        ("turkey", "TR"),
        ("turkiye", "TR"),
        ("Кот-д'Ивуар", "CI"),
        ("cote d ivoire", "CI"),
        ("Нигер", "NE"),
        ("niger", "NE"),
        ("de", "DE"),
        ("германия", "DE"),
        ("голландия", "NL"),
        ("1876", "JM"),
        ("+1 (876)", "JM"),
    ],
)
def test_the_nearest_name_comes_first(text: str, first: str) -> None:
    assert search(text, EVERYWHERE)[0] == first


def test_whole_names_then_beginnings_then_parts() -> None:
    found = search("гвинея", EVERYWHERE)
    assert found[0] == "GN"
    assert set(found) == {"GN", "GW", "GQ", "PG"}
    assert found.index("GW") < found.index("GQ")


def test_the_countries_of_plus_one_are_all_found_in_the_given_order() -> None:
    countries = ("US", "CA", *EVERYWHERE)
    found = search("+1", dict.fromkeys(countries))
    assert found[:2] == ["US", "CA"]
    assert set(found) == set(phonenumbers.region_codes_for_country_code(1))


@pytest.mark.parametrize("country", EVERYWHERE)
def test_every_country_is_found_by_its_names_its_code_and_its_flag(country: str) -> None:
    texts = [name(country, language) for language in SEARCHED_LANGUAGES] + [country, country.lower(), flag(country)]
    for text in texts:
        found = search(text, EVERYWHERE)
        assert country in found
        assert is_name(text, country)
        assert is_name(text, found[0])
    assert country in search(calling_code(country), EVERYWHERE)


def test_a_part_or_another_countrys_name_is_not_the_name() -> None:
    for text in ("", "Рос", "Беларусь", "+7", "России"):
        assert not is_name(text, "RU")


@settings(deadline=None)
@given(st.text())
def test_no_text_breaks_it_and_only_given_countries_are_found(text: str) -> None:
    found = search(text, LIKELY)
    assert set(found) <= set(LIKELY)
    assert len(found) == len(set(found))
    for country in LIKELY:
        is_name(text, country)
