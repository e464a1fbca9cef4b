"""`python -m bot doctor` as an operator runs it: before the first start, beside a serving bot, when all is wrong."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from tests.journeys.stage import Outside
from tests.ports import free_port
from tests.process.conftest import bot_process

ROOT = Path(__file__).parents[2]
# Seconds: five for the looks, the rest for loading on a machine that is busy.
WITHIN = 40


async def doctor(**settings: str) -> tuple[int, list[str]]:
    """Return the exit code and the lines; nothing may be on stderr."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "doctor", cwd=ROOT, env=kept | settings,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), WITHIN)
    assert err.decode() == ""
    assert process.returncode is not None
    return process.returncode, out.decode().splitlines()


def levels(lines: list[str]) -> dict[str, str]:
    """Return the worst level of each look."""
    order = ("ok", "warning", "bad")
    found: dict[str, str] = {}
    for level, name, _ in (line.split(maxsplit=2) for line in lines):
        found[name] = max(found.get(name, "ok"), level, key=order.index)
    return found


async def test_before_the_first_start(tmp_path: Path) -> None:
    code, lines = await doctor(DATA_DIR=str(tmp_path / "data"))
    assert code == 0, lines
    assert set(levels(lines).values()) == {"ok"}
    assert not (tmp_path / "data" / "bot.db").exists()


async def test_beside_a_practice(tmp_path: Path, outside: Outside) -> None:
    bot = bot_process(outside, "polling", tmp_path)
    for name in ("BOT_TOKEN", "TELEGRAM_API_BASE", "SMS_GATEWAYS"):
        del bot._settings[name]
    async with bot:
        code, lines = await doctor(**bot._settings)
        assert bot.alive
    assert code == 0, lines
    assert set(levels(lines).values()) == {"ok"}
    assert any("the embedded Valkey answers" in line for line in lines)
    assert any("SQLite answers" in line for line in lines)
    outside.api.calls.clear()


@pytest.fixture(params=["embedded", "servers"])
def stores(request: pytest.FixtureRequest) -> dict[str, str]:
    """What is embedded, or servers."""
    if request.param == "embedded":
        return {}
    names = {"DATABASE_URL": "postgresql_url", "REDIS_URL": "redis_url"}
    return {name: str(request.getfixturevalue(fixture)) for name, fixture in names.items()}


async def test_beside_a_serving_bot(outside: Outside, tmp_path: Path, stores: dict[str, str]) -> None:
    bot = bot_process(outside, "webhook", tmp_path, SECRET_KEY="s" * 40, **stores)
    async with bot:
        code, lines = await doctor(**bot._settings)
        assert bot.alive
    found = levels(lines)
    assert (code, found.pop("settings"), found.pop("address")) == (0, "warning", "warning"), lines
    assert set(found.values()) == {"ok"}, lines
    assert any("lets /metrics through" in line for line in lines)
    assert any("WEBHOOK_URL: leads to the bot" in line for line in lines)


async def test_when_everything_is_wrong_it_says_so_in_time_and_without_secrets(tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    secrets = (
        "hidden-password", "a-token-that-nobody-may-see-00000000", "hidden-redis-word",
        "aGlkZGVuIGJ5dGVzIGFuZCBtb3JlIG9mIHRoZW0=", "hidden-mail-word",
    )  # fmt: skip
    began = time.monotonic()
    code, lines = await doctor(
        DATA_DIR=str(tmp_path / "data"),
        SECRET_KEY="s" * 40,
        BOT_TOKEN=f"42:{secrets[1]}",
        TELEGRAM_API_BASE=f"http://{nobody}",
        DATABASE_URL=f"postgresql://bot:{secrets[0]}@{nobody}/bot",
        REDIS_URL=f"redis://:{secrets[2]}@{nobody}/0",
        WEBHOOK_URL=f"https://{nobody}",
        CRM_WEBHOOK_URL=f"http://{nobody}/hook",
        CRM_WEBHOOK_SECRET=f"whsec_{secrets[3]}",
        SMTP_HOST="127.0.0.1",
        SMTP_PORT=nobody.rpartition(":")[2],
        SMTP_USERNAME="bot",
        SMTP_PASSWORD=secrets[4],
        MAIL_FROM="bot@smarty.example",
    )
    assert time.monotonic() - began < WITHIN
    assert code == 1
    found = levels(lines)
    away = {"database", "redis", "token", "webhook", "mail", "crm"}
    assert {name for name, level in found.items() if level == "bad"} == away
    assert {name for name, level in found.items() if level == "ok"} == {"disk"}
    text = "\n".join(lines)
    assert [secret for secret in secrets if secret in text] == []
    assert "Traceback" not in text
    # Each says what to do: a setting or a place to look at.
    bad = [line for line in lines if line.startswith("bad")]
    assert all(";" in line or "cannot be asked for" in line for line in bad), bad


async def test_a_mistyped_setting_is_told_first(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "doctor", cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), "LOG_LEVEL": "LOUD"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), WITHIN)
    assert (process.returncode, out) == (2, b"")
    assert err.decode().startswith("error: LOG_LEVEL: ")
