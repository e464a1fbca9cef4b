"""Two people who talk to the bot, the store of what they say, and an update that is handled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from aiogram.fsm.storage.base import StorageKey

from storage.conversations import Conversations
from storage.redis import Client

IRA = StorageKey(bot_id=1, chat_id=7, user_id=7)
OLEG = StorageKey(bot_id=1, chat_id=8, user_id=8)
REPLY = '{"method":"sendMessage","chat_id":7,"text":"Ваш адрес?"}'


@pytest_asyncio.fixture
async def conversations(any_redis: Client) -> AsyncIterator[Conversations]:
    store = Conversations(any_redis)
    yield store
    await store.close()


async def say(store: Conversations, update_id: int, *, key: StorageKey = IRA, **data: Any) -> None:
    async with store.open(key, update_id) as conversation:
        conversation.step = "email"
        conversation.data.update(data)
        await conversation.save(REPLY)
