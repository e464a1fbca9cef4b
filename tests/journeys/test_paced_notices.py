"""What the bot starts itself goes at Telegram's pace; an answer to a person's own update does not wait for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.journeys.stage import on_stage


async def test_notices_to_one_chat_keep_their_distance_and_answers_go_at_once(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with on_stage(database_url, redis_url, tmp_path, telegram_chat_rate="2/1s") as stage:
        ira, clock = stage.someone(), asyncio.get_running_loop().time
        await ira.says("/start")
        began = clock()
        for _ in range(4):
            await stage.app.stores.outbox.notice(ira.id, "ru", "notice-number-lost", stage.clock.now())
        stage.app.courier.wake()
        await ira.is_told("notice-number-lost")
        await ira.says(ira.email)
        ira.expects("registration-terms-prompt")
        assert clock() - began < 1.5, "the answer waited for the notices"
        await stage.api.until(lambda: sum(ira.said(text, "notice-number-lost") for text in ira.heard()) == 4, 10)
        assert clock() - began >= 1.4
