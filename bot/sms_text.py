"""How many SMS a text costs (3GPP TS 23.038): 160 GSM-7 septets or 70 UCS-2 units fit one segment."""

from __future__ import annotations

_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# These take an escape before them: two septets each.
_GSM7_ESCAPED = frozenset("\f^{}\\[~]|€")


def spare(text: str) -> int:
    """Return how many more characters of the same alphabet fit into one segment; negative when it does not fit."""
    if all(c in _GSM7 or c in _GSM7_ESCAPED for c in text):
        return 160 - sum(2 if c in _GSM7_ESCAPED else 1 for c in text)
    return 70 - len(text.encode("utf-16-le")) // 2
