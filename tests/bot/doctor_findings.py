"""What the tests of the doctor share: secrets nobody may see, stores under given settings, and what is expected."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bot.doctor_stores import Stores
from bot.findings import Finding, Level
from bot.settings import Settings
from storage.clock import Clock, SystemClock
from tests.ports import free_port

TOKEN = "123456789:a-token-that-nobody-may-see-0000000"
SECRET = "whsec_" + "dGhlIGZpcnN0IHNlY3JldCBvZiB0aGUgdGVzdHM="
OK, WARNING, BAD = Level.OK, Level.WARNING, Level.BAD


@asynccontextmanager
async def opened(machine: Clock | None = None, **settings: Any) -> AsyncIterator[Stores]:
    stores = Stores(Settings(**settings), machine or SystemClock())
    try:
        yield stores
    finally:
        await stores.close()


def only(found: list[Finding], level: Level, *words: str) -> None:
    assert [finding.level for finding in found] == [level], found
    assert all(word in found[0].says for word in words), found


def nobody() -> str:
    return f"http://127.0.0.1:{free_port()}"
