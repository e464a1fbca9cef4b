"""Misbehaviour on demand: what the network and an overloaded server do to a bot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EVERY_METHOD = "*"


@dataclass(frozen=True)
class Fault:
    """What happens to one call; `drop` ends the connection before the effect, `lose` after it."""

    kind: Literal["flood", "fail", "page", "drop", "lose", "delay"]
    method: str
    status: int = 0
    seconds: float = 0


class Faults:
    """Faults waiting for their calls; each strikes once, the oldest that fits first."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault, times: int) -> None:
        """Let the next `times` calls of the fault's method meet it."""
        self._waiting += [fault] * times

    def clear(self) -> None:
        """Forget the faults that have not struck."""
        self._waiting.clear()

    def take(self, method: str) -> Fault | None:
        """Return the fault this call meets. Polls only meet faults that name them."""
        for fault in self._waiting:
            named = fault.method.lower() == method.lower()
            if named or (fault.method == EVERY_METHOD and method.lower() != "getupdates"):
                self._waiting.remove(fault)
                return fault
        return None
