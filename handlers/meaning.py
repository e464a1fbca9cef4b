"""What a typed text means when buttons are on offer: their labels, a bare yes or no, an option's number.

Telegram drops a button press it could not deliver for 150 s while a message waits 24 h, so every button has a text
equivalent (product text, section 1).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from handlers.screens import Screen
from locales import Texts

YES = frozenset({"да", "yes", "y", "ага", "ок", "ok"})
NO = frozenset({"нет", "no", "n"})
_KEPT = frozenset("@.+_")


@dataclass(frozen=True)
class Offer:
    """One button on offer as the conversation record keeps it."""

    labels: tuple[str, ...]
    action: str
    answer: str = ""

    def dump(self) -> list[object]:
        """Return the JSON form."""
        return [list(self.labels), self.action, self.answer]

    @staticmethod
    def load(value: Sequence[object]) -> Offer:
        """Return the offer of a JSON form."""
        labels, action, answer = value
        assert isinstance(labels, list)  # noqa: S101 - our own record, written by dump()
        return Offer(tuple(str(label) for label in labels), str(action), str(answer))


def plain(text: str) -> str:
    """Return a text as labels are compared: no case, no emoji, no ☐ or ☑, no punctuation, single spaces."""
    if text.isascii():
        # None of its signs is invisible or written in two ways.
        folded = text.lower()
    else:
        visible = "".join(c for c in text if unicodedata.category(c) != "Cf")
        folded = unicodedata.normalize("NFKC", visible).casefold().replace("ё", "е")
    words = "".join(c if c.isalnum() or c in _KEPT else " " for c in folded).split()
    # The full stop that ends a sentence is no part of a label; the one inside gmail.com is.
    return " ".join(words).strip("._+ ")


# Labels that are the same for everybody; of what is one person's own nothing is kept.
_label = lru_cache(maxsize=2000)(plain)


def fixed_labels(texts: Texts) -> frozenset[str]:
    """Return how every text that is always the same reads as a label, in any language."""
    return frozenset(plain(text) for text in texts.fixed())


def offers_of(screens: Iterable[Screen]) -> tuple[Offer, ...]:
    """Return what these screens put on offer; a link button without an action has `link:` and its address."""
    return tuple(
        Offer(
            labels=tuple(sorted({(plain if button.own else _label)(label) for label in button.labels.values()})),
            action=button.action or f"link:{button.url}",
            answer=button.answer,
        )
        for screen in screens
        for button in screen.buttons()
    )


def by_label(typed: str, offers: Iterable[Offer]) -> str | None:
    """Return the action of the button whose full label was typed (as `plain` has it), in any language."""
    return next((offer.action for offer in offers if typed and typed in offer.labels), None)


def by_answer(typed: str, offers: Sequence[Offer], *, numbered: bool) -> str | None:
    """Return the action that a bare yes or no, or (where the message numbers its options) a number, stands for.

    `typed` is the text as `plain` has it.
    """
    answer = "yes" if typed in YES else "no" if typed in NO else ""
    if answer:
        return next((offer.action for offer in offers if offer.answer == answer), None)
    if numbered and typed.isdecimal() and 1 <= int(typed) <= len(offers):
        return offers[int(typed) - 1].action
    return None
