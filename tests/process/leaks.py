"""Looking for what must not be seen: codes, numbers, addresses and secrets, in whatever spelling they come."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

# What lies between two digits of a number that somebody wrote out, and of a code that is spelled.
_IN_NUMBER, _IN_CODE = r"[^0-9A-Za-z]{0,3}", "[ ,-]{0,2}"
# No digit before, but for one of an escape.
_BEGINS = r"(?:(?<![0-9])|(?<=%[0-9A-Fa-f]{2})|(?<=\\x[0-9a-f]{2}))"
# Row ids and addresses in memory are full of digits; the digits of a moment are not a code's.
_IDS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|0x[0-9a-f]+|\b[0-9a-f]{32}\b")
_LEAST_SECRET = 6


@dataclass(frozen=True)
class Leak:
    """One thing that was seen: of which kind, where, and what stands around it."""

    kind: str
    where: str
    around: str


@dataclass
class Sensitive:
    """Everything that must not be seen. `secrets` by the name of the setting."""

    codes: set[str] = field(default_factory=set)
    numbers: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)
    secrets: dict[str, str] = field(default_factory=dict)

    def patterns(self) -> list[tuple[str, re.Pattern[str], bool]]:
        """Return each kind with how it looks, and whether the ids are taken out of a text before."""
        found: list[tuple[str, re.Pattern[str], bool]] = []
        for code in self.codes:
            found.append(("code", re.compile(rf"{_BEGINS}{_IN_CODE.join(code)}(?![0-9])"), True))
        for number in self.numbers:
            # Without the country: so written with its trunk prefix, or with none, it is found too.
            found.append(("number", re.compile(_IN_NUMBER.join(number[-10:])), False))
        for address in self.addresses:
            # Whoever sees what stands before the @ guesses the rest.
            local = address.partition("@")[0]
            found.append(("address", re.compile(f"(?:{_any_of(local)})(?![0-9])", re.IGNORECASE), False))
        for name, secret in self.secrets.items():
            assert len(secret) >= _LEAST_SECRET, f"{name} is too short to be looked for"
            found.append((name, re.compile(_any_of(secret)), False))
        return found

    def leaks(self, texts: dict[str, str]) -> list[Leak]:
        """Return everything found in these texts, each by its place's name."""
        patterns = self.patterns()
        leaks: list[Leak] = []
        for where, text in texts.items():
            bare = _IDS.sub("<id>", text)
            for kind, pattern, without_ids in patterns:
                searched = bare if without_ids else text
                leaks += [
                    Leak(kind, where, searched[max(0, found.start() - 60) : found.end() + 60])
                    for found in pattern.finditer(searched)
                ]
        return leaks


def _any_of(text: str) -> str:
    """Return a pattern of a text as it is, in an address, in a form, in Python and in JSON."""
    spellings = {text, quote(text, safe=""), quote_plus(text), repr(text)[1:-1], json.dumps(text)[1:-1]}
    return "|".join(map(re.escape, sorted(spellings)))


def without_moments(log: str) -> str:
    """Return the lines of a log without when they were written, which has microseconds; other lines as they are."""
    return "\n".join(_without_moment(line) for line in log.splitlines())


def _without_moment(line: str) -> str:
    try:
        record = json.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict):
        return line
    record.pop("timestamp", None)
    return json.dumps(record, ensure_ascii=False)


def made_up(words: str) -> str:
    """Return a secret nobody else has, with signs that are written otherwise in addresses and in Python."""
    return f"{words}+/w%'&={secrets.token_hex(6)}"


def spellings_of_a_number(number: str) -> Sequence[str]:
    """Return a Russian number (E.164) as people and machines write it."""
    code, first, second, third = number[2:5], number[5:8], number[8:10], number[10:]
    return (
        number, number[1:], number[2:], f"8{number[2:]}", f"+7 {code} {first}-{second}-{third}",
        f"8 ({code}) {first}-{second}-{third}", f"{code} {first} {second} {third}", quote(number, safe=""),
    )  # fmt: skip
