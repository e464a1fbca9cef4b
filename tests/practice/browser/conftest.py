"""The practice page in Chromium, as people meet it: the bot as a process of its own, one for all these tests."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser, expect

from tests.numbers import mobile
from tests.practice.browser.chromium import INSTALL, chromium, path_of_chromium
from tests.practice.browser.visitor import Visitor
from tests.process.bot_process import BotProcess

# Milliseconds: a loaded machine takes its time, and what never comes is still found out.
expect.set_options(timeout=20_000)

# A mistake an operator may make: Telegram refuses a button with such an address, so /help is never answered.
BROKEN = {"VIDEO_URL": "https://intranet/video"}

HERE = Path(__file__).parent
NOT_RUN = pytest.StashKey[int]()

_numbers = itertools.count(1)

WIDE = {"width": 1360, "height": 850}

Visits = Callable[..., Awaitable[Visitor]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave these tests out, and count them, where there is no Chromium."""
    if path_of_chromium() is not None:
        return
    away = [item for item in items if item.path.is_relative_to(HERE)]
    items[:] = [item for item in items if not item.path.is_relative_to(HERE)]
    config.stash[NOT_RUN] = len(away)
    config.hook.pytest_deselected(items=away)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was not run and why, in one line."""
    if count := config.stash.get(NOT_RUN, 0):
        terminalreporter.write_line(f"{count} tests of the practice page were not run: {INSTALL}", yellow=True)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests; each page has a context of its own."""
    async with chromium() as running:
        yield running


@pytest.fixture(scope="session")
async def practice(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The bot without a token; returns the address of its page."""
    folder = tmp_path_factory.mktemp("practice")
    async with BotProcess(folder, DATA_DIR=str(folder / "data"), PRODUCT_NAME="Smarty CRM", **BROKEN) as bot:
        yield f"http://127.0.0.1:{bot.port}/"


async def newcomer(address: str, language: str) -> tuple[int, str]:
    """Add somebody nobody has met yet; returns their id and number."""
    number = next(_numbers)
    phone = mobile(number, "916" if language == "ru" else "903")
    order: dict[str, object] = {"act": "add_person", "name": f"Person {number}", "language": language, "phone": phone}
    async with aiohttp.ClientSession() as session:
        order["person"] = await first_person(session, address)
        headers = {"X-Practice": "1"}
        async with session.post(f"{address}practice/act", json=order, headers=headers) as response:
            answer = await response.json()
            assert response.status == 200, answer
    return int(answer["person"]), phone


async def first_person(session: aiohttp.ClientSession, address: str) -> int:
    """Return the id of the person the page opens with."""
    async with asyncio.timeout(10), session.get(f"{address}practice/events") as stream:
        async for line in stream.content:
            if line.startswith(b"data:"):
                return int(line.split(b'"person":')[1].split(b",")[0])
    raise AssertionError("the stream told nothing")


@pytest.fixture
async def visits(browser: Browser, practice: str) -> AsyncIterator[Visits]:
    """Open the page as a newcomer: `await visits("en", viewport=...)`. No trouble in the browser is tolerated."""
    visitors: list[Visitor] = []
    async with AsyncExitStack() as stack:

        async def visit(language: str = "ru", **options: object) -> Visitor:
            context = await browser.new_context(**{"viewport": WIDE, **options})  # type: ignore[arg-type]
            stack.push_async_callback(context.close)
            context.set_default_timeout(10_000)
            visitor = Visitor(await context.new_page(), practice, language)
            visitors.append(visitor)
            person, visitor.phone = await newcomer(practice, language)
            await visitor.opens(person)
            return visitor

        yield visit
        assert [visitor.troubles for visitor in visitors if visitor.troubles] == []
        assert [visitor.foreign for visitor in visitors if visitor.foreign] == []
