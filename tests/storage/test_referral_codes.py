"""A campaign's code: eight letters and digits that are read as they look."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import referral_codes
from storage.referral_codes import BITS


@given(st.integers(min_value=0, max_value=2**BITS - 1))
def test_every_code_is_read_as_it_was_written_in_capitals_too(campaign_id: int) -> None:
    code = referral_codes.written(campaign_id)
    assert len(code) == 8
    assert set(code) <= set("0123456789abcdefghjkmnpqrstvwxyz")
    assert referral_codes.read(code) == referral_codes.read(code.upper()) == campaign_id


@pytest.mark.parametrize(("typed", "meant"), [("OIl00000", "01100000"), ("ABCDEFGH", "abcdefgh")])
def test_what_looks_alike_is_one(typed: str, meant: str) -> None:
    assert referral_codes.read(typed) == referral_codes.read(meant) is not None


@pytest.mark.parametrize(
    "text", ["", "abc", "abcdefghj", "abcdefgu", "abcd efg", "абвгдежз", "１２３４５６７８", "abcdefg'"]
)
def test_what_is_no_code_stands_for_nothing(text: str) -> None:
    assert referral_codes.read(text) is None
