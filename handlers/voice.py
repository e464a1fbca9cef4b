"""Speaking to one person: texts, buttons and moments in their language. Needs no update, so notices can use it too."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from markupsafe import Markup

from handlers.moments import moment
from handlers.product import Product
from handlers.screens import Button
from locales import Texts


class Voice:
    """The words of one moment; `language` is the person's."""

    def __init__(self, texts: Texts, product: Product, language: str, now: datetime) -> None:
        self.texts = texts
        self.product = product
        self.language = language
        self.now = now

    def html(self, key: str, n: int | None = None, **values: Any) -> Markup:
        """Return a text; values are escaped."""
        return self.texts.html(self.language, key, n, **values)

    def button(self, key: str, action: str, *, answer: str = "", **values: Any) -> Button:
        """Return a button with a catalogue label."""
        return Button(self.texts.every(key, **values), action=action, answer=answer, own=bool(values))

    def link(self, key: str, url: str) -> Button:
        """Return a link button with a catalogue label."""
        return Button(self.texts.every(key), url=url)

    def moment(self, at: datetime) -> str:
        """Return a moment in the operator's time zone."""
        return moment(at, self.now, self.product.time_zone, self.language)
