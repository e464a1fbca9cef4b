"""What one code costs by each gateway, channel and country: a table that the operator may replace by a file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot import setting_types as kinds
from bot.failures import StartFailed
from bot.gateway_settings import GATEWAY, PAID_GATEWAYS
from bot.settings import Settings
from handlers.ports import Gateway
from storage.models import Channel

_EXAMPLES = Path(__file__).parent / "gateways" / "prices.csv"
_CURRENCY = "RUB"
_COLUMNS = ["gateway", "channel", "country", "price"]
_ANYWHERE = "*"
_CHANNEL = kinds.one_of(channel.value for channel in Channel if channel is not Channel.TEST)
# Far above any price; the ledger's column takes no more than 2^31.
_PRICE = kinds.whole_number(0, 100_000_000)
# An operator's table has some hundred rows; whatever is larger is another file.
_LARGEST = 1_000_000

_Row = tuple[str, Channel, str]


@dataclass(frozen=True)
class Prices:
    """Prices in minor currency units by gateway, channel and ISO country, `*` standing for all that have no row."""

    rows: Mapping[_Row, int]

    def of(self, gateway: str, channel: Channel, country: str) -> int | None:
        """Return the price of one code, None when nobody knows it; 0 for what costs nothing."""
        if gateway not in PAID_GATEWAYS:
            return 0
        own = self.rows.get((gateway, channel, country))
        return self.rows.get((gateway, channel, _ANYWHERE)) if own is None else own


def prices_of(settings: Settings, gateways: Sequence[Gateway]) -> Prices:
    """Return the prices of PRICES_FILE, or the examples that come with the bot.

    Raises StartFailed with one line for a file that cannot be used, and for a price that would be missing: the budget
    could not be kept.
    """
    paid = [gateway for gateway in gateways if gateway.name in PAID_GATEWAYS]
    if settings.prices_file is None and settings.currency != _CURRENCY and paid:
        raise StartFailed(
            f"CURRENCY: the prices that come with the bot are in {_CURRENCY}; "
            f"write those of {paid[0].name} in {settings.currency} into a file and name it in PRICES_FILE"
        )
    prices = read_prices(settings.prices_file or _EXAMPLES)
    for gateway in paid:
        for channel in sorted(gateway.channels):
            for country in settings.countries:
                if prices.of(gateway.name, channel, country) is None:
                    raise StartFailed(
                        f"PRICES_FILE: has no price of {gateway.name} by {channel} to {country}; "
                        f"write a row for {country}, or for {_ANYWHERE}"
                    )
    return prices


def read_prices(path: Path) -> Prices:
    """Read a table as `bot/gateways/prices.csv` is one. Raises StartFailed with the first mistake and its line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read(_LARGEST + 1)
    except OSError as error:
        raise StartFailed(f"PRICES_FILE: {path} cannot be read ({error.strerror}); write a file's path") from error
    except UnicodeDecodeError as error:
        raise StartFailed(f"PRICES_FILE: {path} is no text in UTF-8; save it as CSV in UTF-8") from error
    if len(text) > _LARGEST:
        raise StartFailed(f"PRICES_FILE: {path} is no table of prices, for it is far too large")
    try:
        return Prices(_read(text.splitlines()))
    except _Mistake as error:
        raise StartFailed(f"PRICES_FILE: line {error.line} of {path}: {error}") from error


class _Mistake(Exception):
    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


def _read(lines: Iterable[str]) -> dict[_Row, int]:
    found: dict[_Row, int] = {}
    seen: dict[_Row, int] = {}
    heading = False
    number = 0
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            # One line is one row: a cell never holds a line's end.
            cells = [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True))]
            if not heading:
                heading = _is_heading(cells)
                continue
            row, price = _row(cells)
        except (ValueError, csv.Error) as error:
            raise _Mistake(number, str(error)) from None
        if row in seen:
            raise _Mistake(number, f"{','.join(row)} stands in line {seen[row]} already; leave one of them out")
        found[row], seen[row] = price, number
    if not heading:
        raise _Mistake(number or 1, f"there is no table; begin with {','.join(_COLUMNS)}")
    return found


def _is_heading(cells: list[str]) -> bool:
    if cells != _COLUMNS:
        raise ValueError(f"the columns are not named; begin with {','.join(_COLUMNS)}, separated by commas")
    return True


def _row(cells: list[str]) -> tuple[_Row, int]:
    if len(cells) != len(_COLUMNS):
        raise ValueError(f"has {len(cells)} cells; write {','.join(_COLUMNS)}")
    gateway, channel, country, price = cells
    name = GATEWAY(gateway)
    if name not in PAID_GATEWAYS:
        raise ValueError(f"{name} costs nothing; leave its rows out")
    where = country if country == _ANYWHERE else kinds.read_country(country)
    return (name, Channel(_CHANNEL(channel)), where), _PRICE(price)
