"""Logs: one JSON line per event to stderr, ours and the libraries' alike, with personal data and secrets masked."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# What these say below the given level is our own news told twice, what nobody asked for, or SQL with its values.
_QUIET = {
    "aiogram.event": "WARNING",
    "alembic": "WARNING",
    "aiohttp.access": "WARNING",
    "aiosqlite": "INFO",
    "asyncio": "INFO",
}

# Without a digit and an @ there is nothing to hide, and looking for each kind costs more than the rest of a log line.
_MAYBE = re.compile(r"[@\d]")
_LOGIN = re.compile(r"(?<=://)[^/\s@'\"]+@")
_TOKEN = re.compile(r"(?<![0-9])[0-9]{5,20}:[A-Za-z0-9_-]{20,}")
_EMAIL = re.compile(r"([\w.%+'-]+)@([\w-]+(?:\.[\w-]+)+)")
# Ten digits or more, however they are grouped; a date is no number.
_PHONE = re.compile(r"(?<![\w.])(?!\d{4}-\d\d-\d\d)\+?\d(?:[ \u00a0().-]{0,2}\d){9,14}(?!\w)")
# An update's id is nobody's, and ties the lines about it together.
_CODE = re.compile(r"(?<!\w)(?<!update )\d{6,8}(?!\w)")

_COMMON: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
)


def mask(text: str) -> str:
    """Return `text` with logins in addresses, bot tokens, e-mail addresses, phone numbers and codes made unreadable."""
    if not _MAYBE.search(text):
        return text
    text = _LOGIN.sub("***@", text)
    text = _TOKEN.sub("<token>", text)
    text = _EMAIL.sub(lambda found: f"{found[1][: 2 if len(found[1]) > 2 else 1]}***@{found[2]}", text)
    text = _PHONE.sub(lambda found: f"{found[0][:2]}*******{found[0][-2:]}", text)
    return _CODE.sub("******", text)


def _masking(secrets: Iterable[str]) -> Processor:
    """Return the processor that masks every string of a record; `secrets` are hidden wherever they stand."""
    known = sorted((secret for secret in secrets if secret), key=len, reverse=True)

    def clean(value: Any) -> Any:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, Mapping):
            return {str(key): clean(item) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [clean(item) for item in value]
        # Anything else would be written as its repr by the renderer, past this point.
        text = value if isinstance(value, str) else repr(value)
        for secret in known:
            text = text.replace(secret, "<secret>")
        return mask(text)

    def process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {key: clean(value) for key, value in event.items()}

    return process


def _formatter(secrets: Iterable[str]) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_COMMON,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            _masking(secrets),
            # After the masking, which would take the microseconds for a code.
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )


def configure(level: str, secrets: Iterable[str] = (), stream: TextIO | None = None) -> Callable[[], None]:
    """Send all records of `level` and above to `stream` (stderr); returns what undoes it."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_formatter(secrets))
    root = logging.getLogger()
    before = root.handlers[:], root.level, {name: logging.getLogger(name).level for name in _QUIET}
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(logging.getLevelName(least), root.level))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_COMMON,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )

    def undo() -> None:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        for name, earlier in before[2].items():
            logging.getLogger(name).setLevel(earlier)
        logging.captureWarnings(False)
        structlog.reset_defaults()

    return undo
