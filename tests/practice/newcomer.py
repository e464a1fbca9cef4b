"""How long a newcomer waits: clone, set up, start, register. `python -m tests.practice.newcomer` prints where it goes.

The committed tree is cloned into a folder that is deleted afterwards; packages come from wherever pip takes them here.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Iterator
from pathlib import Path

import aiohttp

from tests.ports import free_port
from tests.practice.page_client import IRA, Page

ROOT = Path(__file__).parents[2]
# What `make run` says when a phase begins, and what the phase is called here.
PHASES = {
    "[1/3]": "making .venv",
    "[2/3]": "installing what the bot needs",
    "[3/3]": "installing the bot and starting it",
    "Practice mode": "registering by contact and code",
}
# Seconds; nobody waits longer for a set-up.
LONGEST = 900


class Stopwatch:
    """Seconds by phase; the next one begins where the last ends."""

    def __init__(self) -> None:
        self._began: list[tuple[str, float]] = []

    def begins(self, phase: str) -> None:
        """End the phase under way and begin this one."""
        self._began.append((phase, time.perf_counter()))

    def lines(self) -> Iterator[str]:
        """Tell each phase and the whole, once the last is over."""
        ends = [moment for _, moment in self._began[1:]]
        for (phase, began), end in zip(self._began, ends, strict=False):
            yield f"{end - began:7.1f} s  {phase}"
        yield f"{ends[-1] - self._began[0][1]:7.1f} s  from git clone to a registered person"


async def run(watch: Stopwatch, folder: Path) -> None:
    """Clone into `folder`, `make run` there, register one person, end it."""
    watch.begins("git clone")
    clone = await asyncio.create_subprocess_exec("git", "clone", "--quiet", str(ROOT), str(folder))
    assert await clone.wait() == 0
    port = free_port()
    watch.begins("finding Python")
    # Of its own group, which is ended as Ctrl-C in a terminal ends it.
    make = await asyncio.create_subprocess_exec(
        "make", "run", cwd=folder, env=os.environ | {"HTTP_PORT": str(port)}, stdout=PIPE, stderr=STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        await until_it_practises(make, watch)
        await register(f"http://127.0.0.1:{port}")
        watch.begins("end")
    finally:
        os.killpg(make.pid, signal.SIGINT)
        await make.wait()


async def until_it_practises(make: Process, watch: Stopwatch) -> None:
    """Read what `make run` says until the page can be opened."""
    assert make.stdout is not None
    async for line in make.stdout:
        said = next((start for start in PHASES if line.decode().startswith(start)), None)
        if said is not None:
            watch.begins(PHASES[said])
        if said == "Practice mode":
            return
    raise AssertionError("`make run` ended")


async def register(address: str) -> None:
    """Do what a person at the page does, without the time they take to read."""
    async with aiohttp.ClientSession(address) as http:
        page = Page(http, IRA)
        listening = asyncio.create_task(page.listen())
        await page.until(lambda: page.state)
        await page.reaches_phone("ira@example.org")
        await page.act("contact")
        await page.says("registration-code-prompt")
        await page.act("send", text=await page.code())
        await page.says("registration-done")
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def main() -> None:
    """Measure and print."""
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(prefix="newcomer-") as folder:
        async with asyncio.timeout(LONGEST):
            await run(watch, Path(folder) / "bot")
        for line in watch.lines():
            print(line)


if __name__ == "__main__":
    asyncio.run(main())
