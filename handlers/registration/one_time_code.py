"""Finding the one-time code in what a person sent: a bare code, a spaced one, a whole pasted SMS."""

from __future__ import annotations

import re
import unicodedata

# Stands for a digit that is no decimal one (superscript, circled): it belongs to a run and spoils it.
_NO_DECIMAL = "x"
_MINUS_SIGN = "\u2212"
# What may stand inside a code without ending it: spaces and line ends, invisible format characters (zero-width
# space, direction marks), the marks of keycap emoji, dashes of every script.
_SKIPPED_CATEGORIES = frozenset({"Zs", "Zl", "Zp", "Cf", "Mn", "Me", "Pd"})


def find_code(text: str, length: int = 6) -> str | None:
    """Return the code in `text` as ASCII digits, leading zeros kept, or None when there is none or more than one.

    A code is the one distinct run of exactly `length` decimal digits, of any script, once all spaces and dashes are
    gone; the same run twice is still one code. A longer run is no code, so a phone number is not mistaken for one.
    """
    runs = re.findall(rf"[0-9{_NO_DECIMAL}]+", "".join(_reduce(character) for character in text))
    codes = {run for run in runs if len(run) == length and _NO_DECIMAL not in run}
    return codes.pop() if len(codes) == 1 else None


def _reduce(character: str) -> str:
    """Return an ASCII digit, nothing, or one character that ends a run."""
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if character.isdigit():
        return _NO_DECIMAL
    if character.isspace() or character == _MINUS_SIGN or unicodedata.category(character) in _SKIPPED_CATEGORIES:
        return ""
    return "."
