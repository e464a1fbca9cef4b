"""What `/start` may bring (product text, section 3), and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.funnel_table import harmless
from handlers.payloads import Arrival, read_promo, read_start
from storage.referral_codes import read

CODE = "0a1b2c3d"


@pytest.mark.parametrize(
    ("payload", "arrival"),
    [
        (f"r_{CODE}", Arrival(read(CODE), None)),
        (f"r_{CODE.upper()}", Arrival(read(CODE), None)),
        ("p_x", Arrival(None, "x")),
        ("p_" + "Z-_9" * 5, Arrival(None, "Z-_9" * 5)),
        (f"r_{CODE}-p_NEW-YEAR", Arrival(read(CODE), "NEW-YEAR")),
        (f"r_{CODE}-p_p_x", Arrival(read(CODE), "p_x")),
    ],
)
def test_the_three_forms_are_read(payload: str, arrival: Arrival) -> None:
    assert read_start(f"/start {payload}") == arrival


@pytest.mark.parametrize(
    "text",
    [
        "/start", "/start ", "/start go", "/start r_", f"/start r_{CODE}x", f"/start r_{CODE[:7]}",
        f"/start r_{CODE}-p_",
        f"/start r_{CODE}-r_{CODE}", f"/start p_x-r_{CODE} y", "/start r_0a1b2c3u", f"/start R_{CODE}", "/start p_é",
        f"/start r_{CODE}-p_" + "x" * 21,
    ],
)  # fmt: skip
def test_anything_else_brings_nothing(text: str) -> None:
    assert read_start(text) is None


@given(st.text(max_size=80))
def test_no_text_is_an_error(text: str) -> None:
    arrival = read_start(f"/start {text}")
    assert arrival is None or arrival.promo is None or read_promo(arrival.promo) == arrival.promo.upper()


@pytest.mark.parametrize(("typed", "code"), [(" summer-5 ", "SUMMER-5"), ("x" * 21, None), ("a b", None), ("ё", None)])
def test_a_typed_code_is_read_in_capitals(typed: str, code: str | None) -> None:
    assert read_promo(typed) == code


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("=1+1", "'=1+1"), ("+7", "'+7"), ("-1", "'-1"), ("@x", "'@x"), ("\t=1", "'\t'=1"), ("\rx", "'\rx"),
        ("  =1", "'  =1"), ("a;=1", "a;'=1"), ("a=1", "a=1"), ("summer - 5 + 1", "summer - 5 + 1"), ("", ""),
    ],
)  # fmt: skip
def test_t23_a_cell_that_would_run_is_a_text(cell: str, shown: str) -> None:
    assert harmless(cell) == shown
