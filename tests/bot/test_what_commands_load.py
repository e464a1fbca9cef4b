"""What takes long to load is loaded by what needs it alone."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHIN = 60


async def loaded(data_dir: Path, code: int, *arguments: str, **environment: str) -> set[str]:
    """Run `python -m bot` to its end; return the modules it imported."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "importtime", "-m", "bot", *arguments, cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(data_dir), **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, errors = await asyncio.wait_for(process.communicate(), WITHIN)
    lines = errors.decode().splitlines()
    assert process.returncode == code, lines[-3:]
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


async def test_help_loads_nothing_of_the_bot(tmp_path: Path) -> None:
    modules = await loaded(tmp_path, 0, "--help")
    assert {"bot.failures", "argparse"} <= modules
    assert modules.isdisjoint({"pydantic", "sqlalchemy", "aiogram", "aiohttp", "redis", "phonenumbers", "bot.settings"})


@pytest.mark.parametrize("wrong", [{"LOG_LEVEL": "LOUD"}, {"BOT_TOKEN": "x"}, {"DATABASE_URL": "mysql://x"}])
async def test_a_mistyped_setting_is_told_at_once(tmp_path: Path, wrong: dict[str, str]) -> None:
    modules = await loaded(tmp_path, 2, **wrong)
    assert "bot.settings" in modules
    assert modules.isdisjoint({"aiogram", "aiohttp", "sqlalchemy", "redis", "alembic"})


async def test_migrating_loads_no_telegram(tmp_path: Path) -> None:
    modules = await loaded(tmp_path, 0, "migrate")
    assert {"alembic", "sqlalchemy"} <= modules
    assert modules.isdisjoint({"aiogram", "aiohttp", "dns", "sqlalchemy.orm"})
    assert (tmp_path / "bot.db").exists()


SERVED = """
import asyncio, sys
from bot import __main__ as command
from bot.deferred_types import load_aiogram
assert load_aiogram()
from bot.app import running
from bot.settings import load

async def main():
    async with running(load()):
        found = {"alembic", "sqlalchemy.orm", "dns", "asyncpg", "sqlalchemy.dialects.postgresql"} & set(sys.modules)
        found |= {"cryptography.hazmat", "joserfc", "PIL", "matplotlib"} & set(sys.modules)
        from aiogram.types import ChatFullInfo, Update
        print(sorted(found), Update.__pydantic_complete__, ChatFullInfo.__pydantic_complete__)

asyncio.run(main())
"""


@pytest.mark.parametrize("migrated", [True, False], ids=["current", "empty"])
async def test_serving_loads_no_alembic_no_orm_no_dns_and_nothing_of_the_other_database(
    migrated: bool, tmp_path: Path
) -> None:
    """Not even when it makes the tables. And of aiogram's types it builds what it uses."""
    if migrated:
        await loaded(tmp_path, 0, "migrate")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVED, cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), "HTTP_PORT": "0"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await asyncio.wait_for(process.communicate(), WITHIN)
    assert process.returncode == 0, errors.decode()[-2000:]
    assert out.decode().splitlines()[-1] == "[] True False"
