"""Whatever a look of the doctor does: it is bounded, it is a line, and no secret is printed."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Iterator

import pytest

from bot import doctor
from bot.findings import Finding, ok
from bot.settings import Settings
from tests.bot.doctor_findings import BAD, SECRET, TOKEN, only, opened


async def test_a_look_that_hangs_is_bounded(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody holds the file for long, as no bot does; the others are told all the same."""
    monkeypatch.setattr(doctor, "WITHIN", 0.3)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with opened(database_url=sqlite_url) as stores:
        began = asyncio.get_running_loop().time()
        only(await doctor._bounded(stores.database), BAD, "does not answer")
        assert asyncio.get_running_loop().time() - began < 2
        other.execute("ROLLBACK")
        other.close()


async def test_what_a_look_trips_over_is_a_line_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async def trips() -> list[Finding]:
        raise RuntimeError(f"something about {TOKEN}")

    only(await doctor._bounded(trips), BAD, "RuntimeError")


@pytest.fixture
def logging_again() -> Iterator[None]:
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("logging_again")
def test_no_secret_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    url = "postgresql://bot:p%40ss-of-the-bot@127.0.0.1:1/bot"
    settings = Settings(
        bot_token=TOKEN, database_url=url, crm_webhook_secret=SECRET, support_url="https://x.example.org"
    )

    async def tells() -> list[Finding]:
        return [ok(f"{TOKEN} {url} p@ss-of-the-bot {SECRET} ira@example.org +79161234567")]

    monkeypatch.setattr(doctor, "looks_of", lambda *parts: {"one": tells})
    assert doctor.run(settings)
    printed = capsys.readouterr().out
    assert printed.startswith("ok       one        ")
    for secret in (TOKEN, "ss-of-the-bot", SECRET, "ira@", "1234567"):
        assert secret not in printed
