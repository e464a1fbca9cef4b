"""Where the bot is silent: groups that do not address it, people who do not want to hear it (product, section 1)."""

from __future__ import annotations

from sqlalchemy import select

from storage.tables import accounts
from tests.journeys.stage import Stage
from tests.sql import connected
from tests.waiting import until


async def test_a_group_is_silent_for_ten_minutes_after_an_answer(stage: Stage) -> None:
    ira = stage.someone()
    group = stage.api.group(-1001, "Клиенты")
    await ira.person.send_in(group, "/start@practice_bot")
    await ira.person.settled()
    assert len(group.answers) == 1
    redis = stage.app.stores.redis
    (mark,) = [key async for key in redis.scan_iter(match="once:group:*")]
    assert 590_000 < await redis.pttl(mark) <= 600_000
    # Redis ends the silence by its own clock, so the test ends it in Redis' place.
    await redis.delete(mark)
    await ira.person.send_in(group, "@practice_bot")
    await ira.person.settled()
    assert len(group.answers) == 2


async def test_one_groups_silence_is_not_anothers(stage: Stage) -> None:
    ira = stage.someone()
    for number, name in ((-1001, "Клиенты"), (-1002, "Партнёры")):
        group = stage.api.group(number, name)
        await ira.person.send_in(group, "@practice_bot помоги")
        await ira.person.settled()
        assert len(group.answers) == 1


async def test_what_is_addressed_to_another_bot_or_to_nobody_is_not_answered(stage: Stage) -> None:
    ira = stage.someone()
    group = stage.api.group(-1001, "Клиенты")
    for text in ("/start@other_bot", "@other_bot привет", "/start", "ira@practice_bot.example", "practice_bot"):
        await ira.person.send_in(group, text)
        await ira.person.settled()
    assert group.answers == []
    await ira.registers()


async def test_who_came_back_after_blocking_is_reminded_and_told(stage: Stage) -> None:
    ira, gone = stage.someone(), stage.someone()
    for person in (ira, gone):
        await person.reaches_phone()
        await person.person.block()
        await person.person.settled()
    await ira.person.unblock()
    await ira.person.settled()
    stage.clock.move(hours=20, minutes=1)
    await stage.app.jobs.cleanup()
    await ira.is_told("notice-reminder")
    stage.clock.move(hours=4)
    await stage.app.jobs.cleanup()
    await ira.is_told("notice-expired")
    # Not even tried: a refused call would stand in the record.
    assert stage.api.refusals == []


async def test_a_bot_taken_out_of_a_group_has_been_blocked_by_nobody(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    group = stage.api.group(-1001, "Клиенты")
    bot = stage.api.world.bot.as_json()
    change = {
        "chat": group.chat.as_json(),
        "from": ira.person.user.as_json(),
        "date": int(stage.clock.now().timestamp()),
        "old_chat_member": {"user": bot, "status": "member"},
        "new_chat_member": {"user": bot, "status": "kicked", "until_date": 0},
    }
    stage.api._add_update("my_chat_member", change, group.chat.id, ira.id)
    await ira.person.settled()
    stage.clock.move(hours=20, minutes=1)
    await stage.app.jobs.cleanup()
    await ira.is_told("notice-reminder")


async def test_a_refused_notice_is_the_last_that_is_tried(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    # Telegram's update about it never came: the refusal itself has to tell.
    ira.person.private.blocked = True
    stage.clock.move(hours=20, minutes=1)
    await stage.app.jobs.cleanup()
    await stage.api.until(lambda: bool(stage.api.refusals), 10)
    stage.forgive("blocked")
    await until(lambda: blocked(stage))
    stage.clock.move(hours=4)
    await stage.app.jobs.cleanup()
    assert await stage.app.stores.outbox.next_due() is None
    assert stage.api.refusals == []


async def blocked(stage: Stage) -> list[int]:
    async with connected(stage.app.stores.database) as connection:
        known = select(accounts.c.telegram_id).where(accounts.c.blocked_at.is_not(None))
        return list((await connection.execute(known)).scalars())
