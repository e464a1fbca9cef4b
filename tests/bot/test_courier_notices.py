"""The courier's notices: said once, in the person's language, at Telegram's pace, and the help kept up to date."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

import pytest
import sqlalchemy as sa
from aiogram.methods import SendMessage

from bot.pace import Pace
from bot.schedule import OutboxSchedule
from storage.limits import Window
from storage.tables import outbox
from tests.bot.courier_world import Scripted, World, eventually, world
from tests.sql import connected

__all__ = ["world"]


async def test_a_notice_is_said_in_the_persons_language_and_leaves_no_reply_keyboard(world: World) -> None:
    person = world.telegram.person(9, language_code="en")
    await person.send("/start")
    until = world.clock.now() + timedelta(hours=4)
    await world.outbox.notice(9, "en", "notice-reminder", world.clock.now(), {"until": until.isoformat()})
    world.courier(Scripted("first"))
    message = await person.wait_for("19:00")
    assert "/start" in message.text
    assert "None" not in message.text
    assert person.reply_keyboard is None
    await world.is_idle()


async def test_f35_who_blocked_the_bot_is_remembered_and_the_row_is_done(world: World) -> None:
    person = world.telegram.person(7)
    await person.send("/start")
    await person.block()
    await world.asks_for_a_code(7)
    await world.outbox.notice(7, "ru", "notice-expired", world.clock.now())
    world.courier(Scripted("first"))
    await world.is_idle()
    assert person.answers == []


async def test_f34_flood_control_is_obeyed(world: World) -> None:
    person = world.telegram.person(7, language_code="ru")
    await person.send("/start")
    world.telegram.flood("sendMessage", times=1, retry_after=30)
    await world.outbox.notice(7, "ru", "notice-expired", world.clock.now())
    world.courier(Scripted("first"))

    async def waits() -> bool:
        return await world.outbox.next_due() == world.clock.now() + timedelta(seconds=30)

    await eventually(waits)
    assert person.answers == []
    world.move(30)
    await person.wait_for("Номер телефона не был подтверждён")


async def test_telegram_away_puts_a_notice_off_and_loses_nothing(world: World) -> None:
    person = world.telegram.person(7, language_code="ru")
    await person.send("/start")
    world.telegram.fail("sendMessage", times=3, status=502)
    await world.outbox.notice(7, "ru", "notice-expired", world.clock.now())
    world.courier(Scripted("first"))
    for tries in range(1, 4):

        async def put_off(tries: int = tries) -> bool:
            async with connected(world.database) as connection:
                row = (await connection.execute(sa.select(outbox.c.attempts, outbox.c.lease_until))).one()
            return row.attempts == tries and row.lease_until is None

        await eventually(put_off)
        world.move(60)
    await person.wait_for("Номер телефона не был подтверждён")
    await world.is_idle()


async def test_a_notice_nobody_can_read_is_given_up_and_holds_nobody_up(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    person = world.telegram.person(7, language_code="ru")
    await person.send("/start")
    await world.outbox.notice(7, "ru", "notice-nobody-wrote", world.clock.now())
    await world.outbox.notice(12345, "ru", "notice-expired", world.clock.now())
    await world.outbox.notice(7, "ru", "notice-expired", world.clock.now())
    world.courier(Scripted("first"))
    await person.wait_for("Номер телефона не был подтверждён")

    async def given_up() -> bool:
        # Time passes for as long as a try is left: how long each try takes is the machine's affair.
        world.move(11)
        return await world.outbox.next_due() is None

    await eventually(given_up)
    assert any("could not be delivered" in record.getMessage() for record in caplog.records)


async def test_the_help_is_brought_up_to_date_once_a_code_may_be_asked_for(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    person = world.telegram.person(7, language_code="ru")
    await person.send("/start")
    await world.asks_for_a_code()
    world.courier(Scripted("first"))
    await world.is_idle()
    schedule = OutboxSchedule(world.bot, world.outbox)
    shown = await schedule.say_now(SendMessage(chat_id=7, text="wait"))
    timeline = await world.challenges.timeline(7, world.clock.now())
    assert timeline.challenge_id is not None
    for message_id in (shown, 99_999):
        await schedule.edit_help(world.update(7), message_id, timeline.challenge_id, timeline.resend_at)
    assert person.answers[-1].text == "wait"
    world.move(61)
    await person.wait_for("Новый код можно запросить уже сейчас")
    assert "код отправлен" in person.answers[-1].text
    assert "Отправить код ещё раз" in person.answers[-1].labels
    await world.is_idle()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_the_help_about_an_earlier_number_is_left_alone(world: World) -> None:
    person = world.telegram.person(7, language_code="ru")
    await person.send("/start")
    await world.asks_for_a_code()
    schedule = OutboxSchedule(world.bot, world.outbox)
    shown = await schedule.say_now(SendMessage(chat_id=7, text="wait"))
    timeline = await world.challenges.timeline(7, world.clock.now())
    assert timeline.challenge_id is not None
    await schedule.edit_help(world.update(7), shown, timeline.challenge_id, timeline.resend_at)
    await world.asks_for_a_code(number="+79035550011")
    world.courier(Scripted("first"))
    world.move(61)
    await world.is_idle()
    assert person.answers[-1].text == "wait"


async def test_the_pace_holds_for_all_and_for_one_chat() -> None:
    loop = asyncio.get_running_loop()
    pace = Pace(Window(50, timedelta(seconds=1)), Window(10, timedelta(seconds=1)))
    began = loop.time()
    arrived: dict[int, list[float]] = {}

    async def go(chat: int) -> None:
        await pace.wait(chat)
        arrived.setdefault(chat, []).append(loop.time() - began)

    await asyncio.gather(*(go(chat) for chat in [1, 1, 1, *range(2, 12)]))
    first = arrived[1]
    assert first[1] - first[0] >= 0.09
    assert first[2] - first[1] >= 0.09
    others = [arrived[chat][0] for chat in range(2, 12)]
    assert max(others) >= 0.18
    assert max(others) < first[2] + 0.2
