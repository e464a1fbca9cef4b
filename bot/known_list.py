"""Reading the list of numbers and addresses that a CRM exports: a value per line, or CSV.

The cells of the first row decide: with columns named `phone` or `email` these are read and all others are not; without
them every cell is a value. A value is written as at the steps, and what no step would take is no value.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from phonenumbers import SUPPORTED_REGIONS

from bot.setting_types import NUMBER_TYPES
from handlers.registration.addresses import BadAddress, parse_address
from handlers.registration.numbers import CountryNotAllowed, NumberTypeRefused, parse_number
from storage.errors import Refusal
from storage.tables import LookupKind

_COLUMNS = frozenset({"phone", "email"})
_SEPARATORS = ",;\t"


@dataclass(frozen=True)
class Known:
    """One value in its normal form."""

    kind: LookupKind
    value: str


@dataclass(frozen=True)
class BadLine:
    """A line with a cell that is none; `why` repeats nothing of it."""

    line: int
    why: str


class NoCsv(Exception):
    """The file cannot be read as text in rows; the message says where."""


class KnownList:
    """How values are read. `countries` and `types` are the steps'; a national number is of the first country."""

    def __init__(self, countries: Sequence[str], types: Sequence[str]) -> None:
        self._countries = countries
        self._types = types

    def read(self, lines: Iterable[str]) -> Iterator[Known | BadLine]:
        """Yield what is in these lines, in their order. Raises NoCsv."""
        rows = _rows(lines)
        first = next(rows, None)
        if first is None:
            return
        number, cells = first
        names = [cell.strip().lower() for cell in cells]
        columns = [place for place, name in enumerate(names) if name in _COLUMNS] or None
        if columns is None:
            yield from self._row(number, cells)
        for number, cells in rows:
            chosen = cells if columns is None else [cells[place] for place in columns if place < len(cells)]
            yield from self._row(number, chosen)

    def _row(self, line: int, cells: Sequence[str]) -> Iterator[Known | BadLine]:
        for text in filter(None, (cell.strip() for cell in cells)):
            try:
                yield self._value(text)
            except BadAddress:
                yield BadLine(line, "no address that anybody could register with")
            except Refusal:
                yield BadLine(line, "no number and no address")

    def _value(self, text: str) -> Known:
        if "@" in text:
            return Known(LookupKind.ADDRESS, parse_address(text))
        try:
            number = parse_number(text, self._countries[0], self._countries, self._types)
        except (CountryNotAllowed, NumberTypeRefused):
            # No step takes it today; settings change.
            number = parse_number(text, self._countries[0], SUPPORTED_REGIONS, NUMBER_TYPES)
        return Known(LookupKind.NUMBER, number.e164)


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not empty, with the number of its last line."""
    rest = iter(lines)
    first = next(rest, "")
    reader = csv.reader(chain([first], rest), delimiter=max(_SEPARATORS, key=first.count))
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise NoCsv(f"line {reader.line_num} cannot be read as CSV ({error})") from error
