"""The Redis keys of one person: one hash tag, so one slot of a cluster. Stored names: permanent."""

from __future__ import annotations

from typing import NamedTuple

from aiogram.fsm.storage.base import StorageKey


class PersonKeys(NamedTuple):
    """What is kept of a conversation, and of the lock that guards it."""

    lock: str
    record: str
    waiters: str
    wake: str


# Bot, chat and person, for memory: aiogram's own key makes its hash and compares itself in Python each time.
Whose = tuple[int, int, int]


def whose(key: StorageKey) -> Whose:
    """Return whose conversation it is, as `keys_of` tells them apart."""
    return key.bot_id, key.chat_id, key.user_id


def keys_of(key: StorageKey) -> PersonKeys:
    """Return the keys of the person in the chat with the bot that `key` names."""
    tag = f"{{{key.bot_id}:{key.chat_id}:{key.user_id}}}"
    return PersonKeys(lock=f"lock:{tag}", record=f"talk:{tag}", waiters=f"wait:{tag}", wake=f"wake:{tag}")
