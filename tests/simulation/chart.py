"""The picture: money over the day, honest people who got in, and SMS that attackers got, run beside run."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tests.simulation.people import BY_CODE_TYPED, BY_CONTACT
from tests.simulation.report import completion, share, sms_each
from tests.simulation.running import Result

_COLOURS = ("#2a78d6", "#eb6834", "#8a8a85", "#2f9e6e")


def draw(results: list[Result], path: Path) -> None:
    """Write the chart; the ending of `path` chooses the format."""
    figure = Figure(figsize=(14, 8.6), layout="constrained")
    FigureCanvasAgg(figure)
    spent, people, sms = figure.subplot_mosaic([["spent", "spent"], ["people", "sms"]]).values()
    _spent(spent, results)
    _completion(people, results)
    _attackers(sms, results)
    plan = results[0].plan
    figure.suptitle(
        f"{plan.people:,} honest people, {plan.attack:g} attempts of attackers for each, {plan.lost:.0%} of SMS lost,"
        " one gateway failing a third of the time",
        x=0.01, ha="left", fontsize=13,
    )  # fmt: skip
    figure.savefig(path, dpi=130)


def _spent(axes: Axes, results: list[Result]) -> None:
    plan = results[0].plan
    for result, colour in zip(results, _COLOURS, strict=False):
        hours = [at / 3600 for at, _ in result.books.spent]
        money = [0.0, *(spent / 100 for spent in accumulate(price for _, price in result.books.spent))]
        # What was spent stays spent: to the end of the day.
        axes.plot([0, *hours, plan.hours], [*money, money[-1]], color=colour, linewidth=2, label=result.plan.title)
    axes.axhline(plan.budget / 100, color="#333333", linewidth=1, linestyle="--")
    axes.text(plan.hours, plan.budget / 100, "budget ", ha="right", va="bottom", fontsize=9)
    axes.set_yscale("log")
    axes.set_title("Spent so far, roubles (logarithmic), by hour", loc="left", fontsize=11)
    axes.legend(frameon=False)
    _plain(axes)


def _completion(axes: Axes, results: list[Result]) -> None:
    names, colours = [result.plan.title for result in results], _COLOURS[: len(results)]
    codes = [100 * share(result, BY_CODE_TYPED) for result in results]
    contacts = [100 * share(result, BY_CONTACT) for result in results]
    axes.barh(names, codes, color=colours)
    bars = axes.barh(names, contacts, left=codes, color=colours, alpha=0.45, hatch="///", edgecolor="white")
    told = [f"{100 * completion(result):.1f} %, {sms_each(result):.2f} SMS each" for result in results]
    axes.bar_label(bars, labels=told, padding=3, fontsize=9)
    axes.set_xlim(0, 150)
    axes.set_xticks(range(0, 101, 20))
    axes.invert_yaxis()
    axes.set_title(
        "Honest people who registered, percent; hatched: by the own contact, without a code", loc="left", fontsize=11
    )
    _plain(axes)


def _attackers(axes: Axes, results: list[Result]) -> None:
    under = [(result, colour) for result, colour in zip(results, _COLOURS, strict=False) if result.campaigns]
    height = 0.8 / max(1, len(under))
    for place, (result, colour) in enumerate(under):
        names = [campaign.name for campaign in result.campaigns]
        at = [n + (place - (len(under) - 1) / 2) * height for n in range(len(names))]
        bars = axes.barh(at, [max(1, c.sms) for c in result.campaigns], height * 0.9, color=colour)
        told = [f"{c.sms:,}: {c.cost / 100:,.0f} ours, {c.paid / 100:,.0f} theirs" for c in result.campaigns]
        axes.bar_label(bars, labels=told, padding=3, fontsize=8)
        axes.set_yticks(range(len(names)), names)
    axes.set_xscale("log")
    axes.set_xlim(1, axes.get_xlim()[1] ** 2)
    axes.invert_yaxis()
    axes.set_title("SMS each attacker got (logarithmic) and what they cost", loc="left", fontsize=11)
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.tick_params(left=False, bottom=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", color="#e4e4e0", linewidth=0.8)
    axes.set_axisbelow(True)
