"""Logs: one JSON line per event to stderr, ours and the libraries' alike, with personal data and secrets masked."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO
from urllib.parse import quote, unquote

# What these say below the given level is our own news told twice, what nobody asked for, or SQL with its values.
_QUIET = {
    "aiogram.event": "WARNING",
    "alembic": "WARNING",
    "aiohttp.access": "WARNING",
    "aiosqlite": "INFO",
    "asyncio": "INFO",
}

# Of a password in an address: a shorter one would be found in words that are none.
_SHORTEST = 6
# Without a digit and an @ there is nothing to hide. What each kind of secret cannot do without is looked for before it:
# it costs a tenth, and most lines have none of it.
_MAYBE = re.compile(r"[@\d]")
_AT = re.compile(r"@|%40|u0040|&#64;")
_SIX_DIGITS = re.compile(r"\d(?:\W{0,3}\d){5}")
_LOGIN = re.compile(r"(?<=://)[^/\s@'\"]+@")
_TOKEN = re.compile(r"(?<![0-9])[0-9]{5,20}:[A-Za-z0-9_-]{20,}")
# What signs people in, RFC 7515's compact form: its header and its claims are JSON objects.
_SIGNED = re.compile(r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+")
_HEADER = re.compile(r"\b(basic|bearer) +[\w+/=.~-]{8,}", re.IGNORECASE)
# Where nothing longer goes on: an id in hex is none of ours. What is written with escapes, by repr() or in a URL, has
# letters and digits right before it that are not its own.
_BEGINS = r"(?:(?<![0-9A-Za-z])|(?<=\\[nrtvf])|(?<=\\x[0-9a-f]{2})|(?<=\\u[0-9a-f]{4})|(?<=%[0-9A-Fa-f]{2}))(?<!\d\.)"
_ENDS = r"(?![0-9A-Za-z])"
# Secrets made from SECRET_KEY, in hex.
_DERIVED = re.compile(rf"{_BEGINS}[0-9a-f]{{64}}{_ENDS}")
# RFC 5322's atoms, or a quoted text. From its first sign only: else a long text without an @ is read again and again.
_ATOM = r"\w.!#$%&'*+/=?^`{|}~-"
_EMAIL = re.compile(rf"((?<![{_ATOM}])[{_ATOM}]+|\"[^\"\s]*\")(@|%40|\\+u0040|&#64;)(\[[\w.:]+\]|[\w-]+(?:\.[\w-]+)*)")
_MASKED = re.compile(r"..?\*{3}")
# Ten digits or more, however they are grouped; a date is no number.
_GROUPED = r"\d(?:[ \t\u00a0\u202f().\u2010-\u2015-]{0,3}\d){9,14}"
_PHONE = re.compile(rf"\+{_GROUPED}|{_BEGINS}(?!\d{{4}}-\d\d-\d\d){_GROUPED}{_ENDS}")
# An update's id is nobody's, and ties the lines about it together.
_CODE = re.compile(rf"{_BEGINS}(?<!update )\d{{6,8}}{_ENDS}")
# As people group it, and as calls say it.
_SPELLED = re.compile(rf"{_BEGINS}(?:\d{{3}}[ \u00a0-]\d{{3}}|\d(?:[ \u00a0,.-]{{1,2}}\d){{5}}){_ENDS}")


def mask(text: str) -> str:
    """Return `text` with logins in addresses, bot tokens, e-mail addresses, phone numbers and codes made unreadable."""
    if not _MAYBE.search(text):
        return text
    if ":" in text:
        text = _LOGIN.sub("***@", text)
        text = _TOKEN.sub("<token>", text)
    text = _SIGNED.sub("<token>", text)
    text = _HEADER.sub(r"\1 <secret>", text)
    text = _DERIVED.sub("<secret>", text)
    if _AT.search(text):
        text = _EMAIL.sub(_without_name, text)
    if not _SIX_DIGITS.search(text):
        return text
    text = _PHONE.sub(lambda found: f"{found[0][:2]}*******{found[0][-2:]}", text)
    return _SPELLED.sub("******", _CODE.sub("******", text))


def _without_name(address: re.Match[str]) -> str:
    name = address[1]
    if _MASKED.fullmatch(name):
        return address[0]
    return f"{name[: 2 if len(name) > 2 else 1]}***{address[2]}{address[3]}"


def _spellings(secret: str) -> set[str]:
    """Return how a secret may be written; what is secret in an address is its password, wherever it comes again."""
    found = {secret}
    if "://" in secret:
        login = secret.partition("://")[2].rpartition("@")[0]
        password = login.partition(":")[2]
        found |= {password, unquote(password)} if len(password) >= _SHORTEST else set()
    return {spelling for word in found for spelling in (word, quote(word, safe=""), repr(word)[1:-1])}


class _Formatter(logging.Formatter):
    """Writes a record as one line of JSON; `secrets` are hidden wherever they stand."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        spellings = {spelling for secret in secrets if secret for spelling in _spellings(secret)}
        self._known = sorted(spellings, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        line = {"event": self._clean(record.getMessage()), "level": record.levelname.lower()}
        line["logger"] = self._clean(record.name)
        if record.exc_info:
            line["exception"] = self._clean(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = self._clean(self.formatStack(record.stack_info))
        # Not masked: the microseconds would be taken for a code.
        moment = datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None)
        line["timestamp"] = moment.isoformat(timespec="microseconds") + "Z"
        return json.dumps(line, ensure_ascii=False)

    def _clean(self, text: str) -> str:
        for secret in self._known:
            text = text.replace(secret, "<secret>")
        return mask(text)


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:
        """Say which record could not be written; the usual way prints it as it is, with its arguments."""
        place = f"{record.name}:{record.lineno}"
        words = f"a record of {place} could not be written: {type(sys.exc_info()[1]).__name__}"
        self.stream.write(json.dumps({"event": words, "level": "error", "logger": __name__}) + self.terminator)


def configure(level: str, secrets: Iterable[str] = (), stream: TextIO | None = None) -> Callable[[], None]:
    """Send all records of `level` and above to `stream` (stderr); returns what undoes it."""
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(_Formatter(secrets))
    root = logging.getLogger()
    before = root.handlers[:], root.level, {name: logging.getLogger(name).level for name in _QUIET}
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(logging.getLevelName(least), root.level))
    logging.captureWarnings(True)
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    _hook_in(hooks[0])

    def undo() -> None:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        for name, earlier in before[2].items():
            logging.getLogger(name).setLevel(earlier)
        logging.captureWarnings(False)
        sys.excepthook, threading.excepthook, sys.unraisablehook = hooks

    return undo


def _hook_in(usual: Callable[[type[BaseException], BaseException, TracebackType | None], object]) -> None:
    """Write down what nobody caught: Python itself would print it as it is, with whatever stands in it."""
    log = logging.getLogger("uncaught")

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, Exception):
            log.critical("nobody caught this", exc_info=(kind, error, trace))
        else:
            usual(kind, error, trace)

    def in_thread(args: threading.ExceptHookArgs) -> None:
        # A thread's SystemExit ends the thread and is no news.
        if args.exc_value is not None and args.exc_type is not SystemExit:
            uncaught(args.exc_type, args.exc_value, args.exc_traceback)

    def unraisable(args: sys.UnraisableHookArgs) -> None:
        log.error("%s %r", args.err_msg or "nobody could be told, in", args.object, exc_info=args.exc_value)

    sys.excepthook, threading.excepthook, sys.unraisablehook = uncaught, in_thread, unraisable
