"""The line in front of a conversation within one process."""

from __future__ import annotations

import asyncio

import pytest

from storage.turns import Turns


async def in_line(turns: Turns, key: str, name: int, done: list[int]) -> None:
    await turns.take(key)
    await asyncio.sleep(0)
    done.append(name)
    turns.give(key)


async def test_first_come_first_served_and_nothing_is_kept() -> None:
    turns, done = Turns(), list[int]()
    await asyncio.gather(*(in_line(turns, "a", name, done) for name in range(20)))
    assert done == list(range(20))
    assert not turns


async def test_another_key_has_a_line_of_its_own() -> None:
    turns = Turns()
    await turns.take("a")
    await asyncio.wait_for(turns.take("b"), 1)
    assert turns


async def test_who_is_cancelled_leaves_the_line() -> None:
    turns, done = Turns(), list[int]()
    await turns.take("a")
    tasks = [asyncio.create_task(in_line(turns, "a", name, done)) for name in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[1].cancel()
    turns.give("a")
    await asyncio.gather(*tasks, return_exceptions=True)
    assert done == [2]
    assert not turns


async def test_a_turn_that_came_in_the_moment_of_the_cancellation_goes_on_to_the_next() -> None:
    turns, done = Turns(), list[int]()
    await turns.take("a")
    first = asyncio.create_task(in_line(turns, "a", 1, done))
    second = asyncio.create_task(in_line(turns, "a", 2, done))
    await asyncio.sleep(0)
    turns.give("a")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await asyncio.wait_for(second, 1)
    assert done == [2]
    assert not turns
