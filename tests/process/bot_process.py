"""The bot as an operator runs it: a process, configured by the environment alone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import TracebackType

import aiohttp

from bot.practice import LocalBotAPI
from tests.ports import free_port

# Everything else of the environment stays outside: a developer's own settings must not reach the process.
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH")


# A death (or a lost store) between a call to Telegram and the commit behind it has the call made twice, and the second
# one is refused with these words: the press was answered already, the box was ticked already.
_SAID_TWICE = ("query is too old", "message is not modified")


def forgive_harmless(api: LocalBotAPI) -> list[str]:
    """Take the refusals of calls that were only made a second time out of the record; returns their descriptions."""
    said_twice = [call for call in api.refusals if any(words in call.description for words in _SAID_TWICE)]
    for call in said_twice:
        api.calls.remove(call)
    return [f"{call.method}: {call.description[:40]}" for call in said_twice]


class BotProcess:
    """`python -m bot` with these settings; may be killed and started again with the same ones."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.port = int(settings.setdefault("HTTP_PORT", str(free_port())))
        self.folder = folder
        self.log = folder / "bot.log"
        self.output = folder / "bot.out"
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._is_up = False
        self._log_of_this_run = 0

    @property
    def alive(self) -> bool:
        """Whether it runs and has answered since its start."""
        return self._is_up and self._process is not None and self._process.returncode is None

    async def start(self, timeout: float = 60) -> None:
        """Start and wait until /healthz answers 200; raises AssertionError with the log when it ends instead."""
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self._log_of_this_run = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as errors, self.output.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bot", env=environment | self._settings, stdout=output, stderr=errors
            )
        async with asyncio.timeout(timeout), aiohttp.ClientSession() as session:
            while not await self._is_healthy(session):
                assert self._process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.1)
        self._is_up = True

    async def _is_healthy(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"http://127.0.0.1:{self.port}/healthz") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    def log_says(self, words: str) -> int:
        """Return how often these words are in the log."""
        return self.log.read_text().count(words)

    def last_said(self, words: str) -> str:
        """Return the moment (ISO 8601) of the newest line with these words since its start, "" when there is none."""
        log = self.log.read_bytes()[self._log_of_this_run :].decode(errors="replace")
        lines = [line for line in log.splitlines() if words in line]
        return str(json.loads(lines[-1])["timestamp"]) if lines else ""

    async def fails(self) -> tuple[int, list[str]]:
        """Run until it ends by itself; returns its exit code and the lines of its stderr."""
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", env=environment | self._settings, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(60):
            _, errors = await process.communicate()
        assert process.returncode is not None
        return process.returncode, errors.decode().splitlines()

    async def kill(self) -> None:
        """End it as a power cut would: SIGKILL."""
        assert self._process is not None
        self._is_up = False
        self._process.kill()
        await self._process.wait()

    async def end(self) -> None:
        """Kill it if it runs."""
        if self._process is not None and self._process.returncode is None:
            await self.kill()

    async def stop(self) -> float:
        """End it with SIGTERM; returns how many seconds that took."""
        assert self._process is not None
        self._is_up = False
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            code = await self._process.wait()
        assert code == 0, self.log.read_text()
        return time.monotonic() - began

    async def __aenter__(self) -> BotProcess:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end()
