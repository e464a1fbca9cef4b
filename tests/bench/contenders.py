"""The contenders as processes: how each is started, and what the kernel says of it."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from locales import Texts
from tests.bench.people import Answers, Door, JourneyFailed, Person
from tests.bench.wire import HOST, Line
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
_SECRET = "a-webhook-secret-of-forty-characters-ok-"
# Everything else of the environment stays outside: a developer's own settings must not reach the processes.
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
_STARTS_WITHIN = 60.0
_STOPS_WITHIN = 15.0
_TICK = 1 / os.sysconf("SC_CLK_TCK")

_people = itertools.count(90_000_000)


@dataclass(frozen=True)
class Place:
    """What a contender is told of the world around it."""

    api: str
    redis: str
    folder: Path


@dataclass(frozen=True)
class Kind:
    """One contender: what is run, and what it answers (a piece of the text for each of the five steps)."""

    key: str
    title: str
    module: str
    path: str
    expected: tuple[str, ...]
    by_sms: bool
    settings: Callable[[Place, int], dict[str, str]]
    # The same as another one but for its database: what it does is counted there.
    races_only: bool = False

    @property
    def token(self) -> str:
        """Its bot token, by which the fake Bot API tells contenders apart."""
        return f"{1000 + ord(self.key)}:bench-{self.key}"


def _own_settings(place: Place, port: int) -> dict[str, str]:
    return {
        "TELEGRAM_API_BASE": place.api, "WEBHOOK_URL": f"http://{HOST}:{port}", "HTTP_PORT": str(port),
        "SMS_GATEWAYS": "smsc", "SMSC_BASE_URL": place.api, "SMSC_LOGIN": "shop", "SMSC_PASSWORD": "secret-word",
        "DAILY_BUDGET": "1000000000", "DATA_DIR": str(place.folder), "REDIS_URL": place.redis,
        "SECRET_KEY": "a secret of the bench, long enough", "TERMS_STYLE": "button",
    }  # fmt: skip


def _other_settings(place: Place, port: int) -> dict[str, str]:
    return {
        "TELEGRAM_API_BASE": place.api, "REDIS_URL": place.redis, "PORT": str(port),
        "DATABASE": str(place.folder / "stock.db"),
    }  # fmt: skip


def _own_texts() -> tuple[str, ...]:
    """Return the longest piece without a placeholder of each step's text, taken from the Russian catalogue."""
    keys = ("email-prompt", "terms-prompt", "phone-prompt", "code-prompt", "done")
    texts = (Texts().template("ru", f"registration-{key}") for key in keys)
    return tuple(max((piece.split("}")[-1].strip() for piece in text.split("{")), key=len) for text in texts)


def _stock_with_wal(place: Place, port: int) -> dict[str, str]:
    return {**_other_settings(place, port), "STOCK_WAL": "1"}


_STOCK_TEXTS = ("адрес электронной почты", "условия использования", "напишите номер", "шесть цифр", "завершена")
_FLOOR_TEXTS = ("адрес электронной почты", "условия использования", "напишите номер", "код", "завершена")


def kinds() -> dict[str, Kind]:
    """Return the contenders by their letter."""
    found = (
        Kind("a", "this bot", "bot", "/telegram", _own_texts(), True, _own_settings),
        Kind("b", "stock aiogram", "tests.bench.stock", "/webhook", _STOCK_TEXTS, False, _other_settings),
        Kind("d", "stock, WAL", "tests.bench.stock", "/webhook", _STOCK_TEXTS, False, _stock_with_wal, races_only=True),
        Kind("c", "floor", "tests.bench.floor", "/webhook", _FLOOR_TEXTS, False, _other_settings),
    )
    return {kind.key: kind for kind in found}


class Contender:
    """One process of a kind; may be started again on the same folder."""

    def __init__(self, kind: Kind, place: Place) -> None:
        self.kind = kind
        self._place = place
        self._port = free_port()
        self._process: asyncio.subprocess.Process | None = None
        place.folder.mkdir(parents=True, exist_ok=True)

    @property
    def door(self) -> Door:
        """Where it takes updates."""
        header = f"X-Telegram-Bot-Api-Secret-Token: {_SECRET}\r\n"
        return Door(self._port, self.kind.path, header, self.kind.expected, self.kind.by_sms)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    async def start(self, person: Callable[[int, Door, Answers], Person], *before: str) -> float:
        """Start it, with these arguments before the module's name; return the seconds until it answered a /start.

        Raises JourneyFailed with the end of its log when it does not.
        """
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment |= {"BOT_TOKEN": self.kind.token, "WEBHOOK_SECRET": _SECRET}
        environment |= self.kind.settings(self._place, self._port)
        began = time.perf_counter()
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, *(before or ("-m",)), self.kind.module),
                cwd=ROOT, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            async with asyncio.timeout(_STARTS_WITHIN):
                line = await self._until_it_listens()
                await person(next(_people), self.door, Answers()).starts(line)
        except (TimeoutError, JourneyFailed) as error:
            raise JourneyFailed(f"{self.kind.title} does not start: {error}\n{self._last_words()}") from error
        line.close()
        return time.perf_counter() - began

    async def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL when that takes too long."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOPS_WITHIN):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def cpu(self) -> float:
        """Return the seconds of processor time it has used, all threads, in the kernel's ticks of usually 10 ms."""
        return cpu_seconds(self.pid)

    def memory(self, name: str) -> float:
        """Return a line of /proc/<pid>/status in megabytes: VmRSS (now) or VmHWM (at most so far)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
        raise LookupError(name)

    async def _until_it_listens(self) -> Line:
        assert self._process is not None
        while self._process.returncode is None:
            try:
                return await Line.open(self._port)
            except OSError:
                # Nothing tells when another process begins to listen; this pause bounds the error of the figure.
                await asyncio.sleep(0.01)
        raise JourneyFailed(f"it ended with code {self._process.returncode}")

    @property
    def _log(self) -> Path:
        return self._place.folder / "process.log"

    def _last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])


def cpu_seconds(pid: int) -> float:
    """Return the seconds of processor time a process has used, all threads (proc(5): stat, utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * _TICK
