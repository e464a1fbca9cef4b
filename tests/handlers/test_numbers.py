from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.registration import numbers
from handlers.registration.numbers import (
    AnonymousNumber,
    CountryNotAllowed,
    InvalidNumber,
    NumberTypeRefused,
    ParsedNumber,
    looks_like_number,
    parse_contact,
    parse_number,
)
from storage.errors import Refusal

EVERYWHERE = sorted(phonenumbers.SUPPORTED_REGIONS)
LIKELY = ("RU", "BY", "KZ", "AM", "KG", "UZ", "AZ", "GE", "MD", "TJ")
MOBILE = frozenset({"mobile", "fixed_line_or_mobile"})


@pytest.mark.parametrize(
    "text",
    [
        "+79161234567",
        "79161234567",
        "89161234567",
        "9161234567",
        "8 (916) 123-45-67",
        "8 916 123 45 67",
        "8-916-123-45-67",
        "8.916.123.45.67",
        "+7(916)1234567",
        "(+7) 916 123 45 67",
        "+7 (8916) 123-45-67",
        "8 10 7 916 123 45 67",
        "007 916 123 45 67",
        "\u202a+7 916 123-45-67\u202c",
        "+7\u00a0916\u00a0123\u201145\u201167",
        "8\u2009916\u2009123\u201345\u221267",
        "８９１６１２３４５６７",
        "＋７ ９１６ １２３ ４５ ６７",
        "+٧٩١٦١٢٣٤٥٦٧",
        "8️⃣9️⃣1️⃣6️⃣1️⃣2️⃣3️⃣4️⃣5️⃣6️⃣7️⃣",
        "tel:+79161234567",
        "TEL:8-916-123-45-67",
        "tel:%2B7916-123-45-67;ext=12",
        "Мой номер: 8 916 123-45-67.",
        "тел.89161234567, доб. 12",
        "https://wa.me/79161234567",
        "\n 8916\n1234567 ",
    ],
)
def test_one_russian_number_as_people_write_it(text: str) -> None:
    assert parse_number(text, "RU", LIKELY, MOBILE) == ParsedNumber("+79161234567", "RU")
    assert looks_like_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "привет",
        "+",
        "8",
        "12345",
        "+7",
        "+7 916",
        "8 916 123-45-6",
        "8 916 123-45-678",
        "+99912345678",
        "8916123456O",
        "8 916 I23 45 67",
        "О89161234567",
        "8 916 123 45 6²",
        "89161234567 89031234567",
        "89161234567, 89031234567",
        "8916123456789012345678901234567890",
        "9" * 4096,
        "+" * 4096,
        "1 " * 2000,
    ],
)
def test_what_cannot_be_read_is_invalid(text: str) -> None:
    with pytest.raises(InvalidNumber) as caught:
        parse_number(text, "RU", LIKELY, MOBILE)
    assert caught.value.country == "RU"


@pytest.mark.parametrize(
    ("text", "chosen", "country"),
    [
        ("+375 29 12", "RU", "BY"),
        ("+7 912", "KZ", "KZ"),
        ("8 912", "BY", "BY"),
        ("+44 12", "RU", "RU"),
        ("+999 12", "KZ", "KZ"),
    ],
)
def test_an_invalid_number_names_the_country_whose_example_helps(text: str, chosen: str, country: str) -> None:
    with pytest.raises(InvalidNumber) as caught:
        parse_number(text, chosen, LIKELY, MOBILE)
    assert caught.value == InvalidNumber(country)


def test_russia_and_kazakhstan_are_told_apart_under_one_code() -> None:
    for chosen in ("RU", "KZ"):
        assert parse_number("8 701 123 45 67", chosen, LIKELY, MOBILE) == ParsedNumber("+77011234567", "KZ")
        assert parse_number("8 916 123 45 67", chosen, LIKELY, MOBILE) == ParsedNumber("+79161234567", "RU")
    with pytest.raises(CountryNotAllowed) as caught:
        parse_number("8 701 123 45 67", "RU", ("RU",), MOBILE)
    assert caught.value == CountryNotAllowed("KZ")
    with pytest.raises(CountryNotAllowed) as caught:
        parse_number("+79161234567", "KZ", ("KZ",), MOBILE)
    assert caught.value == CountryNotAllowed("RU")


@pytest.mark.parametrize(
    ("text", "country"),
    [
        ("+1 212 555 0123", "US"),
        ("1 212 555 0123", "US"),
        ("+49 1512 3456789", "DE"),
        ("+380 50 123 45 67", "UA"),
        ("+80012345678", None),
        ("+881612345678", None),
    ],
)
def test_t02_a_valid_number_of_another_country_is_named_so(text: str, country: str | None) -> None:
    with pytest.raises(CountryNotAllowed) as caught:
        parse_number(text, "RU", LIKELY, MOBILE)
    assert caught.value == CountryNotAllowed(country)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("8 800 555 35 35", "toll_free"),
        ("8 809 123 45 67", "premium_rate"),
        ("8 495 123-45-67", "fixed_line"),
        # A Moscow landline without its trunk prefix; its digits are a German number too.
        ("4951234567", "fixed_line"),
    ],
)
def test_t02_a_number_of_a_refused_kind_is_named_so(text: str, kind: str) -> None:
    with pytest.raises(NumberTypeRefused) as caught:
        parse_number(text, "RU", (*LIKELY, "DE"), MOBILE)
    assert caught.value == NumberTypeRefused(kind)


def test_the_operator_may_allow_more_kinds() -> None:
    assert parse_number("8 495 123-45-67", "RU", LIKELY, MOBILE | {"fixed_line"}).e164 == "+74951234567"


@pytest.mark.parametrize("text", ["+888 0123 4567", "+88801234567", "88801234567", "+888 123", "+٨٨٨٠١٢٣٤٥٦٧"])
def test_t11_an_anonymous_number_is_told_apart(text: str) -> None:
    for countries in (LIKELY, EVERYWHERE):
        with pytest.raises(AnonymousNumber):
            parse_number(text, "RU", countries, MOBILE)
        with pytest.raises(AnonymousNumber):
            parse_contact(text, countries, MOBILE)


@pytest.mark.parametrize("text", ["+7", "375", "1 876", "77", "Россия", "", "🇷🇺", "8️⃣", "12345", "код 123456"])
def test_what_is_searched_in_the_picker_is_no_number(text: str) -> None:
    assert not looks_like_number(text)


def test_a_contact_that_is_no_number_is_invalid() -> None:
    for phone_number in ("", "+", "12", "7916"):
        with pytest.raises(InvalidNumber) as caught:
            parse_contact(phone_number, LIKELY, MOBILE)
        assert caught.value == InvalidNumber("RU")


def test_a_contact_is_always_international() -> None:
    # 10 digits that a Russian would read as his own number.
    with pytest.raises(InvalidNumber):
        parse_contact("9161234567", LIKELY, MOBILE)


def test_forms_to_show() -> None:
    assert numbers.pretty("+79161234567") == "+7 916 123-45-67"
    assert numbers.masked("+79161234567") == "+7*******67"
    assert numbers.masked("+375291234567") == "+375*******67"
    assert numbers.country_of("+79161234567") == "RU"
    assert numbers.country_of("+77011234567") == "KZ"
    assert numbers.country_of("+18765551234") == "JM"


def test_a_stored_number_unknown_to_newer_metadata_still_has_a_country() -> None:
    assert not phonenumbers.is_valid_number(phonenumbers.parse("+71234567890"))
    assert numbers.country_of("+71234567890") == "RU"


@settings(deadline=None, max_examples=200)
@given(st.text() | st.from_regex(r"\+?[0-9 ()\-]{0,20}", fullmatch=True), st.sampled_from(LIKELY))
def test_no_text_breaks_it_and_what_is_taken_is_e164(text: str, country: str) -> None:
    looks_like_number(text)
    try:
        parsed = parse_number(text, country, LIKELY, MOBILE)
    except Refusal:
        return
    assert phonenumbers.is_valid_number(phonenumbers.parse(parsed.e164))
    assert parsed.country in LIKELY
    assert looks_like_number(text)
    # The normal form means itself, whoever reads it.
    assert parse_number(parsed.e164, "RU", LIKELY, MOBILE) == parsed
    assert parse_contact(parsed.e164[1:], LIKELY, MOBILE) == parsed


@settings(deadline=None, max_examples=200)
@given(
    st.integers(min_value=9_000_000_000, max_value=9_999_999_999),
    st.sampled_from(["+7", "7", "8", ""]),
    st.lists(st.sampled_from(["", " ", "-", "(", ")", ".", "\u00a0", "\u2013", "\u200b"]), min_size=10, max_size=10),
)
def test_separators_and_prefixes_never_change_a_number(national: int, prefix: str, gaps: list[str]) -> None:
    text = prefix + "".join(gap + digit for gap, digit in zip(gaps, str(national), strict=True))
    expected = phonenumbers.parse(f"+7{national}")
    try:
        parsed = parse_number(text, "RU", LIKELY, MOBILE)
    except Refusal:
        assert not phonenumbers.is_valid_number(expected)
        return
    assert parsed.e164 == f"+7{national}"
