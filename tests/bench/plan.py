"""How much is measured, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.bench.counting import Counted
from tests.bench.racing import Race


@dataclass(frozen=True)
class Plan:
    """How much is measured. Durations in seconds; `within` ends it all, and the defaults fit into it on slow cores."""

    contenders: tuple[str, ...] = ("a", "b", "d", "c")
    people: tuple[int, ...] = (16, 200)
    rounds: int = 3
    seconds: float = 5.0
    think: float = 0.0
    starts: int = 3
    counted_journeys: int = 6
    conversations: tuple[int, ...] = (10_000, 100_000)
    conversations_within: float = 200.0
    within: float = 600.0
    chart: Path | None = Path("bench.png")

    def quick(self) -> Plan:
        """Return the plan for a first look: a minute and a half."""
        return replace(
            self, rounds=1, seconds=3.0, starts=1, counted_journeys=2, conversations=(2_000, 10_000),
            conversations_within=30.0, within=180.0,
        )  # fmt: skip


@dataclass
class Contest:
    """What one contender has shown. Seconds and megabytes."""

    title: str
    race: Race = field(default_factory=Race)
    counted: Counted | None = None
    first_start: float = 0.0
    starts: list[float] = field(default_factory=list)
    peak: float = 0.0


@dataclass
class Memory:
    """This bot's process and store while conversations pile up: bytes for each, then (conversations, MB) in order."""

    record: float = 0.0
    resident: list[tuple[int, float]] = field(default_factory=list)


@dataclass
class Results:
    """Everything measured, by the contender's letter; `failures` is empty when every journey finished."""

    plan: Plan
    contests: dict[str, Contest]
    memory: Memory | None = None
    failures: list[str] = field(default_factory=list)
    took: float = 0.0
