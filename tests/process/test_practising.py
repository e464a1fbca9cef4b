"""The practice as a newcomer starts it: nothing configured, a terminal that says what to do, data that stays."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp

from tests.ports import free_port
from tests.practice.page_client import IRA, Page
from tests.process.bot_process import BotProcess
from tests.waiting import until


async def opened(http: aiohttp.ClientSession) -> tuple[Page, asyncio.Task[None]]:
    page = Page(http, IRA)
    listening = asyncio.create_task(page.listen())
    await page.until(lambda: page.state)
    return page, listening


async def closed(listening: asyncio.Task[None]) -> None:
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_it_says_what_to_do_and_then_nothing(tmp_path: Path) -> None:
    async with BotProcess(tmp_path, DATA_DIR=str(tmp_path / "data")) as bot:
        assert bot.output.read_text().splitlines() == [
            "Practice mode: no message leaves this machine.",
            f"  http://127.0.0.1:{bot.port}/",
            "  1. Open this address in a browser.",
            "  2. Press Start in the chat.",
            "  3. The SMS with the code appears beside the chat.",
        ]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{bot.port}") as http:
            page, listening = await opened(http)
            await page.reaches_phone("ira@example.org")
            await page.act("contact")
            await page.says("registration-code-prompt")
            await page.act("send", text=await page.code())
            await page.says("registration-done")
            assert await bot.stop() < 5
            await closed(listening)
        assert len(bot.output.read_text().splitlines()) == 5
        assert bot.log.read_text() == ""
        for name in ("secret_key", "practice.json", "bot.log"):
            assert (tmp_path / "data" / name).stat().st_mode & 0o777 == 0o600
        assert "serving @practice_bot" in (tmp_path / "data" / "bot.log").read_text()


async def test_a_chosen_log_level_means_stderr(tmp_path: Path) -> None:
    async with BotProcess(tmp_path, DATA_DIR=str(tmp_path / "data"), LOG_LEVEL="INFO") as bot:
        assert bot.log_says("BOT_TOKEN is not set") == 1
        assert not (tmp_path / "data" / "bot.log").exists()


def nothing_waits(folder: Path) -> bool:
    """Tell whether the bot has confirmed every update: what it has not, it is told again after its death."""
    return bool(json.loads((folder / "data" / "practice.json").read_text())["updates"] == [])


async def test_killed_in_each_step_and_everything_is_still_there(tmp_path: Path) -> None:
    async with (
        BotProcess(tmp_path, DATA_DIR=str(tmp_path / "data")) as bot,
        aiohttp.ClientSession(f"http://127.0.0.1:{bot.port}") as http,
    ):

        async def again(page: Page, listening: asyncio.Task[None]) -> tuple[Page, asyncio.Task[None]]:
            await until(lambda: nothing_waits(tmp_path))
            await bot.kill()
            await asyncio.gather(listening, return_exceptions=True)
            before = page.state
            await bot.start()
            page, listening = await opened(http)
            for part in ("messages", "keyboard", "people", "phone", "old_buttons"):
                assert page.state[part] == before[part], part
            return page, listening

        page, listening = await opened(http)
        await page.act("start")
        await page.says("registration-email-prompt")
        page, listening = await again(page, listening)
        await page.act("send", text="ira@example.org")
        await page.says("registration-terms-prompt")
        page, listening = await again(page, listening)
        await page.press(page.label("terms-consent"))
        await page.until(lambda: page.heard[-1]["edited"])
        await page.until(lambda: not any(button["busy"] for row in page.heard[-1]["buttons"] for button in row))
        page, listening = await again(page, listening)
        await page.press(page.label("button-register"))
        await page.says("registration-phone-prompt")
        page, listening = await again(page, listening)
        await page.act("contact")
        await page.says("registration-code-prompt")
        code = await page.code()
        page, listening = await again(page, listening)
        await page.act("send", text=code)
        await page.says("registration-done")
        page, listening = await again(page, listening)
        assert len(page.state["phone"]) == 1
        assert [call for call in page.state["calls"] if not call["ok"]] == []
        await closed(listening)


async def test_what_was_said_to_a_dead_bot_is_answered_later(tmp_path: Path) -> None:
    """Killed right after the act was taken: the page shows it, and the bot answers after the next start."""
    async with (
        BotProcess(tmp_path, DATA_DIR=str(tmp_path / "data")) as bot,
        aiohttp.ClientSession(f"http://127.0.0.1:{bot.port}") as http,
    ):
        page, listening = await opened(http)
        for said in range(1, 4):
            await page.act("start")
            await bot.kill()
            await asyncio.gather(listening, return_exceptions=True)
            await bot.start()
            page, listening = await opened(http)
            await page.says("registration-email-prompt")
            await until(lambda: nothing_waits(tmp_path))
            await page.act("sticker")
            await page.until(lambda page=page, said=said: min(len(page.heard), len(page.said)) >= 2 * said)  # type: ignore[misc]
            assert len(page.said) == 2 * said
        assert [call for call in page.state["calls"] if not call["ok"]] == []
        await closed(listening)


async def test_ctrl_c_in_a_terminal_ends_it_quietly(tmp_path: Path) -> None:
    """A terminal signals the whole group, the embedded store included."""
    folder = tmp_path / "data"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", start_new_session=True,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(folder), "HTTP_PORT": str(free_port())},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert (await process.stdout.readline()).startswith(b"Practice mode")
    os.killpg(process.pid, signal.SIGINT)
    async with asyncio.timeout(5):
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


async def test_a_taken_port_and_a_useless_folder_are_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, lines = await BotProcess(tmp_path, DATA_DIR=str(tmp_path / "data"), HTTP_PORT=port).fails()
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith(f"error: HTTP_PORT: 127.0.0.1:{port} cannot be used")
    (tmp_path / "file").touch()
    code, lines = await BotProcess(tmp_path, DATA_DIR=str(tmp_path / "file")).fails()
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith("error: DATA_DIR: ")
    (tmp_path / "odd" / "practice.json").mkdir(parents=True)
    code, lines = await BotProcess(tmp_path, DATA_DIR=str(tmp_path / "odd")).fails()
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith("error: DATA_DIR: ")
