"""The flood guard's counting, and what it leaves of a conversation."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.conversations import Conversations
from storage.limits import Window
from storage.pace import Pace, TooFast
from tests.storage.talking import IRA, REPLY, conversations, say

__all__ = ["conversations"]

LIMIT = Window(3, timedelta(seconds=10))
SLOWER = '{"method":"sendMessage","chat_id":7,"text":"Не так быстро"}'


def played(*moments: int, limit: Window = LIMIT) -> list[str]:
    """Return what became of updates at these moments (ms): taken, or the seconds to wait, or silence."""
    stored, found = "", []
    for moment in moments:
        pace = Pace(stored, moment)
        try:
            pace.take(limit)
            found.append("taken")
        except TooFast as flood:
            found.append("silence" if flood.told else f"{flood.retry_in} s")
        stored = pace.dump()
    return found


def test_the_limit_is_taken_and_the_next_is_told_to_wait() -> None:
    assert played(0, 0, 0, 0, 1, 9_999) == ["taken"] * 3 + ["10 s", "silence", "silence"]


def test_after_the_told_time_the_first_is_taken() -> None:
    assert played(0, 100, 200, 300, 10_299, 10_300) == ["taken"] * 3 + ["10 s", "silence", "taken"]


def test_the_window_slides() -> None:
    assert played(0, 4_000, 8_000, 10_000, 12_000, 14_000) == ["taken", "taken", "taken", "taken", "2 s", "taken"]


def test_who_goes_on_is_told_again_after_the_time_they_were_told() -> None:
    assert played(0, 0, 0, 5_000, 6_000, 10_000, 10_000, 10_000, 10_000) == [
        *["taken"] * 3, "5 s", "silence", *["taken"] * 3, "10 s",
    ]  # fmt: skip


def test_a_clock_that_went_back_closes_nobody_out_for_long() -> None:
    assert played(50_000, 50_000, 50_000, 0, 0) == ["taken"] * 5


def test_a_smaller_limit_after_a_restart_counts_at_once() -> None:
    stored = Pace("", 0)
    for _ in range(3):
        stored.take(LIMIT)
    with pytest.raises(TooFast):
        Pace(stored.dump(), 10).take(Window(2, timedelta(seconds=10)))


@given(st.lists(st.integers(0, 3_000), max_size=80))
def test_never_more_than_the_limit_in_any_window_and_never_refused_without_a_reason(pauses: list[int]) -> None:
    moments = [sum(pauses[: n + 1]) for n in range(len(pauses))]
    outcome = dict(enumerate(played(*moments)))
    taken = [moments[n] for n, result in outcome.items() if result == "taken"]
    for first, fourth in zip(taken, taken[3:], strict=False):
        assert fourth - first >= 10_000
    closed = 0
    for n, result in outcome.items():
        assert (result == "silence") == (moments[n] < closed)
        if result.endswith(" s"):
            assert sum(moments[n] - 10_000 < moment <= moments[n] for moment in taken) >= 3
            closed = moments[n] + int(result.split()[0]) * 1000


async def test_what_is_refused_is_remembered_and_changes_nothing(conversations: Conversations) -> None:
    await say(conversations, 1, n=1)
    for update_id, reply in ((2, SLOWER), (3, None)):
        async with conversations.open(IRA, update_id) as conversation:
            conversation.step = "phone"
            conversation.data["n"] = 100
            await conversation.refuse(reply)
    async with conversations.open(IRA, 3) as conversation:
        assert (conversation.seen, conversation.kept_reply) == ("newest", None)
        assert (conversation.step, conversation.data) == ("email", {"n": 1})
    async with conversations.open(IRA, 1) as conversation:
        assert conversation.seen == "older"


async def test_the_answer_to_the_refused_is_kept(conversations: Conversations) -> None:
    async with conversations.open(IRA, 1) as conversation:
        await conversation.refuse(SLOWER)
    async with conversations.open(IRA, 1) as conversation:
        assert (conversation.seen, conversation.kept_reply) == ("newest", SLOWER)
        # No step was computed, so there is none to go on from.
        assert not conversation.existed


async def test_only_what_is_saved_counts(conversations: Conversations) -> None:
    for _ in range(5):
        # The same update again and again, as while SQL is away.
        async with conversations.open(IRA, 1) as conversation:
            conversation.pace.take(LIMIT)
    for update_id in range(3):
        async with conversations.open(IRA, update_id) as conversation:
            conversation.pace.take(LIMIT)
            await conversation.save(REPLY)
    async with conversations.open(IRA, 3) as conversation:
        with pytest.raises(TooFast) as flood:
            conversation.pace.take(LIMIT)
        assert flood.value.retry_in == 10
