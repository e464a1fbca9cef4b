"""The picture: processor time for an update, and the slowest answers, of each contender."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tests.bench.plan import Results

_COLOURS = {"a": "#2a78d6", "b": "#eb6834", "d": "#f2b48f", "c": "#8a8a85"}


def draw(results: Results, path: Path) -> None:
    """Write the chart; the ending of `path` chooses the format."""
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    cpu, slowest = figure.subplots(1, 2)
    _bars(cpu, results, "cpu", "{:,.0f}")
    cpu.set_title("Processor time for one update, microseconds", loc="left", fontsize=11)
    _bars(slowest, results, "p99", "{:,.0f}")
    slowest.set_title("The slowest answers (p99), milliseconds", loc="left", fontsize=11)
    handles, labels = cpu.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle("Five-step registration, one process, webhook. Lower is better.", x=0.01, ha="left", fontsize=13)
    figure.savefig(path, dpi=150)


def _bars(axes: Axes, results: Results, name: str, label: str) -> None:
    people = results.plan.people
    width = 0.8 / len(results.contests)
    for place, (key, contest) in enumerate(results.contests.items()):
        shown = [(at, n) for at, n in enumerate(people) if n in contest.race.rounds]
        values = [contest.race.median(n, lambda result: float(getattr(result, name))) for _, n in shown]
        at = [at + (place - (len(results.contests) - 1) / 2) * width for at, _ in shown]
        bars = axes.bar(at, values, width * 0.92, color=_COLOURS[key], label=contest.title)
        axes.bar_label(bars, labels=[label.format(value) for value in values], padding=3, fontsize=9)
    axes.set_xticks(range(len(people)), [f"{n} people at once" for n in people])
    axes.margins(y=0.12)
    axes.tick_params(left=False, bottom=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="y", color="#e4e4e0", linewidth=0.8)
    axes.set_axisbelow(True)
