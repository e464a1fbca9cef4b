"""How many updates of a person are remembered beside the conversation: 32, the newest with its answer."""

from __future__ import annotations

import json

from storage.conversations import Conversations
from tests.storage.talking import IRA, conversations

__all__ = ["conversations"]


async def seen(conversations: Conversations, update_id: int) -> str | None:
    async with conversations.open(IRA, update_id) as conversation:
        return conversation.seen


async def test_the_last_32_updates_are_known_and_the_one_before_them_is_not(conversations: Conversations) -> None:
    for update_id in range(100, 133):
        async with conversations.open(IRA, update_id) as conversation:
            assert conversation.seen is None
            await conversation.save(json.dumps({"method": "sendMessage", "chat_id": 7, "text": str(update_id)}))
    assert await seen(conversations, 100) is None
    assert [await seen(conversations, update_id) for update_id in range(101, 132)] == ["older"] * 31
    assert await seen(conversations, 132) == "newest"
