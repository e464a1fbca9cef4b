"""Every country libphonenumber knows: its example mobile number, in every form, is taken."""

from __future__ import annotations

import phonenumbers
import pytest
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

from handlers.registration import numbers
from handlers.registration.numbers import CountryNotAllowed, ParsedNumber, parse_contact, parse_number

EVERYWHERE = sorted(phonenumbers.SUPPORTED_REGIONS)
LIKELY = ("RU", "BY", "KZ", "AM", "KG", "UZ", "AZ", "GE", "MD", "TJ")
MOBILE = frozenset({"mobile", "fixed_line_or_mobile"})
# Tristan da Cunha: libphonenumber knows no mobile number there.
WITH_MOBILE = [country for country in EVERYWHERE if country != "TA"]


def mobile(country: str) -> PhoneNumber:
    number = phonenumbers.example_number_for_type(country, PhoneNumberType.MOBILE)
    assert number is not None
    return number


def forms(number: PhoneNumber, country: str) -> dict[str, str]:
    """Every way in which someone who chose `country` may write its number."""
    international = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    return {
        "international": international,
        "e164": e164,
        "without the plus": e164[1:],
        "without the plus, spaced": international[1:],
        "after 00": f"00{e164[1:]}",
        "link": phonenumbers.format_number(number, PhoneNumberFormat.RFC3966),
        "full-width": "".join(chr(ord(character) + 0xFEE0) for character in e164),
        "national": phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL),
        "national digits": phonenumbers.national_significant_number(number),
    }


def test_only_one_country_has_no_example_of_a_mobile_number() -> None:
    none = [c for c in EVERYWHERE if phonenumbers.example_number_for_type(c, PhoneNumberType.MOBILE) is None]
    assert none == ["TA"]


@pytest.mark.parametrize("country", WITH_MOBILE)
def test_every_countrys_mobile_number_is_taken_in_every_form_once_it_is_chosen(country: str) -> None:
    number = mobile(country)
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    for form, text in forms(number, country).items():
        assert parse_number(text, country, EVERYWHERE, MOBILE).e164 == e164, form
        assert parse_number(text, country, (country,), MOBILE) == ParsedNumber(e164, country), form


@pytest.mark.parametrize("country", WITH_MOBILE)
def test_every_countrys_international_number_is_taken_whatever_country_is_chosen(country: str) -> None:
    e164 = phonenumbers.format_number(mobile(country), PhoneNumberFormat.E164)
    for chosen in LIKELY:
        assert parse_number(e164, chosen, EVERYWHERE, MOBILE).e164 == e164


@pytest.mark.parametrize("country", LIKELY)
def test_the_likely_countries_need_no_plus_from_each_other(country: str) -> None:
    e164 = phonenumbers.format_number(mobile(country), PhoneNumberFormat.E164)
    for chosen in LIKELY:
        assert parse_number(e164[1:], chosen, LIKELY, MOBILE) == ParsedNumber(e164, country)


@pytest.mark.parametrize("country", WITH_MOBILE)
def test_every_countrys_contact_is_taken_with_and_without_the_plus(country: str) -> None:
    e164 = phonenumbers.format_number(mobile(country), PhoneNumberFormat.E164)
    assert parse_contact(e164, EVERYWHERE, MOBILE).e164 == e164
    assert parse_contact(e164[1:], (country,), MOBILE) == ParsedNumber(e164, country)


def test_the_countries_of_plus_one_are_told_apart() -> None:
    plus_one = phonenumbers.region_codes_for_country_code(1)
    assert len(plus_one) > 20
    for country in plus_one:
        e164 = phonenumbers.format_number(mobile(country), PhoneNumberFormat.E164)
        assert parse_number(e164, "US", plus_one, MOBILE).country == country
        others = [other for other in plus_one if other != country]
        with pytest.raises(CountryNotAllowed) as caught:
            parse_number(e164, others[0], others, MOBILE)
        assert caught.value == CountryNotAllowed(country)


def test_only_territories_stand_in_for_their_mother_country() -> None:
    families = ("AU CC CX", "FI AX", "GB IM", "GP BL MF", "IT VA", "MA EH", "NO SJ")
    for country in WITH_MOBILE:
        number = mobile(country)
        e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        for other in phonenumbers.region_codes_for_country_code(number.country_code or 0):
            try:
                parse_number(e164, other, (other,), MOBILE)
            except CountryNotAllowed:
                continue
            assert other == country or any({other, country} <= set(family.split()) for family in families)


def test_national_digits_that_begin_with_888_are_not_anonymous() -> None:
    for country in WITH_MOBILE:
        own = f"888{phonenumbers.national_significant_number(mobile(country))[3:]}"
        number = phonenumbers.parse(own, country)
        if phonenumbers.is_valid_number(number) and phonenumbers.number_type(number) == PhoneNumberType.MOBILE:
            e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
            assert parse_number(own, country, EVERYWHERE, MOBILE).e164 == e164


@pytest.mark.parametrize(
    ("chosen", "typed", "e164"),
    [
        # Both readings are valid numbers: the chosen country's own landline, or its mobile number that lost the plus.
        ("DE", "4915123456789", "+4915123456789"),
        ("ID", "62812345678", "+62812345678"),
        ("XK", "38343201234", "+38343201234"),
    ],
)
def test_a_lost_plus_is_found_again_where_the_digits_are_a_landline_too(chosen: str, typed: str, e164: str) -> None:
    assert parse_number(typed, chosen, EVERYWHERE, MOBILE).e164 == e164


def test_examples_for_every_country_show_both_forms() -> None:
    assert numbers.example("RU") == "+7 912 345-67-89, 8 (912) 345-67-89"
    for country in EVERYWHERE:
        international, _, national = numbers.example(country).partition(", ")
        assert international.startswith(f"+{phonenumbers.country_code_for_region(country)}")
        assert national
    for country in WITH_MOBILE:
        for form in numbers.example(country).split(", "):
            assert parse_number(form, country, EVERYWHERE, MOBILE)


def test_a_number_is_read_in_parts_as_libphonenumber_reads_it() -> None:
    """Of each country and kind, and of those that belong to none."""
    found = [
        phonenumbers.example_number_for_type(region, kind)
        for region in phonenumbers.SUPPORTED_REGIONS
        for kind in PhoneNumberType.values()
    ]
    found += [
        phonenumbers.example_number_for_non_geo_entity(code) for code in phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS
    ]
    texts = [phonenumbers.format_number(number, PhoneNumberFormat.E164) for number in found if number is not None]
    assert len(texts) > 1000
    for text in texts:
        parsed = phonenumbers.parse(text)
        assert numbers._read(text) == parsed, text
        assert numbers.pretty(text) == phonenumbers.format_number(parsed, PhoneNumberFormat.INTERNATIONAL)
