from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.ports import free_port

ROOT = Path(__file__).parents[2]
START_WITHIN = 60


class Process:
    """One `python -m bot`, by environment alone."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    async def ends(self) -> tuple[int, list[str], str]:
        """Return the exit code, the lines on stderr and what stdout holds."""
        out, err = await asyncio.wait_for(self.process.communicate(), START_WITHIN)
        assert self.process.returncode is not None
        return self.process.returncode, err.decode().splitlines(), out.decode()

    async def is_ready(self) -> None:
        async with aiohttp.ClientSession() as session, asyncio.timeout(START_WITHIN):
            while self.process.returncode is None:
                try:
                    async with session.get(f"http://127.0.0.1:{self.port}/healthz") as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.05)
        raise AssertionError((await self.process.communicate())[1].decode())


Start = Callable[..., Awaitable[Process]]


@asynccontextmanager
async def starting(data_dir: Path) -> AsyncIterator[Start]:
    started: list[Process] = []

    async def start(*arguments: str, **environment: str) -> Process:
        port = int(environment.get("HTTP_PORT", free_port()))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bot",
            *arguments,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "DATA_DIR": str(data_dir), "HTTP_PORT": str(port)} | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        started.append(Process(process, port))
        return started[-1]

    yield start
    for one in started:
        if one.process.returncode is None:
            one.process.kill()
            await one.process.communicate()


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    async with starting(tmp_path / "data") as made:
        yield made


def errors(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("error: ")]


async def test_migrate_makes_the_tables_and_may_be_repeated(start: Start, tmp_path: Path) -> None:
    for _ in range(2):
        code, lines, _ = await (await start("migrate")).ends()
        assert (code, errors(lines)) == (0, [])
    assert (tmp_path / "data" / "bot.db").stat().st_size > 0


async def test_migrate_without_a_database_is_one_line(start: Start) -> None:
    url = f"postgresql://bot:hunter2@127.0.0.1:{free_port()}/bot"
    code, lines, _ = await (await start("migrate", DATABASE_URL=url, SECRET_KEY="s" * 32)).ends()
    assert code == 1
    (line,) = errors(lines)
    assert line.startswith("error: DATABASE_URL: ")
    assert "hunter2" not in "".join(lines)
    assert "Traceback" not in "".join(lines)


async def test_an_unknown_command_is_refused(start: Start) -> None:
    code, lines, _ = await (await start("fly")).ends()
    assert code == 2
    assert "fly" in lines[-1]


async def test_it_serves_says_so_and_ends_within_five_seconds(start: Start) -> None:
    bot = await start()
    await bot.is_ready()
    bot.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(5):
        code, lines, _ = await bot.ends()
    assert (code, errors(lines)) == (0, [])
    assert all(line.startswith("{") for line in lines), "every line of the log is JSON"


async def test_a_second_process_on_the_same_files_is_refused_in_one_line(start: Start) -> None:
    first = await start()
    await first.is_ready()
    code, lines, _ = await (await start()).ends()
    assert code == 1
    assert len(errors(lines)) == 1
    assert "Traceback" not in "".join(lines)
    assert first.process.returncode is None


async def test_a_port_that_is_taken_is_one_line(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, lines, _ = await (await start(HTTP_PORT=str(taken.getsockname()[1]))).ends()
    assert code == 1
    (line,) = errors(lines)
    assert line.startswith("error: HTTP_PORT: ")
