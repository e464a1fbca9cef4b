"""What the bot says: gettext catalogues keyed by name, read directly from their .po files (nothing is compiled)."""

from __future__ import annotations

import gettext
import io
import string
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from markupsafe import Markup, escape

FOLDER = Path(__file__).parent
SOURCE = "ru"


def catalogue_files(folder: Path = FOLDER) -> dict[str, Path]:
    """Return the catalogue of each language, the source language first."""
    found = {path.parts[-3]: path for path in sorted(folder.glob("*/LC_MESSAGES/bot.po"))}
    return dict(sorted(found.items(), key=lambda item: item[0] != SOURCE))


def read_catalogue(path: Path, language: str) -> Catalog:
    """Return one catalogue; raises babel's PoFileError when the file cannot be read."""
    with path.open("rb") as file:
        return read_po(file, locale=language, domain="bot", abort_invalid=True)


class _Language:
    """The texts of one language."""

    def __init__(self, catalogue: Catalog) -> None:
        compiled = io.BytesIO()
        write_mo(compiled, catalogue)
        compiled.seek(0)
        self._texts = gettext.GNUTranslations(compiled)
        self._plural: dict[str, bool] = {}
        for message in catalogue:
            key = message.id if isinstance(message.id, str) else message.id[0]
            if key:
                self._plural[key] = message.pluralizable

    def text(self, key: str, n: int | None) -> str:
        """Return the unformatted text; raises KeyError for an unknown key and for a plural one without `n`."""
        if not self._plural[key]:
            return self._texts.gettext(key)
        if n is None:
            raise KeyError("n")
        return self._texts.ngettext(key, key, n)

    def fixed(self) -> Iterator[str]:
        """Yield every text that has no placeholders and no plural."""
        for key, plural in self._plural.items():
            if not plural and "{" not in (text := self._texts.gettext(key)):
                yield text


@cache
def _language(path: Path, language: str) -> _Language:
    """Return one catalogue's texts, read once: the settings, the menu and the conversation each ask for them."""
    return _Language(read_catalogue(path, language))


class Texts:
    """All texts in all languages, by key. A missing value raises KeyError: a gap never reaches a person unseen."""

    def __init__(self, folder: Path = FOLDER, default: str = SOURCE) -> None:
        self._languages = {language: _language(path, language) for language, path in catalogue_files(folder).items()}
        self._default = default
        self._fixed: dict[str, Mapping[str, str]] = {}
        self._htmls: dict[tuple[str, str], Markup] = {}
        # Asked at start, so that a wrong default is no surprise in the middle of a conversation.
        self._languages[default]

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that have a catalogue, the source language first."""
        return tuple(self._languages)

    @property
    def default(self) -> str:
        """The language for who has chosen none that is spoken here."""
        return self._default

    def pick(self, language: str | None) -> str:
        """Return the language to speak for a Telegram `language_code` such as `en` or `pt-br`, else the default."""
        if language in self._languages:
            return language
        base = (language or "").replace("_", "-").split("-")[0].lower()
        return base if base in self._languages else self._default

    def html(self, language: str, key: str, n: int | None = None, **values: Any) -> Markup:
        """Return a text as HTML: the text's own tags stand, values are escaped unless they are Markup themselves.

        `n` chooses the plural form and is the value of `{n}`. Raises KeyError for an unknown key or a missing value.
        """
        if not values and n is None:
            return self._always(self.pick(language), key)
        given = _with(values, n)
        parts = _parts(self.template(language, key, n))
        text = "".join([fixed if name is None else fixed + str(escape(given[name])) for fixed, name in parts])
        return Markup(text)  # noqa: S704 - our own catalogue, and what is not ours is escaped

    def _always(self, language: str, key: str) -> Markup:
        found = self._htmls.get((language, key))
        if found is None:
            # Asked for a value that nobody gave, it raises KeyError.
            found = Markup(self.plain(language, key))  # noqa: S704 - our own catalogue
            self._htmls[language, key] = found
        return found

    def plain(self, language: str, key: str, n: int | None = None, **values: Any) -> str:
        """Return a text for places that show no HTML: buttons, toasts, SMS. Otherwise as `html`."""
        return self.template(language, key, n).format(**_with(values, n))

    def every(self, key: str, n: int | None = None, **values: Any) -> Mapping[str, str]:
        """Return a plain text in all languages. What has no values is the same mapping each time."""
        if values or n is not None:
            return {language: self.plain(language, key, n, **values) for language in self._languages}
        if key not in self._fixed:
            self._fixed[key] = {language: self.plain(language, key) for language in self._languages}
        return self._fixed[key]

    def fixed(self) -> Iterator[str]:
        """Yield every text, in every language, that has no placeholders."""
        for language in self._languages.values():
            yield from language.fixed()

    def template(self, language: str, key: str, n: int | None = None) -> str:
        """Return a text as the catalogue has it, its placeholders not filled in."""
        return self._languages[self.pick(language)].text(key, n)


@cache
def _parts(template: str) -> tuple[tuple[str, str | None], ...]:
    """Return a template as pairs of fixed text and the name of the value after it, None after the last.

    MarkupSafe's own `format` does the same in Python, several times per update, for ten times the price.
    """
    parts = string.Formatter().parse(template)
    return tuple((fixed, name) for fixed, name, _, _ in parts)


def _with(values: dict[str, Any], n: int | None) -> dict[str, Any]:
    return values if n is None else {"n": n, **values}
