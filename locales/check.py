"""Finds what is wrong in catalogues before a person does: `python -m locales.check` prints one line per mistake."""

from __future__ import annotations

import re
import string
import sys
from collections import Counter
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.plurals import get_plural
from babel.messages.pofile import PoFileError

from locales import FOLDER, SOURCE, catalogue_files, read_catalogue

_TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)
_KEY = re.compile(r'^msgid "(.+)"\s*$', re.MULTILINE)


def check(folder: Path = FOLDER) -> list[str]:
    """Return one sentence per mistake, each beginning with the language and the key; empty when all is well."""
    mistakes: list[str] = []
    catalogues: dict[str, Catalog] = {}
    for language, path in catalogue_files(folder).items():
        try:
            catalogues[language] = read_catalogue(path, language)
        except PoFileError as error:
            mistakes.append(f"{language}: the file cannot be read: {error}")
            continue
        keys = Counter(_KEY.findall(path.read_text(encoding="utf-8")))
        mistakes += [f"{language}: {key}: stands there {n} times" for key, n in keys.items() if n > 1]
    if SOURCE not in catalogues:
        return [*mistakes, f"{SOURCE}: the source language is missing"]
    source = _messages(catalogues[SOURCE])
    for language, catalogue in catalogues.items():
        if catalogue.num_plurals != get_plural(language).num_plurals:
            mistakes.append(f"{language}: Plural-Forms has {catalogue.num_plurals} forms; see CLDR for this language")
        messages = _messages(catalogue)
        mistakes += [f"{language}: {key}: is missing" for key in source if key not in messages]
        mistakes += [f"{language}: {key}: is extra, {SOURCE} has no such text" for key in messages if key not in source]
        for key, message in messages.items():
            mistakes += [f"{language}: {key}: {what}" for what in _compare(message, source.get(key, message))]
    return mistakes


def _messages(catalogue: Catalog) -> dict[str, Message]:
    messages = {message.id if isinstance(message.id, str) else message.id[0]: message for message in catalogue}
    messages.pop("", None)
    return messages


def _forms(message: Message) -> tuple[str, ...]:
    texts = message.string if isinstance(message.string, (tuple, list)) else (message.string,)
    return tuple(str(text or "") for text in texts)


def _compare(message: Message, source: Message) -> list[str]:
    if message.fuzzy:
        return ["is fuzzy"]
    if message.pluralizable != source.pluralizable:
        return ["is plural in one language and not in the other"]
    if message.pluralizable and len(set(message.id)) > 1:
        return ["msgid_plural must be the same key"]
    if not all(form.strip() for form in _forms(message)):
        return ["is empty" if not message.pluralizable else "has an empty plural form"]
    mistakes: list[str] = []
    try:
        expected = set().union(*map(_fields, _forms(source)))
        for form in _forms(message):
            # A plural form may say its number in words: "one try".
            spoken = {"n"} if message.pluralizable else set()
            differing = (_fields(form) ^ expected) - spoken
            if differing:
                mistakes.append(f"placeholders differ: {', '.join(sorted(differing))}")
    except ValueError as error:
        return [f"is no format: {error}"]
    for form in _forms(message):
        if Counter(_TAG.findall(form)) != Counter(_TAG.findall(_forms(source)[0])):
            mistakes.append("HTML tags differ")
        elif not _nests(form):
            mistakes.append("HTML tags do not close in order")
    return list(dict.fromkeys(mistakes))


def _fields(text: str) -> set[str]:
    """Return the placeholders of a format string; raises ValueError for a lone brace and for `{}` or `{a.b}`."""
    names = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    for name in names:
        if not name.isidentifier():
            raise ValueError(f"{{{name}}} is no name")
    return names


def _nests(text: str) -> bool:
    open_tags: list[str] = []
    for tag in _TAG.findall(text):
        name = re.split(r"[\s>]", tag.strip("</"), maxsplit=1)[0].rstrip(">")
        if not tag.startswith("</"):
            open_tags.append(name)
        elif not open_tags or open_tags.pop() != name:
            return False
    return not open_tags


if __name__ == "__main__":
    found = check()
    sys.stderr.writelines(f"error: {line}\n" for line in found)
    sys.exit(bool(found))
