"""Starts of the bot that end by themselves: each forked from a process that has loaded what every start loads.

Fifty of them cost as much as five would from nothing, and run the same `main` in a process of their own.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
from pathlib import Path

from bot.__main__ import main

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["bot.app", "bot.logs", "bot.settings"])


async def start_that_ends(output: Path, settings: dict[str, str], seconds: float = 60) -> tuple[int | None, str]:
    """Run `python -m bot` with these settings alone; returns its exit code, None when it ran still, and all it said."""
    return await asyncio.to_thread(_start, output, settings, seconds)


def _start(output: Path, settings: dict[str, str], seconds: float) -> tuple[int | None, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    process = _SERVER.Process(target=_run, args=(str(output), kept | settings))
    process.start()
    process.join(seconds)
    code = process.exitcode
    process.kill()
    process.join()
    return code, output.read_text()


def _run(output: str, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    said = os.open(output, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(said, stream)
    sys.exit(main([]))
