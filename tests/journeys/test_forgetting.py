"""What the bot forgets by itself, and that nobody is hindered by it."""

from __future__ import annotations

from sqlalchemy import func, select

from storage.tables import applied_updates
from tests.journeys.stage import Stage
from tests.sql import connected


async def remembered(stage: Stage) -> int:
    async with connected(stage.app.stores.database) as connection:
        return int((await connection.execute(select(func.count()).select_from(applied_updates))).scalar_one())


async def test_the_cleanup_forgets_updates_applied_48_hours_ago(stage: Stage) -> None:
    ira = stage.someone()
    await ira.registers()
    stage.clock.move(hours=47)
    await stage.app.jobs.cleanup()
    assert await remembered(stage) > 0
    stage.clock.move(hours=2)
    await stage.app.jobs.cleanup()
    assert await remembered(stage) == 0
    await ira.says("/start")
    ira.expects("registration-done")
