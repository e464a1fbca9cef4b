"""The help's edit for a later moment is kept once per update, however often the update comes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from aiogram import Bot
from sqlalchemy import select

from bot.schedule import OutboxSchedule
from bot.settings import Settings
from storage.database import Database
from storage.models import UpdateRef
from storage.outbox import Outbox
from storage.tables import outbox as rows_of_outbox
from tests.sql import connected

CHALLENGE = UUID(int=1)
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def bot() -> Bot:
    return Bot("42:" + "a" * 35)


async def test_an_update_that_comes_again_adds_no_second_call(database: Database, bot: Bot) -> None:
    outbox = Outbox(database, Settings().limits())
    schedule = OutboxSchedule(bot, outbox)
    later = NOON + timedelta(seconds=60)
    for update in (UpdateRef(7, 1), UpdateRef(7, 1), UpdateRef(7, 2), UpdateRef(8, 1)):
        await schedule.edit_help(update, 1, CHALLENGE, later)
    assert await outbox.take("me", NOON) == []
    items = await outbox.take("me", later)
    assert sorted((item.kind, item.payload["telegram_id"]) for item in items) == [("help", 7), ("help", 7), ("help", 8)]


async def test_it_belongs_to_its_person_and_so_goes_with_them(database: Database, bot: Bot) -> None:
    outbox = Outbox(database, Settings().limits())
    await OutboxSchedule(bot, outbox).edit_help(UpdateRef(7, 1), 1, CHALLENGE, NOON)
    async with connected(database) as connection:
        rows = await connection.execute(select(rows_of_outbox.c.telegram_id))
        assert rows.scalars().all() == [7]
