"""Numbers for people of the tests."""

from __future__ import annotations


def mobile(n: int, operator: str = "916") -> str:
    """Return the n-th Russian mobile number (E.164), n below ten million; neighbours are in different ranges.

    A thousand come before a range is used again: the guard of ranges has nothing to say about honest tests.
    """
    return f"+7{operator}{str(n).zfill(7)[::-1]}"
