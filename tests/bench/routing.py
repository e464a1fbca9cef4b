"""What learning the order of gateways saves and costs: `python -m tests.bench.routing [--chart FILE]`.

A country, some gateways of different price and conversion, people who ask for a code and, when it does not come, mostly
ask again. The same people three times: by the operator's order, by the order the bot learns (`bot.routing`), and by the
oracle, who knows each gateway's conversion of the moment. Regret is the money spent beyond what the oracle would have
spent on as many registrations. Seeds are fixed: it prints the same each time.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bot.routing import LearnedRoutes
from storage.conversion import Converted, Figures
from storage.models import Channel, SendState
from storage.sending import Offer

COUNTRY = "RU"
BEGIN = datetime(2026, 5, 4, tzinfo=UTC)
DAYS = 14
SEEDS = range(1, 4)
LIFETIME = timedelta(minutes=10)
# The bot reads the ledger once a minute; this is ten times as quick and comes to the same.
READ = timedelta(minutes=10)
# Who gets no code asks again with this chance, this often at most, so much later.
AGAIN, TRIES, LATER = 0.7, 3, timedelta(minutes=2)
COLOURS = {"operator": "#8a8a85", "learnt": "#2a78d6", "oracle": "#eb6834"}


@dataclass(frozen=True)
class Vendor:
    """A gateway: its price in hundredths of a rouble, and the share of its codes that are entered on a given day."""

    name: str
    price: int
    conversion: Callable[[float], float]


@dataclass(frozen=True)
class Scenario:
    """Vendors in the operator's order, and how many people a day register."""

    title: str
    people: int
    vendors: tuple[Vendor, ...]


def always(share: float) -> Callable[[float], float]:
    return lambda day: share


def between(first: float, last: float, share: float, otherwise: float) -> Callable[[float], float]:
    return lambda day: share if first <= day < last else otherwise


SCENARIOS = (
    Scenario(
        "two gateways, the second is cheaper", 500, (Vendor("a", 450, always(0.85)), Vendor("b", 250, always(0.8)))
    ),
    Scenario(
        "two gateways, the first is cheap and loses codes",
        500,
        (Vendor("a", 200, always(0.35)), Vendor("b", 300, always(0.85))),
    ),
    Scenario(
        "three gateways, the best is the last",
        500,
        (Vendor("a", 450, always(0.8)), Vendor("b", 300, always(0.5)), Vendor("c", 350, always(0.85))),
    ),
    Scenario(
        "the first loses codes from day 5 to day 9",
        500,
        (Vendor("a", 250, between(5, 9, 0.1, 0.85)), Vendor("b", 400, always(0.85))),
    ),
    Scenario("the operator was right", 500, (Vendor("a", 250, always(0.85)), Vendor("b", 400, always(0.85)))),
    Scenario("few people, the second is cheaper", 20, (Vendor("a", 450, always(0.85)), Vendor("b", 250, always(0.8)))),
)


class SimulatedLedger:
    """Sends in the order of their moments, counted as `Conversion.of` counts them."""

    def __init__(self) -> None:
        self._at: dict[str, list[datetime]] = {}
        # How many of the first n were entered.
        self._entered: dict[str, list[int]] = {}

    def add(self, gateway: str, at: datetime, entered: bool) -> None:
        self._at.setdefault(gateway, []).append(at)
        before = self._entered.setdefault(gateway, [0])
        before.append(before[-1] + entered)

    async def of(self, since: datetime, until: datetime) -> Figures:
        found = []
        for gateway, moments in self._at.items():
            first, last = bisect_right(moments, since), bisect_right(moments, until)
            entered = self._entered[gateway][last] - self._entered[gateway][first]
            states = {SendState.ACCEPTED: last - first}
            found.append(Converted(gateway, Channel.SMS, COUNTRY, states, entered, 0))
        return Figures(tuple(found), {})


@dataclass
class Outcome:
    """What one run came to; `regret` is the sum at each day's end, in hundredths of a rouble."""

    cost: int = 0
    people: int = 0
    confirmed: int = 0
    sends: int = 0
    regret: list[float] = field(default_factory=list)

    @property
    def each(self) -> float:
        return self.cost / self.confirmed


class Learnt:
    """The bot's own order, from what the ledger holds."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.ledger = SimulatedLedger()
        offers = tuple(Offer(vendor.name, Channel.SMS, vendor.price) for vendor in scenario.vendors)
        self._routes = LearnedRoutes({COUNTRY: offers}, {}, random.Random(f"routes {seed}"), LIFETIME)
        self._by_name = {vendor.name: vendor for vendor in scenario.vendors}
        self._read_at = BEGIN - READ

    async def first(self, now: datetime, day: float) -> Vendor:
        if now - self._read_at >= READ:
            self._read_at = now
            await self._routes.refresh(self.ledger, now)
        return self._by_name[self._routes.offers(COUNTRY, None)[0].gateway]


class Operator:
    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.ledger = SimulatedLedger()
        self._first = scenario.vendors[0]

    async def first(self, now: datetime, day: float) -> Vendor:
        return self._first


class Oracle:
    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.ledger = SimulatedLedger()
        self._vendors = scenario.vendors

    async def first(self, now: datetime, day: float) -> Vendor:
        return best(self._vendors, day)


POLICIES: dict[str, type[Operator | Learnt | Oracle]] = {"operator": Operator, "learnt": Learnt, "oracle": Oracle}


def best(vendors: Sequence[Vendor], day: float) -> Vendor:
    return min(vendors, key=lambda vendor: vendor.price / vendor.conversion(day))


async def run(scenario: Scenario, policy: Operator | Learnt | Oracle, seed: int) -> Outcome:
    chance = random.Random(f"people {seed}")
    outcome, regret = Outcome(), 0.0
    asking: list[tuple[datetime, int]] = []
    pause = timedelta(days=1) / scenario.people
    coming = BEGIN
    while True:
        coming_next = not asking or coming <= asking[0][0]
        now, tries = (coming, 1) if coming_next else asking.pop(0)
        if coming_next:
            coming += pause * chance.expovariate(1)
            outcome.people += 1
        day = (now - BEGIN) / timedelta(days=1)
        while len(outcome.regret) < min(int(day), DAYS):
            outcome.regret.append(regret)
        if day >= DAYS:
            return outcome
        vendor, cheapest = await policy.first(now, day), best(scenario.vendors, day)
        share = vendor.conversion(day)
        entered = chance.random() < share
        policy.ledger.add(vendor.name, now, entered)
        outcome.cost += vendor.price
        outcome.sends += 1
        outcome.confirmed += entered
        regret += vendor.price - share * cheapest.price / cheapest.conversion(day)
        if not entered and tries < TRIES and chance.random() < AGAIN:
            asking.append((now + LATER, tries + 1))


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


async def measure(scenario: Scenario) -> dict[str, list[Outcome]]:
    return {
        name: [await run(scenario, policy(scenario, seed), seed) for seed in SEEDS] for name, policy in POLICIES.items()
    }


def report(scenario: Scenario, outcomes: dict[str, list[Outcome]]) -> None:
    vendors = ", ".join(f"{vendor.name} {vendor.price / 100:.2f}" for vendor in scenario.vendors)
    print(f"\n{scenario.title} ({scenario.people} people a day; prices in the operator's order: {vendors})")
    print(f"  {'':10}{'a confirmed':>12}{'registration':>14}{'confirmed':>11}   regret, roubles, by day")
    days = [day for day in (1, 2, 5, 6, 7, 9, 10, 14) if day <= DAYS]
    print(f"  {'':10}{'roubles':>12}{'of the oracle':>14}{'people':>11}   " + "".join(f"{day:>8}" for day in days))
    oracle = mean([outcome.each for outcome in outcomes["oracle"]])
    for name, runs in outcomes.items():
        each = mean([outcome.each for outcome in runs])
        confirmed = mean([outcome.confirmed / outcome.people for outcome in runs])
        regret = "".join(f"{mean([outcome.regret[day - 1] for outcome in runs]) / 100:>8,.0f}" for day in days)
        print(f"  {name:10}{each / 100:>12.2f}{each / oracle:>13.0%} {confirmed:>11.1%}   {regret}")


def draw(measured: Sequence[tuple[Scenario, dict[str, list[Outcome]]]], path: Path) -> None:
    figure = Figure(figsize=(12, 7), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (scenario, outcomes) in zip(figure.subplots(2, 3).flat, measured, strict=True):
        for name, runs in outcomes.items():
            days = range(DAYS + 1)
            regret = [0.0, *(mean([outcome.regret[day] for outcome in runs]) / 100 for day in range(DAYS))]
            axes.plot(days, regret, color=COLOURS[name], label=name)
        axes.set_title(scenario.title, loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e4e4e0", linewidth=0.8)
        axes.set_xlabel("day")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle("Roubles spent beyond the oracle's. Lower is better.", x=0.01, ha="left", fontsize=13)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the order the bot learns with the operator's and the best.")
    parser.add_argument("--chart", type=Path, help="write a picture of the regret to this file")
    chart: Path | None = parser.parse_args().chart
    measured = [(scenario, asyncio.run(measure(scenario))) for scenario in SCENARIOS]
    for scenario, outcomes in measured:
        report(scenario, outcomes)
    if chart is not None:
        draw(measured, chart)


if __name__ == "__main__":
    main()
