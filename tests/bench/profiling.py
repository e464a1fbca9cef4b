"""Where this bot's time goes: the conversation under cProfile, which sees the main thread alone and slows it down."""

from __future__ import annotations

import itertools
import marshal
import os
import signal
from pathlib import Path
from typing import Any

from bot.valkey import Valkey
from tests.bench.contenders import Contender, Place, kinds
from tests.bench.outside import Outside
from tests.bench.people import Crowd, Person

_TOP = 40
# What waits for the network, and does no work.
_WAITING = "<method 'poll' of 'select.epoll' objects>"


async def profile(folder: Path, people: int, seconds: float) -> str:
    """Return the functions with the most time of their own while so many people come for so many seconds."""
    outside, valkey, output = Outside(), Valkey(folder / "valkey"), folder / "profile"
    await outside.start()
    await valkey.start()
    contender = Contender(kinds()["a"], Place(outside.base_url, valkey.url, folder / "a"))
    numbers = itertools.count(1)
    try:
        await contender.start(
            lambda number, door, answers: Person(number, outside, door, answers),
            *("-m", "tests.bench.profiled", str(output)),
        )
        # What is built at first use is built now.
        await Crowd(outside, contender.door, numbers).registers(people, 1.0)
        os.kill(contender.pid, signal.SIGUSR1)
        answers = await Crowd(outside, contender.door, numbers).registers(people, seconds)
        os.kill(contender.pid, signal.SIGUSR2)
    finally:
        await contender.stop()
        await valkey.stop()
        await outside.stop()
    head = f"{len(answers.latencies)} updates of {people} people at once, under cProfile (main thread only)"
    return "\n".join([head, *answers.failures[:5], *_top(output, len(answers.latencies))])


def _top(output: Path, updates: int) -> list[str]:
    """Return a line for each of the hottest functions: microseconds of its own and calls, both for one update."""
    entries: dict[tuple[str, int, str], tuple[Any, ...]] = marshal.loads(output.read_bytes())
    working = {place: entry for place, entry in entries.items() if place[2] != _WAITING}
    whole = sum(entry[2] for entry in working.values())
    hottest = sorted(working.items(), key=lambda item: item[1][2], reverse=True)[:_TOP]
    lines = [
        f"{whole / updates * 1e6:,.0f} us/update in all, waiting left out",
        f"{'own us':>8}{'share':>7}{'calls':>8}  function (figures for one update)",
    ]
    for (file, line, name), (_, calls, own, _, _) in hottest:
        where = name if file == "~" else f"{'/'.join(Path(file).parts[-2:])}:{line} {name}"
        lines.append(f"{own / updates * 1e6:8.1f}{own / whole:7.1%}{calls / updates:8.1f}  {where[:74]}")
    return lines
