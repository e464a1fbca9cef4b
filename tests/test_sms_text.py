"""What fits into one SMS, and that the code's text leaves room for a name in every language."""

from __future__ import annotations

import pytest

from bot.sms_text import spare
from locales import Texts


def test_the_sms_has_room_for_a_name_in_every_language() -> None:
    for language, text in Texts().every("sms-code", code="000000", product="Smarty CRM").items():
        assert spare(text) >= 0, language
        assert text.startswith("000000"), "the code comes first, so that a notification shows it"


@pytest.mark.parametrize(
    ("text", "left"),
    [("", 160), ("a" * 160, 0), ("a" * 161, -1), ("[" * 80, 0), ("я" * 70, 0), ("я" * 71, -1), ("😀" * 35, 0)],
)
def test_what_fits_one_segment(text: str, left: int) -> None:
    assert spare(text) == left
