"""One SMS is one segment in every language: the longest name that fits is taken, one letter more is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from bot.settings import Settings
from bot.sms_text import spare
from locales import Texts


def room(name: str) -> int:
    """Return how many letters fewer the fullest SMS could still take."""
    return min(spare(text) for text in Texts().every("sms-code", code="000000", product=name).values())


@pytest.mark.parametrize("letter", ["я", "a"])
def test_the_longest_name_is_taken_and_a_longer_one_is_refused_with_how_much(letter: str) -> None:
    longest = letter * (room(letter) + 1)
    assert room(longest) == 0
    assert Settings(product_name=longest).product_name == longest
    for more in (1, 2, 10):
        with pytest.raises(ValidationError, match=f"write a name {more} characters shorter"):
            Settings(product_name=longest + letter * more)
