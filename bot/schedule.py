"""Telegram calls for a later moment: kept in the outbox, so that a restart loses none."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aiogram import Bot
from aiogram.methods import SendMessage, TelegramMethod

from bot.answers import to_answer
from storage.models import UpdateRef
from storage.outbox import Outbox


class TelegramSchedule:
    """Implements `handlers.ports.Schedule`."""

    def __init__(self, bot: Bot, outbox: Outbox) -> None:
        self._bot = bot
        self._outbox = outbox

    async def say_now(self, call: SendMessage) -> int:
        """Send a message by HTTP and return its id, for a later edit of it."""
        return (await self._bot(call)).message_id

    async def call_later(self, update: UpdateRef, call: TelegramMethod[Any], run_at: datetime) -> None:
        """Make this call at `run_at`, once per update, best effort."""
        payload = {"telegram_id": update.telegram_id, "call": to_answer(call, self._bot)}
        dedupe = f"call:{update.telegram_id}:{update.update_id}"
        await self._outbox.put("call", payload, run_at, telegram_id=update.telegram_id, dedupe=dedupe)
