from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from markupsafe import Markup

from locales import Texts, catalogue_files
from locales.check import check

ROOT = Path(__file__).parents[1]
KEY = re.compile(r"[a-z]+(-[a-z0-9]+)+")
HEADER = {
    "ru": "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);",
    "en": "nplurals=2; plural=(n != 1);",
}
RUSSIAN = """
msgid "greet"
msgstr "Привет, <b>{name}</b>!"

msgid "tries"
msgid_plural "tries"
msgstr[0] "Осталась {n} попытка"
msgstr[1] "Осталось {n} попытки"
msgstr[2] "Осталось {n} попыток"
"""
ENGLISH = """
msgid "greet"
msgstr "Hello, <b>{name}</b>!"

msgid "tries"
msgid_plural "tries"
msgstr[0] "One try left"
msgstr[1] "{n} tries left"
"""


def catalogues(folder: Path, **texts: str) -> Path:
    for language, text in texts.items():
        path = folder / language / "LC_MESSAGES" / "bot.po"
        path.parent.mkdir(parents=True)
        header = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n'
        path.write_text(header + f'"Plural-Forms: {HEADER[language]}\\n"\n' + text, encoding="utf-8")
    return folder


@pytest.fixture
def texts(tmp_path: Path) -> Texts:
    return Texts(catalogues(tmp_path, ru=RUSSIAN, en=ENGLISH))


def test_no_text_is_missing_and_no_placeholder_differs() -> None:
    assert check() == []
    assert tuple(catalogue_files()) == ("ru", "en")


def test_a_sound_pair_of_catalogues_has_no_mistakes(tmp_path: Path) -> None:
    assert check(catalogues(tmp_path, ru=RUSSIAN, en=ENGLISH)) == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('msgid "greet"\nmsgstr "Hello, <b>{name}</b>!"\n', "", "en: greet: is missing"),
        ("", '\nmsgid "more"\nmsgstr "More"\n', "en: more: is extra"),
        ("", '\nmsgid "greet"\nmsgstr "Hello, <b>{name}</b>!"\n', "en: greet: stands there 2 times"),
        ("{name}", "{nome}", "en: greet: placeholders differ: name, nome"),
        ("{name}", "you", "en: greet: placeholders differ: name"),
        ("{name}", "{name", "en: greet: is no format"),
        ("{name}", "{}", "en: greet: is no format"),
        ("{name}", "{name.__class__}", "en: greet: is no format"),
        ("<b>{name}</b>", "{name}", "en: greet: HTML tags differ"),
        ("<b>{name}</b>", "<i>{name}</i>", "en: greet: HTML tags differ"),
        ("<b>{name}</b>", "</b>{name}<b>", "en: greet: HTML tags do not close in order"),
        ('msgstr "Hello, <b>{name}</b>!"', 'msgstr ""', "en: greet: is empty"),
        ('msgid "greet"', '#, fuzzy\nmsgid "greet"', "en: greet: is fuzzy"),
        ('msgstr[1] "{n} tries left"\n', "", "en: tries: has an empty plural form"),
        ('msgstr[1] "{n} tries left"', 'msgstr[1] "{n} {m}"', "en: tries: placeholders differ: m"),
        ('msgid_plural "tries"', 'msgid_plural "trys"', "en: tries: msgid_plural must be the same key"),
        ("", 'msgstr[2] "{n} tries"\n', "en: the file cannot be read"),
        (
            'msgid_plural "tries"\nmsgstr[0] "One try left"\nmsgstr[1] "{n} tries left"',
            'msgstr "{n} tries left"',
            "en: tries: is plural in one language and not in the other",
        ),
    ],
)
def test_each_mistake_in_a_catalogue_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    broken = ENGLISH.replace(old, new) if old else ENGLISH + new
    assert broken != ENGLISH
    found = check(catalogues(tmp_path, ru=RUSSIAN, en=broken))
    assert len(found) == 1
    assert found[0].startswith(says)


def test_a_mistake_in_the_source_language_is_named(tmp_path: Path) -> None:
    assert check(catalogues(tmp_path / "none", en=ENGLISH)) == ["ru: the source language is missing"]
    empty = RUSSIAN.replace('"Привет, <b>{name}</b>!"', '""')
    assert "ru: greet: is empty" in check(catalogues(tmp_path / "empty", ru=empty, en=ENGLISH))


def test_too_few_plural_forms_are_named(tmp_path: Path) -> None:
    folder = catalogues(tmp_path, ru=RUSSIAN, en=ENGLISH)
    path = folder / "en" / "LC_MESSAGES" / "bot.po"
    path.write_text(path.read_text().replace(HEADER["en"], "nplurals=1; plural=0;").replace("msgstr[1]", "# "))
    assert any("Plural-Forms has 1 forms" in line for line in check(folder))


def test_values_are_escaped_and_markup_passes(texts: Texts) -> None:
    assert texts.html("ru", "greet", name="<script>&") == "Привет, <b>&lt;script&gt;&amp;</b>!"
    assert texts.html("ru", "greet", name=Markup("<i>Ира</i>")) == "Привет, <b><i>Ира</i></b>!"
    assert texts.plain("en", "greet", name="<b> & co") == "Hello, <b><b> & co</b>!"


def test_values_are_never_formats(texts: Texts) -> None:
    assert texts.plain("en", "greet", name="{other} %s {0}") == "Hello, <b>{other} %s {0}</b>!"


@pytest.mark.parametrize(
    ("n", "russian"),
    [
        (1, "Осталась 1 попытка"),
        (2, "Осталось 2 попытки"),
        (5, "Осталось 5 попыток"),
        (11, "Осталось 11 попыток"),
        (21, "Осталась 21 попытка"),
        (112, "Осталось 112 попыток"),
    ],
)
def test_plurals(texts: Texts, n: int, russian: str) -> None:
    assert texts.plain("ru", "tries", n) == russian
    assert texts.plain("en", "tries", n) == ("One try left" if n == 1 else f"{n} tries left")


def test_gaps_never_reach_a_person(texts: Texts) -> None:
    with pytest.raises(KeyError):
        texts.html("ru", "no-such-text")
    with pytest.raises(KeyError):
        texts.html("ru", "greet")
    with pytest.raises(KeyError):
        texts.html("ru", "tries")
    with pytest.raises(KeyError):
        Texts(Path("/nonexistent"))


def test_the_language_is_the_persons_or_the_default(texts: Texts) -> None:
    assert texts.languages == ("ru", "en")
    spoken = {None: "ru", "": "ru", "en": "en", "en-US": "en", "EN_gb": "en", "kk": "ru", "eng": "ru"}
    assert {code: texts.pick(code) for code in spoken} == spoken
    assert texts.every("greet", name="Ира") == {"ru": "Привет, <b>Ира</b>!", "en": "Hello, <b>Ира</b>!"}


def said(*folders: str) -> tuple[dict[str, str], set[str]]:
    """Return every string constant with its place, and the beginnings of those put together (`f"command-{name}"`)."""
    whole: dict[str, str] = {}
    beginnings: set[str] = set()
    for path in (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                beginnings.add(str(node.values[0].value))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                whole[node.value] = f"{path.relative_to(ROOT)}:{node.lineno}"
    return whole, {beginning for beginning in beginnings if re.fullmatch(r"[a-z]+(-[a-z0-9]+)*-", beginning)}


def test_the_texts_in_code_and_in_the_catalogues_are_the_same() -> None:
    keys = set(re.findall(r'^msgid "(.+)"$', catalogue_files()["ru"].read_text(encoding="utf-8"), re.MULTILINE))
    whole, beginnings = said("handlers", "bot", "storage")
    families = {key.split("-")[0] for key in keys}
    missing = {
        text: place
        for text, place in whole.items()
        if KEY.fullmatch(text) and text.split("-")[0] in families and text not in keys
    }
    assert missing == {}, "the catalogue lacks what the code says"
    unsaid = {key for key in keys - set(whole) if not key.startswith(tuple(beginnings))}
    assert unsaid == set(), "nothing says these"
