"""How a campaign's code is written: 40 random bits as eight letters and digits (Crockford's base 32), in lower case."""

from __future__ import annotations

import re

BITS = 40
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 8
# What is read for what it looks like, as Crockford has it. There is no u.
_MEANT = str.maketrans("oil", "011")
_FORM = re.compile(f"[{_DIGITS}]{{{_LENGTH}}}")


def written(campaign_id: int) -> str:
    """Return the code of a campaign's id."""
    return "".join(_DIGITS[campaign_id >> shift & 31] for shift in range(BITS - 5, -1, -5))


def read(text: str) -> int | None:
    """Return the id that a code stands for, None for what is no code; whether there is such a campaign is not asked."""
    if len(text) != _LENGTH or not text.isascii():
        return None
    code = text.lower().translate(_MEANT)
    if _FORM.fullmatch(code) is None:
        return None
    found = 0
    for digit in code:
        found = found << 5 | _DIGITS.index(digit)
    return found
