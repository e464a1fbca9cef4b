from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest

from bot import prices as prices_module
from bot.failures import StartFailed
from bot.gateway_settings import PAID_GATEWAYS, GatewayName
from bot.prices import prices_of, read_prices
from bot.settings import Settings
from handlers.ports import Accepted, CodeMessage, SendResult
from storage.models import Channel

ROOT = Path(__file__).parents[2]
HEADING = "gateway,channel,country,price\n"
SMS, VOICE, TELEGRAM = Channel.SMS, Channel.VOICE, Channel.TELEGRAM


@dataclass(frozen=True)
class Named:
    """A gateway of which only the name and the channels matter."""

    name: str
    channels: frozenset[Channel] = frozenset({SMS})

    async def send(self, message: CodeMessage) -> SendResult:
        return Accepted()

    async def close(self) -> None: ...


def settings(**values: Any) -> Settings:
    return Settings(**{"countries": "RU,KZ", **values})


def table(folder: Path, text: str | bytes) -> Path:
    path = folder / "prices.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def mistake(path: Path) -> str:
    with pytest.raises(StartFailed) as caught:
        read_prices(path)
    line = str(caught.value)
    assert line.startswith("PRICES_FILE: ")
    assert "\n" not in line
    return line


def test_the_examples_know_every_gateway_in_every_default_country_and_elsewhere() -> None:
    prices = read_prices(prices_module._EXAMPLES)
    channels = {name: {SMS} for name in PAID_GATEWAYS} | {"smsc": {SMS, VOICE}, "twilio": {SMS, VOICE}}
    channels["telegram"] = {TELEGRAM}
    countries = (*Settings.model_fields["countries"].default, "*")
    expected = {(name, channel, country) for name in channels for channel in channels[name] for country in countries}
    assert set(prices.rows) == expected
    assert all(price > 0 for price in prices.rows.values())
    assert prices.of("vonage", SMS, "US") == prices.rows["vonage", SMS, "*"]


def test_the_examples_are_installed_with_the_bot() -> None:
    package_data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert "*.csv" in package_data["bot.gateways"]
    assert prices_module._EXAMPLES == ROOT / "bot" / "gateways" / "prices.csv"


def test_a_countrys_own_row_comes_before_that_of_all_others(tmp_path: Path) -> None:
    prices = read_prices(table(tmp_path, HEADING + "smsc,sms,*,700\nsmsc,sms,RU,350\nsmsc,sms,BY,0\n"))
    assert prices.of("smsc", SMS, "RU") == 350
    assert prices.of("smsc", SMS, "BY") == 0
    assert prices.of("smsc", SMS, "KZ") == 700
    assert prices.of("smsc", VOICE, "RU") is None
    assert prices.of("vonage", SMS, "RU") is None


@pytest.mark.parametrize("name", [name for name in (*get_args(GatewayName), "practice") if name not in PAID_GATEWAYS])
def test_what_reaches_no_telephone_costs_nothing(name: str) -> None:
    assert prices_of(settings(), [Named(name)]).of(name, SMS, "RU") == 0


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfgateway,channel,country,price\r\nsmsc,sms,RU,350\r\n",
        '# mine\n\n "gateway" , channel,country,price\n\n# as agreed in May\nSMSC, SMS , ru ,350',
    ],
    ids=["as a spreadsheet saves it", "with notes and spaces"],
)
def test_how_people_write_tables_is_understood(tmp_path: Path, text: str | bytes) -> None:
    assert dict(read_prices(table(tmp_path, text)).rows) == {("smsc", SMS, "RU"): 350}


@pytest.mark.parametrize(
    ("rows", "line", "says"),
    [
        ("smsc,sms,RU\n", 2, "has 3 cells"),
        ("smsc,sms,RU,350,0\n", 2, "has 5 cells"),
        ("# note\nsmsc,sms,RU,3.50\n", 3, "'3.50' is not in range"),
        ("smsc,sms,RU,-1\n", 2, "'-1' is not in range"),
        ("smsc,sms,RU,\n", 2, "'' is not in range"),
        ("smsc,sms,RU,100000001\n", 2, "is not in range"),
        ("mts,sms,RU,350\n", 2, "'mts' is unknown"),
        ("smsc,fax,RU,350\n", 2, "'fax' is unknown"),
        ("smsc,test,RU,350\n", 2, "'test' is unknown"),
        ("smsc,sms,Russia,350\n", 2, "'Russia' is no country"),
        ("console,sms,RU,0\n", 2, "console costs nothing"),
        ("smsc,sms,RU,350\nsmsc,voice,RU,300\nsmsc,sms,ru,400\n", 4, "smsc,sms,RU stands in line 2 already"),
    ],
)
def test_each_mistake_is_one_line_with_its_place(tmp_path: Path, rows: str, line: int, says: str) -> None:
    path = table(tmp_path, HEADING + rows)
    found = mistake(path)
    assert found.startswith(f"PRICES_FILE: line {line} of {path}: ")
    assert says in found


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "smsc,sms,RU,350\n", "gateway;channel;country;price\n"])
def test_a_table_without_its_columns_is_refused(tmp_path: Path, text: str) -> None:
    assert "begin with gateway,channel,country,price" in mistake(table(tmp_path, text))


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    assert "No such file" in mistake(tmp_path / "none.csv")
    assert "Is a directory" in mistake(tmp_path)
    assert "save it as CSV in UTF-8" in mistake(table(tmp_path, HEADING.encode("utf-16")))
    assert "far too large" in mistake(table(tmp_path, HEADING + "#" * 1_000_000))


def test_t03_a_price_that_is_missing_is_refused_at_start(tmp_path: Path) -> None:
    """A code without a price would not be counted against the budget."""
    path = table(tmp_path, HEADING + "smsc,sms,RU,350\nvonage,sms,*,700\n")
    ours = settings(prices_file=path)
    assert prices_of(ours, [Named("vonage")]).of("vonage", SMS, "KZ") == 700
    with pytest.raises(StartFailed, match=r"^PRICES_FILE: has no price of smsc by sms to KZ; write a row for KZ, or "):
        prices_of(ours, [Named("vonage"), Named("smsc")])
    assert prices_of(settings(prices_file=path, countries="RU"), [Named("smsc")]).of("smsc", SMS, "RU") == 350
    speaking = Named("vonage", frozenset({SMS, VOICE}))
    with pytest.raises(StartFailed, match=r"^PRICES_FILE: has no price of vonage by voice to RU; "):
        prices_of(ours, [speaking])


def test_the_examples_are_roubles_and_serve_nobody_else(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=r"^CURRENCY: .* in RUB; write those of smsc in KZT .* PRICES_FILE$"):
        prices_of(settings(currency="KZT"), [Named("console"), Named("smsc")])
    assert prices_of(settings(currency="KZT"), [Named("console")]).of("console", SMS, "RU") == 0
    path = table(tmp_path, HEADING + "smsc,sms,*,3000\n")
    assert prices_of(settings(currency="KZT", prices_file=path), [Named("smsc")]).of("smsc", SMS, "KZ") == 3000


def test_a_file_that_was_named_is_read_whatever_sends(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=r"^PRICES_FILE: "):
        prices_of(settings(prices_file=tmp_path / "none.csv"), [Named("console")])
