from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.registration.one_time_code import find_code

ARABIC_INDIC, PERSIAN, DEVANAGARI, FULL_WIDTH, BOLD = 0x0660, 0x06F0, 0x0966, 0xFF10, 0x1D7CE


def in_script(code: str, zero: int) -> str:
    return "".join(chr(zero + int(digit)) for digit in code)


def test_f19_leading_zeros_are_kept() -> None:
    assert find_code("000123") == "000123"
    assert find_code("0 0 0 0 0 0") == "000000"


@pytest.mark.parametrize("zero", [ARABIC_INDIC, PERSIAN, DEVANAGARI, FULL_WIDTH, BOLD])
def test_f19_digits_of_any_script_are_digits(zero: int) -> None:
    assert find_code(in_script("012345", zero)) == "012345"
    assert find_code(f"код: {in_script('987', zero)}-{in_script('654', zero)}") == "987654"


@pytest.mark.parametrize(
    "space",
    [
        " ",
        "\n",
        "\t",
        "\u00a0",
        "\u2009",
        "\u202f",
        "\u3000",
        "\u200b",
        "\u200d",
        "\u2060",
        "\ufeff",
        "\u00ad",
        "\u200e",
    ],
)
def test_f19_any_space_may_stand_in_a_code(space: str) -> None:
    assert find_code(f"{space}123{space}456{space}") == "123456"
    assert find_code(space.join("123456")) == "123456"


@pytest.mark.parametrize("dash", ["-", "\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2015", "\u2212", "\uff0d"])
def test_f19_any_dash_may_stand_in_a_code(dash: str) -> None:
    assert find_code(f"123{dash}456") == "123456"
    assert find_code(f"12 {dash} 34 {dash} 56") == "123456"


@pytest.mark.parametrize("text", ["¹²³⁴⁵⁶", "①②③④⑤⑥", "₁₂₃₄₅₆", "12345⁶", "123456⁷", "⁰123456", "❶❷❸❹❺❻"])
def test_f19_superscripts_and_circled_digits_are_refused(text: str) -> None:
    assert find_code(text) is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("123456", "123456"),
        ("123456 — код подтверждения CRM", "123456"),
        ("Ваш код: 123 456. Никому его не сообщайте, он действует 10 минут.", "123456"),
        ("012345 is your code.\n\n@example.com #012345", "012345"),
        ("код123456", "123456"),
        ("1️⃣2️⃣3️⃣4️⃣5️⃣6️⃣", "123456"),
        ("№123-456!", "123456"),
        ("<b>123456</b>", "123456"),
    ],
)
def test_f19_a_pasted_message_holds_its_code(text: str, code: str) -> None:
    assert find_code(text) == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        "код",
        "12345",
        "1234567",
        "+7 916 123-45-67",
        "8 (916) 123-45-67",
        "123456, 654321",
        "123456 или 123457?",
        "123456 654321",
        "12.34.56",
        "12:34:56",
        "½12345",
        "12,3456",
    ],
)
def test_anything_else_is_no_code(text: str) -> None:
    assert find_code(text) is None


def test_the_same_code_twice_is_one_code() -> None:
    assert find_code("123456, ещё раз 123-456") == "123456"


def test_another_length_may_be_asked() -> None:
    assert find_code("12345678", length=8) == "12345678"
    assert find_code("123456", length=8) is None


@settings(deadline=None)
@given(st.text())
def test_no_text_breaks_it_and_a_code_is_six_ascii_digits(text: str) -> None:
    found = find_code(text)
    assert found is None or (len(found) == 6 and found.isascii() and found.isdigit())


@settings(deadline=None)
@given(
    st.text("0123456789", min_size=6, max_size=6),
    st.lists(st.sampled_from(["", " ", "-", "\u00a0", "\u2009", "\u2014", "\u200b"]), min_size=7, max_size=7),
    st.sampled_from([0x30, ARABIC_INDIC, PERSIAN, FULL_WIDTH]),
)
def test_a_code_is_found_however_it_is_spaced(code: str, gaps: list[str], zero: int) -> None:
    written = gaps[0] + "".join(digit + gap for digit, gap in zip(in_script(code, zero), gaps[1:], strict=True))
    assert find_code(written) == code
    assert find_code(f"Code {written}.") == code
