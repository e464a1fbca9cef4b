"""The results as text, in 100 columns: the headline first, then the steps, then memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.bench.counting import Counted
from tests.bench.people import STEPS
from tests.bench.plan import Contest, Memory, Results
from tests.bench.racing import percentile


@dataclass(frozen=True)
class Target:
    """What is wanted of this bot: at most so much of another contender, or (`of` is None) at most so much at all."""

    most: float
    of: str | None
    unit: str = ""

    @property
    def words(self) -> str:
        return f"{self.of} <= {self.most:g}{self.unit}" if self.of else f"<= {self.most:g}{self.unit}"


@dataclass(frozen=True)
class Row:
    """One figure of all contenders; None where it was not measured."""

    name: str
    value: Callable[[Contest], float | None]
    format: str
    targets: tuple[Target, ...] = ()
    ratios: bool = True


def render(results: Results) -> str:
    """Return the whole report."""
    parts = ["\n".join(_failures(results)), _table(results)]
    own = results.contests.get("a")
    if own and own.counted:
        parts.append(_steps(own.counted))
    if own and own.race.rounds:
        parts.append(_codes(own))
    if results.memory:
        parts.append(_memory(results.memory))
    parts.append(_notes(results))
    return "\n\n".join(part for part in parts if part)


def _failures(results: Results) -> Iterator[str]:
    if results.failures:
        yield f"{len(results.failures)} FAILURES"
        yield from (f"  {failure}" for failure in results.failures[:10])


def rows(results: Results) -> list[Row]:
    """Return the figures of the headline table."""
    found = []
    for n in results.plan.people:
        cpu = (Target(0.20, "a/b"), Target(0.12, "a/b"), Target(2.5, "a/c")) if n == results.plan.people[0] else ()
        found += [
            Row(f"updates/s, {n} people", _raced(n, "per_second"), ",.0f"),
            Row(f"CPU us/update, {n} people", _raced(n, "cpu"), ",.0f", cpu),
            Row(f"p50 ms, {n} people", _raced(n, "p50"), ",.1f"),
            Row(f"p99 ms, {n} people", _raced(n, "p99"), ",.1f", (Target(0.10, "a/b"),)),
        ]
    first = results.plan.people[0]
    return [
        *found,
        Row(f"Valkey's CPU us/update, {first} people", _raced(first, "store_cpu"), ",.0f"),
        Row("Redis round trips/update", _counted(lambda c: c.whole.redis.total()), ".1f", (Target(2, None),), False),
        Row("SQL statements/update", _counted(lambda c: c.whole.statements + c.whole.courier_statements), ".1f"),
        Row("SQL transactions/update", _counted(lambda c: c.whole.transactions + c.whole.courier_transactions), ".1f"),
        Row("outgoing calls/update", _counted(lambda c: c.whole.calls.total()), ".1f"),
        Row("peak memory MB", lambda c: c.peak or None, ",.0f", (Target(110, None, " MB"),)),
        Row("start to first answer s", _start, ".2f", (Target(2, None, " s"),)),
        Row("the very first start s", lambda c: c.first_start or None, ".2f"),
    ]


def _raced(people: int, name: str) -> Callable[[Contest], float | None]:
    def value(contest: Contest) -> float | None:
        if people not in contest.race.rounds:
            return None
        return contest.race.median(people, lambda result: float(getattr(result, name)))

    return value


def _counted(value: Callable[[Counted], int]) -> Callable[[Contest], float | None]:
    return lambda contest: value(contest.counted) / contest.counted.journeys / len(STEPS) if contest.counted else None


def _start(contest: Contest) -> float | None:
    return sorted(contest.starts)[len(contest.starts) // 2] if contest.starts else None


def _table(results: Results) -> str:
    letters = list(results.contests)
    titles = {key: f"{key} {results.contests[key].title}" for key in letters}
    widths = {key: max(9, len(title) + 1) for key, title in titles.items()}
    head = "".join(f"{title:>{widths[key]}}" for key, title in titles.items())
    ratios = [f"a/{key}" for key in letters if key != "a"] if "a" in letters else []
    lines = [f"{'':32}{head}" + "".join(f"{ratio:>6}" for ratio in ratios)]
    verdicts = []
    for row in rows(results):
        values = {key: row.value(results.contests[key]) for key in letters}
        shown = {key: "-" if value is None else f"{value:{row.format}}" for key, value in values.items()}
        line = f"{row.name:32}" + "".join(f"{shown[key]:>{widths[key]}}" for key in letters)
        own, found = values.get("a"), {}
        for ratio in ratios:
            other = values[ratio[-1]]
            found[ratio] = own / other if own is not None and other else None
            line += f"{found[ratio]:>6.2f}" if row.ratios and found[ratio] is not None else f"{'':>6}"
        lines.append(line.rstrip())
        for target in row.targets:
            reached = found.get(target.of) if target.of else own
            if reached is not None:
                verdict = "reached" if reached <= target.most + 1e-9 else "not reached"
                verdicts.append(f"  {row.name:32} {target.words:14} {reached:8.2f}   {verdict}")
    return "\n".join([*lines, "", "Targets:", *verdicts] if verdicts else lines)


def _steps(counted: Counted) -> str:
    lines = [
        f"Each step of this bot, counted over {counted.journeys} journeys of one person (courier and jobs apart):",
        f"  {'step':8}{'Redis':>7}{'SQL stmts':>11}{'SQL tx':>8}{'courier stmts/tx':>18}   outgoing calls",
    ]
    for step, work in counted.steps.items():
        n = counted.journeys
        calls = ", ".join(f"{count / n:g} {method}" for method, count in sorted(work.calls.items())) or "none"
        courier = f"{work.courier_statements / n:.1f} / {work.courier_transactions / n:.1f}"
        lines.append(
            f"  {step:8}{work.redis.total() / n:>7.1f}{work.statements / n:>11.1f}{work.transactions / n:>8.1f}"
            f"{courier:>18}   {calls}"
        )
    commands = ", ".join(f"{name} {count}" for name, count in counted.whole.redis.most_common())
    return "\n".join([*lines, f"  Redis commands, all steps: {commands}"])


def _codes(contest: Contest) -> str:
    lines = []
    for people in contest.race.rounds:
        if waits := contest.race.codes_after(people):
            p50, p99 = percentile(waits, 50), percentile(waits, 99)
            lines.append(f"The code arrives after, {people} people: p50 {p50:,.0f} ms, p99 {p99:,.0f} ms")
    return "\n".join(lines)


def _memory(memory: Memory) -> str:
    resident = ", ".join(f"{megabytes:.1f} MB after {done:,}" for done, megabytes in memory.resident)
    return "\n".join(
        [
            f"Redis memory of one waiting conversation: {memory.record:,.0f} bytes",
            f"This bot's resident memory: {resident or 'not measured'} conversations",
        ]
    )


def _notes(results: Results) -> str:
    plan = results.plan
    finished = sum(r.finished for c in results.contests.values() for rs in c.race.rounds.values() for r in rs)
    think = f"{plan.think * 1000:.0f} ms after" if plan.think else "at once after"
    return "\n".join(
        [
            f"Medians of {plan.rounds} interleaved round(s) of {plan.seconds:g} s for each crowd and contender.",
            f"{finished:,} registrations finished; people write on {think} the answer.",
            "Redis: commands on the wire, a script is one; SQL, calls: the courier's work and the SMS included.",
            f"Took {results.took:.0f} s.",
        ]
    )
