"""What is simulated: how many people in how many hours, where their numbers are, what an SMS costs."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from bot.limit_settings import LimitSettings
from storage.limits import Limits, Window

# Of what an SMS costs, the share that reaches whoever owns the pumped range: an assumption, in the middle of what
# reports on artificially inflated traffic name.
PUMPER_SHARE = 0.3
# What a Telegram account costs who buys them by the thousand, in hundredths of a rouble: an assumption.
ACCOUNT_PRICE = 6000
# The budget leaves honest people, who need about 1.2 SMS each, half as much again.
_BUDGET_FACTOR = 1.2 * 1.5


@dataclass(frozen=True)
class Country:
    """Where people are. `heads`: how a mobile number begins; `middle`: digits between that and the last four.

    Prices are in hundredths of a rouble, by the cheaper gateway and by the dearer one.
    """

    code: str
    share: float
    heads: tuple[str, ...]
    middle: int
    cheaper: int
    dearer: int

    def a_range(self, chance: random.Random) -> str:
        """Return the beginning of ten thousand numbers."""
        return f"{chance.choice(self.heads)}{chance.randrange(10**self.middle):0{self.middle}}"


def _heads(code: str, *operators: int) -> tuple[str, ...]:
    return tuple(f"+{code}{operator}" for operator in operators)


COUNTRIES = (
    Country("RU", 0.72, _heads("7", *range(900, 970), *range(977, 1000)), 3, 350, 450),
    Country("KZ", 0.10, _heads("7", 700, 701, 702, 705, 707, 708, 747, 771, 775, 776, 777, 778), 3, 1500, 1900),
    Country("BY", 0.06, _heads("375", 25, 29, 33, 44), 3, 1200, 1500),
    Country("UZ", 0.06, _heads("998", 90, 91, 93, 94, 95, 97, 98, 99), 3, 1800, 2300),
    Country("AM", 0.03, _heads("374", 41, 43, 77, 91, 93, 94, 96, 98, 99), 2, 1700, 2100),
    Country("KG", 0.03, _heads("996", 50, 55, 70, 77, 99), 3, 1900, 2300),
)
BY_CODE = {country.code: country for country in COUNTRIES}


def a_number(a_range: str, chance: random.Random) -> str:
    """Return a number (E.164) of a range."""
    return f"{a_range}{chance.randrange(10_000):04}"


class Guards(StrEnum):
    """What stands between the attackers and the gateways."""

    ALL = "all limits"
    BUDGET = "the budget alone"
    NONE = "no limits"


@dataclass(frozen=True)
class Plan:
    """One run. `attack`: attempts of attackers for each honest person; 0: none. `lost`: share of SMS."""

    people: int = 10_000
    attack: float = 10
    lost: float = 0.1
    seed: int = 1
    hours: float = 24
    guards: Guards = Guards.ALL

    @property
    def seconds(self) -> float:
        """For how long people and attackers come."""
        return self.hours * 3600

    @property
    def budget(self) -> int:
        """What the operator allows for the day, in hundredths of a rouble."""
        mean = sum(country.share * country.cheaper for country in COUNTRIES)
        return round(self.people * mean * _BUDGET_FACTOR)

    @property
    def daily_budget(self) -> int | None:
        """What the engine is told of it."""
        return None if self.guards is Guards.NONE else self.budget

    @property
    def title(self) -> str:
        """What tells this run from the others."""
        return self.guards.value if self.attack else "no attack"

    def limits(self) -> Limits:
        """Return the limits of the settings, or none: numbers nobody reaches, over windows in which nothing is."""
        limits = LimitSettings().limits()
        if self.guards is Guards.ALL:
            return limits
        never, moment = 10**9, timedelta(microseconds=1)
        window = Window(never, moment)
        return replace(
            limits, code_attempts=never, wrong_codes=window, resend_delays=(timedelta(0),), sends_per_challenge=never,
            sends_per_number=(window,), calls_per_number=window, sends_per_person=(window,), sends_per_prefix=window,
            prefix_evidence=window, numbers_per_person=window, addresses_per_person=window,
        )  # fmt: skip

    def chance(self, name: object) -> random.Random:
        """Return a stream of chance of its own: the same people come whatever else happens in a run."""
        return random.Random(f"{self.seed}:{name}")

    def scaled(self, of_ten_thousand: float, least: int = 1) -> int:
        """Return how many there are of what is so many among ten thousand people."""
        return max(least, round(of_ten_thousand * self.people / 10_000))
