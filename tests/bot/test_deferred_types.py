"""aiogram's types, built at their first use, are the ones that its own eager loop makes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiogram import Dispatcher, Router
from aiogram.dispatcher.event.handler import CallableObject
from aiogram.fsm.state import State

from handlers.routers import create_routers

ROOT = Path(__file__).parents[2]
WITHIN = 120


async def python(*arguments: str) -> str:
    """Return what another interpreter prints: this one's types are built."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), WITHIN)
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.fixture(scope="module")
async def told() -> tuple[dict[str, Any], dict[str, Any]]:
    """What two processes say of the types: the eager one, the deferred one."""
    eager = await python("-m", "tests.bot.described_types")
    deferred = await python("-m", "tests.bot.described_types", "deferred")
    return json.loads(eager), json.loads(deferred)


def test_the_installed_versions_are_the_known_ones(told: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Otherwise every start is slow: put the new versions into KNOWN when the tests below pass with them."""
    assert [one["deferred"] for one in told] == [False, True]


def test_every_type_and_method_is_the_same(told: tuple[dict[str, Any], dict[str, Any]]) -> None:
    eager, deferred = (one["types"] for one in told)
    assert len(eager) > 600
    assert {"Update", "Message", "SendMessage", "Response"} <= set(eager)
    assert {name for name in {**eager, **deferred} if eager.get(name) != deferred.get(name)} == set()


def test_every_first_use_comes_to_the_same(told: tuple[dict[str, Any], dict[str, Any]]) -> None:
    eager, deferred = (one["uses"] for one in told)
    assert {use: said for use, said in eager.items() if "PydanticUserError" in said} == {}
    assert deferred == eager


LOADED = """
import contextlib
from bot import deferred_types
from pydantic import BaseModel
original = BaseModel.__dict__["model_rebuild"]
{before}
deferred = deferred_types.load_aiogram()
from aiogram.types import ChatFullInfo, Message
assert BaseModel.__dict__["model_rebuild"] is original
print(deferred, Message.__pydantic_complete__, ChatFullInfo.__pydantic_complete__)
"""


@pytest.mark.parametrize(
    ("before", "printed"),
    [
        ("", "True True False"),
        ("deferred_types.KNOWN['aiogram'] = '2.'", "False True True"),
        ("deferred_types.KNOWN['pydantic'] = '3.'", "False True True"),
        # An aiogram without the loop.
        ("deferred_types._recording = lambda: contextlib.nullcontext(([], {}))", "False True True"),
        ("import aiogram", "False True True"),
        ("deferred_types.load_aiogram()", "False True False"),
    ],
)
async def test_what_is_not_known_is_loaded_as_it_loads_itself(before: str, printed: str) -> None:
    assert (await python("-c", LOADED.format(before=before))).split("\n")[0] == printed


def called(router: Router) -> Iterator[CallableObject]:
    for observer in router.observers.values():
        for handler in observer.handlers:
            yield handler
            yield from handler.filters or []
        yield from observer._handler.filters or []
    for inner in router.sub_routers:
        yield from called(inner)


def test_nothing_of_the_conversation_runs_in_a_thread() -> None:
    """Types are built on the loop's thread alone: pydantic builds a type on two threads at once wrongly."""
    dispatcher = Dispatcher()
    dispatcher.include_routers(*create_routers())
    everything = list(called(dispatcher))
    assert len(everything) > 50
    # A bare state as a filter only compares names.
    threaded = [one.callback for one in everything if not one.awaitable and not isinstance(one.callback, State)]
    assert threaded == []
