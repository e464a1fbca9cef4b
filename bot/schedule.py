"""What is to be said at a later moment: kept in the outbox, so that a restart loses none."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from aiogram import Bot
from aiogram.methods import SendMessage

from storage.models import UpdateRef
from storage.outbox import HELP, Outbox


class OutboxSchedule:
    """Implements `handlers.ports.Schedule`."""

    def __init__(self, bot: Bot, outbox: Outbox) -> None:
        self._bot = bot
        self._outbox = outbox

    async def say_now(self, call: SendMessage) -> int:
        """Send a message by HTTP and return its id, for a later edit of it."""
        return (await self._bot(call)).message_id

    async def edit_help(self, update: UpdateRef, message_id: int, challenge_id: UUID, run_at: datetime) -> None:
        """Bring this help message up to date at `run_at`, once per update."""
        payload = {"telegram_id": update.telegram_id, "message_id": message_id, "challenge_id": challenge_id.hex}
        dedupe = f"help:{update.telegram_id}:{update.update_id}"
        await self._outbox.put(HELP, payload, run_at, telegram_id=update.telegram_id, dedupe=dedupe)
