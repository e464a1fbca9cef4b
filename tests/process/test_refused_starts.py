"""Why the bot does not start, in one line: a wrong token, no network."""

from __future__ import annotations

from pathlib import Path

from tests.journeys.stage import Outside
from tests.ports import free_port
from tests.process.bot_process import BotProcess


async def errors(tmp_path: Path, **settings: str) -> list[str]:
    """Start, which must fail with exit code 1; return the lines that are errors."""
    code, lines = await BotProcess(tmp_path, DATA_DIR=str(tmp_path / "data"), **settings).fails()
    assert code == 1, lines
    assert not any("Traceback" in line for line in lines)
    return [line for line in lines if line.startswith("error: ")]


async def test_a_wrong_token_is_one_line(outside: Outside, tmp_path: Path) -> None:
    (line,) = await errors(tmp_path, BOT_TOKEN="42:" + "a" * 35, TELEGRAM_API_BASE=outside.api.base_url)
    assert line.startswith("error: BOT_TOKEN: ")
    outside.api.calls.clear()


async def test_no_network_is_one_line(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    (line,) = await errors(tmp_path, BOT_TOKEN="42:" + "a" * 35, TELEGRAM_API_BASE=nobody)
    assert line.startswith("error: TELEGRAM_API_BASE: ")
