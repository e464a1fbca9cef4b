from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.logs import configure, mask

TOKEN = "123456789:AAF-abcdefghijklmnopqrstuvwxyz_12345"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    out = io.StringIO()
    undo = configure("INFO", secrets=["hunter2"], stream=out)
    yield out
    undo()


def records(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("+79161234567", "+7*******67"),
        ("call +7 (916) 123-45-67 now", "call +7*******67 now"),
        ("8 916 123 45 67", "8 *******67"),
        ("79161234567,", "79*******67,"),
        ("ivan@ya.ru", "iv***@ya.ru"),
        ("<a.b+c@почта.рф>", "<a.***@почта.рф>"),
        ("x@y.io", "x***@y.io"),
        ("code=123456", "code=******"),
        ("012345 — код", "****** — код"),
        ("'1234567'", "'******'"),
        (f"https://api.telegram.org/bot{TOKEN}/getMe", "https://api.telegram.org/bot<token>/getMe"),
        (TOKEN, "<token>"),
        ("postgresql://bot:p%40ss@db:5432/bot", "postgresql://***@db:5432/bot"),
        ("redis://:word@cache/0", "redis://***@cache/0"),
    ],
)
def test_t25_personal_data_and_secrets_are_masked(text: str, hidden: str) -> None:
    assert mask(text) == hidden
    assert mask(mask(text)) == mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23 20:22:33",
        "port 8080, 250 ms, 64 rows",
        "5f0c3b1e-3c56-4a0b-9f3f-7f6d2f0f9a11",
        "line 1234 in receive.py",
        "0x7f8123456789",
        "127.0.0.1:8080",
    ],
)
def test_what_is_neither_stays_readable(text: str) -> None:
    assert mask(text) == text


def test_a_record_is_one_line_of_json(stream: io.StringIO) -> None:
    logging.getLogger("ours").info("%d codes\nto %s", 3, "+79161234567")
    logging.getLogger("theirs").warning("for %s", "ivan@ya.ru", stack_info=True)
    ours, theirs = records(stream)
    moment = datetime.fromisoformat(ours.pop("timestamp"))
    assert moment.tzinfo is not None
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)
    assert ours == {"event": "3 codes\nto +7*******67", "level": "info", "logger": "ours"}
    assert (theirs["event"], theirs["level"]) == ("for iv***@ya.ru", "warning")
    assert "test_a_record_is_one_line_of_json" in theirs["stack"]


def test_t25_tracebacks_and_nested_values_are_masked(stream: io.StringIO) -> None:
    class Person:
        def __repr__(self) -> str:
            return "Person(+79161234567)"

    try:
        raise ValueError("no SMS to +79161234567, code 123456, ivan@ya.ru, hunter2")
    except ValueError:
        logging.getLogger("theirs").exception("failed")
        logging.getLogger("ours").exception("failed for %s", [Person(), {"mail": ("ivan@ya.ru",)}])
    text = stream.getvalue()
    for secret in ("9161234567", "123456,", "ivan@", "hunter2"):
        assert secret not in text
    theirs, ours = records(stream)
    assert "ValueError: no SMS to +7*******67, code ******, iv***@ya.ru, <secret>" in theirs["exception"]
    assert "Traceback" in ours["exception"]
    assert ours["event"] == "failed for [Person(+7*******67), {'mail': ('i***@ya.ru',)}]"


def test_levels(stream: io.StringIO) -> None:
    logging.getLogger("aiogram.event").info("Update id=1 is handled")
    logging.getLogger("anything").debug("too much")
    logging.getLogger("aiogram.event").error("failed")
    assert [record["event"] for record in records(stream)] == ["failed"]


def test_warnings_of_python_are_records_too(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old call", DeprecationWarning, stacklevel=1)
    (record,) = records(stream)
    assert "old call" in record["event"]


def test_it_can_be_undone() -> None:
    before = logging.getLogger().handlers[:], logging.getLogger().level
    configure("DEBUG", stream=io.StringIO())()
    assert (logging.getLogger().handlers[:], logging.getLogger().level) == before
