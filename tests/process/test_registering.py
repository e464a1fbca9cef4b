"""The whole bot as a process, by environment alone, against Telegram's and SMSC's wire formats."""

from __future__ import annotations

import asyncio
from pathlib import Path

from redis.asyncio import Redis

from tests.journeys.stage import Outside, Registrant
from tests.process.bot_process import BotProcess
from tests.process.conftest import bot_process

PEOPLE = 50


async def register(ira: Registrant, *, by_contact: bool) -> None:
    await ira.reaches_phone()
    if by_contact:
        await ira.taps(ira.label("button-share-contact"))
    else:
        await ira.says(ira.phone)
    ira.expects("registration-code-prompt")
    await ira.finishes()


async def test_fifty_people_at_once_register_with_one_sms_each(
    outside: Outside, transport: str, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SECRET_KEY": "x" * 40}
    async with bot_process(outside, transport, tmp_path, **settings) as bot:
        people = [outside.someone("ru" if number % 4 < 2 else "en") for number in range(PEOPLE)]
        await asyncio.gather(*(register(ira, by_contact=number % 2 == 0) for number, ira in enumerate(people)))
        for ira in people:
            assert len(outside.smsc.inbox(ira.phone)) == 1
        assert len(outside.smsc.messages) == PEOPLE
        assert await bot.stop() < 5


async def restart(bot: BotProcess) -> None:
    await bot.kill()
    await bot.start()


async def test_f40_killed_in_each_step_and_the_person_goes_on_with_embedded_stores(
    outside: Outside, transport: str, tmp_path: Path
) -> None:
    async with bot_process(outside, transport, tmp_path) as bot:
        ira = outside.someone()
        await ira.says("/start")
        await restart(bot)
        await ira.says(ira.email)
        ira.expects("registration-terms-prompt")
        await restart(bot)
        await ira.presses(ira.label("terms-consent"))
        await ira.presses(ira.label("button-register"))
        ira.expects("registration-phone-prompt")
        await restart(bot)
        await ira.says(ira.phone)
        ira.expects("registration-code-prompt")
        code = await ira.code()
        await restart(bot)
        await ira.says(code)
        ira.expects("registration-done")
        assert len(outside.smsc.messages) == 1


async def test_f40_what_was_sent_while_the_bot_lay_dead_is_answered(
    outside: Outside, transport: str, tmp_path: Path
) -> None:
    async with bot_process(outside, transport, tmp_path) as bot:
        ira = outside.someone()
        await ira.reaches_phone()
        await bot.kill()
        await ira.person.send(ira.phone)
        await bot.start()
        await ira.person.settled(timeout=60)
        ira.expects("registration-code-prompt")
        await ira.finishes()


async def test_f28_redis_flushed_in_each_step_and_the_person_goes_on(
    outside: Outside, database_url: str, redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SECRET_KEY": "x" * 40}
    async with bot_process(outside, "polling", tmp_path, **settings):
        ira = outside.someone()
        await ira.says("/start")
        await redis.flushall()
        await ira.says(ira.email)
        ira.expects("registration-terms-prompt")
        await redis.flushall()
        await ira.presses(ira.label("terms-consent"))
        ira.expects("registration-email-prompt")
        await ira.says(ira.email)
        await ira.presses(ira.label("terms-consent"))
        await ira.presses(ira.label("button-register"))
        ira.expects("registration-phone-prompt")
        await redis.flushall()
        await ira.says(ira.phone)
        ira.expects("registration-code-prompt")
        assert not ira.has_keyboard()
        await redis.flushall()
        await ira.finishes()
        assert len(outside.smsc.messages) == 1


async def test_a_second_process_on_one_sqlite_file_is_refused_with_one_line(tmp_path: Path) -> None:
    settings = {"DATA_DIR": str(tmp_path / "data")}
    async with BotProcess(tmp_path, **settings):
        code, lines = await BotProcess(tmp_path, **settings).fails()
        assert code == 1
        assert [line.partition(str(tmp_path))[0] for line in lines] == ["error: DATA_DIR: "]


async def test_mistakes_in_the_settings_are_one_line_each(tmp_path: Path) -> None:
    bot = BotProcess(tmp_path, BOT_TOKEN="nonsense", SMS_GATEWAYS="smsc", COUNTRIES="XX", DATA_DIR=str(tmp_path))
    code, lines = await bot.fails()
    assert code == 2
    assert {line.split(":")[1].strip() for line in lines} == {"BOT_TOKEN", "SMS_GATEWAYS", "COUNTRIES"}
    assert all(line.startswith("error: ") for line in lines)
    assert len(lines) == 3
