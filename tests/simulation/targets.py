"""What attackers aim at: ranges whose owner shares the income with them, and numbers of people they know."""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulation.plan import BY_CODE, Plan, a_number

Place = tuple[str, str]
"""A number, or the beginning of a range of them, with its country."""

# Ranges of the country where an SMS costs most pay best.
_DEAREST = BY_CODE["KG"]


@dataclass(frozen=True)
class Targets:
    """The same in every run of a seed."""

    one_range: Place
    many_ranges: tuple[Place, ...]
    own_ranges: tuple[Place, ...]
    company: Place
    """No target: the range of a company whose people register on the same day."""
    bombed: Place
    guessed: tuple[Place, ...]

    @property
    def victims(self) -> tuple[Place, ...]:
        """Every number that attackers know."""
        return (self.bombed, *self.guessed)


def targets(plan: Plan) -> Targets:
    """Choose the targets; there are fewer where fewer people come."""
    chance = plan.chance("targets")
    home = BY_CODE["RU"]
    countries = [country for country in BY_CODE.values() if country is not home]

    def a_range() -> Place:
        country = chance.choice(countries)
        return country.a_range(chance), country.code

    def a_victim() -> Place:
        return a_number(home.a_range(chance), chance), home.code

    return Targets(
        one_range=(_DEAREST.a_range(chance), _DEAREST.code),
        many_ranges=tuple(a_range() for _ in range(plan.scaled(300, 20))),
        own_ranges=tuple(a_range() for _ in range(plan.scaled(100, 10))),
        company=(home.a_range(chance), home.code),
        bombed=a_victim(),
        guessed=tuple(a_victim() for _ in range(plan.scaled(20, 2))),
    )
