"""How settings are written: durations, windows, lists and addresses, read and written back.

Every reader raises ValueError with a message that says what is wrong and what to write; it never repeats a secret.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from phonenumbers import SUPPORTED_REGIONS
from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from storage.limits import Window

# libphonenumber's PhoneNumberType, in lower case.
NUMBER_TYPES = (
    "mobile",
    "fixed_line_or_mobile",
    "fixed_line",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _text(value: Any) -> str:
    return str(value).strip()


def read_duration(value: Any) -> timedelta:
    """Read `60s`, `10m`, `24h` or `90d`: a whole number of seconds, minutes, hours or days, more than nothing."""
    if isinstance(value, timedelta):
        return value
    found = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", _text(value))
    if not found:
        raise ValueError(f"{_text(value)!r} is no duration; write for example 60s, 10m, 24h or 90d")
    return timedelta(seconds=int(found[1]) * UNITS[found[2]])


def read_window(value: Any) -> Window:
    """Read `3/1h`: at most 3 within any hour."""
    if isinstance(value, Window):
        return value
    found = re.fullmatch(r"([1-9][0-9]{0,5})/([0-9]+[smhd])", _text(value))
    if not found:
        raise ValueError(f"{_text(value)!r} is no limit; write a count and a period, for example 3/1h")
    return Window(int(found[1]), read_duration(found[2]))


def list_of(read: Callable[[str], Any], what: str) -> Callable[[Any], tuple[Any, ...]]:
    """Return a reader of comma-separated values, each read by `read`; none and repeated ones are refused."""

    def read_list(value: Any) -> tuple[Any, ...]:
        parts = value if isinstance(value, (tuple, list)) else [part.strip() for part in _text(value).split(",")]
        found = tuple(read(part) for part in parts if part != "")
        if not found:
            raise ValueError(f"at least one of {what} is needed")
        for item in found:
            if what != "the durations" and found.count(item) > 1:
                raise ValueError(f"{written(item)} stands there twice; write it once")
        return found

    return read_list


def one_of(choices: Iterable[str]) -> Callable[[Any], str]:
    """Return a reader of one of `choices`, whatever the case."""
    known = {choice.casefold(): choice for choice in choices}

    def read(value: Any) -> str:
        try:
            return known[_text(value).casefold()]
        except KeyError:
            raise ValueError(f"{_text(value)!r} is unknown; write one of {', '.join(known.values())}") from None

    return read


def read_country(value: Any) -> str:
    """Read an ISO 3166-1 code of a country whose numbers libphonenumber knows."""
    code = _text(value).upper()
    if code not in SUPPORTED_REGIONS:
        raise ValueError(f"{_text(value)!r} is no country; write ISO codes of two letters, for example RU,KZ")
    return code


def map_of(read_key: Callable[[str], Any], read_value: Callable[[str], Any]) -> Callable[[Any], dict[Any, Any]]:
    """Return a reader of comma-separated `key=value` pairs; a key given twice is refused."""

    def read(value: Any) -> dict[Any, Any]:
        if isinstance(value, dict):
            return value
        found: dict[Any, Any] = {}
        for pair in filter(None, (part.strip() for part in _text(value).split(","))):
            name, sign, given = pair.partition("=")
            if not sign:
                raise ValueError("is a list of pairs; write each as key=value")
            key = read_key(name.strip())
            if key in found:
                raise ValueError(f"{key} stands there twice; write it once")
            found[key] = read_value(given.strip())
        return found

    return read


def read_chat_id(value: Any) -> int:
    """Read a Telegram chat's id: a whole number, negative for a group."""
    if not re.fullmatch(r"-?[0-9]{1,18}", _text(value)):
        raise ValueError(f"{_text(value)!r} is no chat's id; write a whole number, for example -1009876543210")
    return int(_text(value))


def read_date(value: Any) -> date:
    """Read a day as 2026-12-31."""
    try:
        return value if isinstance(value, date) else date.fromisoformat(_text(value))
    except ValueError:
        raise ValueError(f"{_text(value)!r} is no day; write it as 2026-12-31") from None


def read_number(value: Any) -> str:
    """Read a telephone number in international form (E.164)."""
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", _text(value)):
        raise ValueError(f"{_text(value)!r} is no number; write it with its plus and without spaces")
    return _text(value)


def read_code(value: Any) -> SecretStr:
    """Read a code of six digits."""
    if not re.fullmatch(r"[0-9]{6}", _text(value)):
        raise ValueError("a code has six digits")
    return SecretStr(_text(value))


def read_switch(value: Any) -> bool:
    """Read `true` or `false`."""
    return value if isinstance(value, bool) else one_of(("true", "false"))(value) == "true"


def read_zone(value: Any) -> ZoneInfo:
    """Read a time zone by its name in the IANA database."""
    try:
        return value if isinstance(value, ZoneInfo) else ZoneInfo(_text(value))
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{_text(value)!r} is no time zone; write for example Europe/Moscow") from None


def whole_number(low: int, high: int) -> Callable[[Any], int]:
    """Return a reader of a whole number from `low` to `high`, both included."""

    def read(value: Any) -> int:
        text = _text(value)
        if not re.fullmatch(r"[0-9]{1,18}", text) or not low <= int(text) <= high:
            span = f"a whole number from {low} to {high}" if low < high else str(low)
            raise ValueError(f"{text!r} is not in range; write {span}")
        return int(text)

    return read


def count(low: int, high: int) -> BeforeValidator:
    """Validate a whole number from `low` to `high`."""
    return BeforeValidator(whole_number(low, high))


def choice(*choices: str) -> BeforeValidator:
    """Validate one of `choices`."""
    return BeforeValidator(one_of(choices))


def is_loopback(host: str) -> bool:
    """Tell whether `host` names this very machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _split(value: Any) -> tuple[str, str, str]:
    """Return the address, its scheme and its host."""
    text = _text(value)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", 0
    if not host or port == 0 or re.search(r"[\s<>\"]", text):
        raise ValueError("is no web address; write for example https://example.com/page")
    return text, parts.scheme, host


def read_link(value: Any) -> str:
    """Read an address that people open: http or https."""
    text, scheme, _ = _split(value)
    if scheme not in ("https", "http"):
        raise ValueError("is no web address; write one that begins with https://")
    return text


def read_service_url(value: Any) -> str:
    """Read the base address of a service that is sent secrets: https, or http on this machine; no trailing slash."""
    text, scheme, host = _split(value)
    if scheme != "https" and not (scheme == "http" and is_loopback(host)):
        raise ValueError("plain http is for this machine only; write an address that begins with https://")
    if urlsplit(text).query or urlsplit(text).fragment or "@" in urlsplit(text).netloc:
        raise ValueError("is a base address; write it without a name, a password, a question mark or a hash")
    return text.rstrip("/")


def written(value: Any) -> str:
    """Write a value the way it is given in the environment: the opposite of the readers; nothing given is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
        # Days are written for periods of days; 24h reads better than 1d and is what the documents say.
        unit = next(name for name in "dhms" if seconds % UNITS[name] == 0 and (name != "d" or seconds > 2 * UNITS["d"]))
        return f"{seconds // UNITS[unit]}{unit}"
    if isinstance(value, Window):
        return f"{value.count}/{written(value.period)}"
    if isinstance(value, tuple):
        return ",".join(written(item) for item in value)
    if isinstance(value, dict):
        return ",".join(f"{key}={written(item)}" for key, item in value.items())
    return str(value)


def like(pattern: str, advice: str) -> AfterValidator:
    """Return a check that a text or secret matches `pattern` as a whole; the message is `advice`, never the value."""

    def check(value: SecretStr | str | None) -> SecretStr | str | None:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text is not None and not re.fullmatch(pattern, text):
            raise ValueError(f"is not of the right form; {advice}")
        return value

    return AfterValidator(check)


Word = Annotated[str, like(r"[!-~]{1,64}", "write 1 to 64 Latin letters, digits and signs, without spaces")]
Duration = Annotated[timedelta, BeforeValidator(read_duration)]
Durations = Annotated[tuple[timedelta, ...], NoDecode, BeforeValidator(list_of(read_duration, "the durations"))]
OneWindow = Annotated[Window, NoDecode, BeforeValidator(read_window)]
Windows = Annotated[tuple[Window, ...], NoDecode, BeforeValidator(list_of(read_window, "the limits"))]
Switch = Annotated[bool, BeforeValidator(read_switch)]
Link = Annotated[str, BeforeValidator(read_link)]
ServiceUrl = Annotated[str, BeforeValidator(read_service_url)]
# A host, or an IPv6 address in brackets, and maybe a port.
_NODE = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?"
_NODES = rf"([^@/?#]*@)?{_NODE}(,{_NODE})*"
_QUERY = r"(\?[!-~]+)?"
RedisUrl = Annotated[
    SecretStr,
    like(
        rf"(rediss?://|unix:///).+|redis\+cluster://{_NODES}|rediss\+cluster://{_NODES}{_QUERY}"
        rf"|rediss?\+sentinel://{_NODES}/[A-Za-z0-9._-]+(/[0-9]{{1,5}})?{_QUERY}",
        "write redis://host:6379/0, rediss://host:6379/0, unix:///path, redis+cluster://host1:6379,host2:6379 or "
        "redis+sentinel://host1:26379,host2:26379/master/0",
    ),
]
