"""T25: the search for leaks finds each kind of secret, and whatever is logged of each kind is masked."""

from __future__ import annotations

import io
import logging
import secrets
import sys
import warnings
from urllib.parse import quote, unquote, urlsplit

import pytest

from bot.logs import configure
from storage.keys import Keys
from tests.process.leaks import Sensitive, made_up, spellings_of_a_number, without_moments


def planted(sensitive: Sensitive) -> dict[str, list[str]]:
    """Return every secret, by its kind, in the places where one has been seen to stand in a log."""
    (code,), (number,), (address,) = sensitive.codes, sensitive.numbers, sensitive.addresses
    codes = [code, f"{code[:3]} {code[3:]}", f"{code[:3]}-{code[3:]}", " ".join(code), ", ".join(code), f"код{code}"]
    addresses = [address, address.upper(), quote(address), address.replace("@", "\\u0040")]
    found = {"code": codes, "number": list(spellings_of_a_number(number)), "address": addresses}
    for name, secret in sensitive.secrets.items():
        found[name] = [secret, quote(secret, safe=""), repr(secret)]
    places = ("{}", "'{}'", "a\n{}\nb", "a\\n{}", "x={}&y=1", "%20{}", "b'{}\\r'", "({}).", "{}, and more", "\\xa0{}")
    return {kind: [place.format(text) for text in texts for place in places] for kind, texts in found.items()}


@pytest.fixture
def known() -> Sensitive:
    """One of each: the made up are given as settings, the last two are made from SECRET_KEY."""
    key = made_up("a key of at least thirty-two characters ")
    url = f"postgresql://bot:{quote(made_up('pass'), safe='')}@db.example.org:5432/bot"
    keys = Keys(key)
    made = {
        "SECRET_KEY": key,
        "BOT_TOKEN": f"8123456789:AA{secrets.token_urlsafe(25)}", "SMSC_PASSWORD": made_up("word"), "DATABASE_URL": url,
        "its password": urlsplit(url).password or "", "and unquoted": unquote(urlsplit(url).password or ""),
        "WEBHOOK_SECRET": keys.derive("webhook secret").hex(), "path": keys.derive("reports of smsaero").hex(),
    }  # fmt: skip
    return Sensitive({"042137"}, {"+79161230456"}, {"ira!o'hara+1@example.org"}, made)


def test_t25_the_search_finds_each_kind_in_every_place(known: Sensitive) -> None:
    for kind, texts in planted(known).items():
        missed = [text for text in texts if kind not in {leak.kind for leak in known.leaks({"log": text})}]
        assert missed == [], kind


@pytest.mark.parametrize("way", ["words", "arguments", "mistake", "values", "error", "warning", "uncaught"])
def test_t25_whatever_is_logged_of_each_kind_is_masked(known: Sensitive, way: str) -> None:
    given = [known.secrets[name] for name in ("SECRET_KEY", "SMSC_PASSWORD", "DATABASE_URL")]
    for kind, ways in planted(known).items():
        for text in ways:
            stream = io.StringIO()
            undo = configure("DEBUG", given, stream)
            try:
                write(text, way)
            finally:
                undo()
            written = without_moments(stream.getvalue())
            assert written
            assert known.leaks({"log": written}) == [], (kind, text, written)


def write(text: str, way: str) -> None:
    """Write a line of the log that holds this text."""
    log, error = logging.getLogger("theirs"), ValueError(text)
    match way:
        case "words":
            log.debug(text)
        case "arguments":
            log.info("%s of %r in %s", text, text, [text])
        case "mistake":
            log.error("%d of %s", text, [text])
        case "values":
            log.info("%(text)s and %(more)s", {"text": text, "more": {"text": [text, error]}})
        case "error":
            log.error("failed", exc_info=error)
        case "warning":
            warnings_as_records(text)
        case "uncaught":
            sys.excepthook(ValueError, error, None)


def warnings_as_records(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(text, UserWarning, stacklevel=1)
