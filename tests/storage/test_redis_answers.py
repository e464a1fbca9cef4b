"""The one connection everybody shares: each gets the answer to their own question, whatever the others ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from storage.redis_scripts import Multiplexed, Script
from tests.storage.multiplexed import ECHO, echo, fake_server, multiplexed, our_connections
from tests.waiting import until

LONG = Script("return string.rep(ARGV[1], tonumber(ARGV[2]))")


@pytest.fixture
async def scripts(redis_url: str) -> AsyncIterator[Multiplexed]:
    async with multiplexed(redis_url) as scripts:
        yield scripts


async def test_everybody_gets_the_answer_to_their_own_question(scripts: Multiplexed) -> None:
    await asyncio.gather(*(echo(scripts, f"вопрос {number}") for number in range(3000)))


async def test_one_connection_serves_all_and_has_the_name_asked_for(redis_url: str, redis: Redis) -> None:
    async with multiplexed(f"{redis_url}?client_name=ours") as scripts:
        await asyncio.gather(*(echo(scripts, str(number)) for number in range(100)))
        assert len(await our_connections(redis, "ours")) == 1


async def test_what_is_asked_in_one_turn_goes_out_in_one_write() -> None:
    reads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 20):
            reads.append(data)
            writer.write(b"+ok\r\n" * data.count(b"EVALSHA"))

    async with fake_server(answer) as url, multiplexed(url) as scripts:
        await scripts.run(ECHO, (), ("alone",))
        await asyncio.gather(*(scripts.run(ECHO, (), (str(number),)) for number in range(50)))
    assert [read.count(b"EVALSHA") for read in reads] == [1, 50]


async def test_a_script_the_server_has_forgotten_is_told_again(scripts: Multiplexed, redis: Redis) -> None:
    await echo(scripts, "a")
    await redis.script_flush()
    await asyncio.gather(*(echo(scripts, str(number)) for number in range(20)))


async def test_huge_answers_come_through_beside_small_ones(scripts: Multiplexed) -> None:
    async def large(letter: str) -> None:
        assert await scripts.run(LONG, (), (letter, 3_000_000)) == letter * 3_000_000

    await asyncio.gather(*(work for n in range(4) for work in (large("abcd"[n]), echo(scripts, str(n)))))


async def test_a_huge_question_is_asked(scripts: Multiplexed) -> None:
    await asyncio.gather(*(echo(scripts, letter * 3_000_000) for letter in "abcd"))


async def test_answers_are_text_numbers_lists_and_nothing(scripts: Multiplexed) -> None:
    everything = Script("return {1, 'два', false, {'вложенный'}}")
    assert await scripts.run(everything, (), ()) == [1, "два", None, ["вложенный"]]


async def test_what_is_no_text_costs_nobody_the_connection(scripts: Multiplexed, redis: Redis) -> None:
    await redis.set("x", b"\xff\xfe")
    read = Script("return redis.call('GET', KEYS[1])")
    answers = await asyncio.gather(scripts.run(read, ("x",), ()), scripts.run(ECHO, (), ("a",)))
    assert list(answers) == ["\ufffd\ufffd", "a"]


async def test_a_mistake_in_a_script_is_said_to_its_caller_alone(scripts: Multiplexed) -> None:
    wrong = scripts.run(Script("return redis.call('INCR', KEYS[1], 'too much')"), ("x",), ())
    results = await asyncio.gather(echo(scripts, "a"), wrong, echo(scripts, "b"), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), ResponseError, type(None)]


async def test_a_question_that_cannot_be_written_disturbs_nobody(scripts: Multiplexed) -> None:
    results = await asyncio.gather(
        echo(scripts, "a"), echo(scripts, "\ud800"), echo(scripts, "b"), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None), UnicodeEncodeError, type(None)]


async def test_cancelled_callers_shift_nobodys_answer(scripts: Multiplexed) -> None:
    await echo(scripts, "open")
    tasks = [asyncio.create_task(echo(scripts, str(number))) for number in range(300)]
    # Some before anything was sent, some while the answer is under way.
    for task in tasks[::3]:
        task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for task in tasks[1::3]:
        task.cancel()
    await asyncio.wait(tasks)
    assert {task.cancelled() for task in tasks[::3]} == {True}
    for task in tasks[2::3]:
        task.result()
    await echo(scripts, "after")


async def test_who_is_cancelled_while_connecting_leaves_the_connection_to_the_others(redis_url: str) -> None:
    async with multiplexed(redis_url) as scripts:
        tasks = [asyncio.create_task(echo(scripts, str(number))) for number in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.wait(tasks)
        assert [task.cancelled() for task in tasks] == [True, False, False]
        tasks[1].result()


async def test_not_more_than_so_many_questions_are_under_way() -> None:
    asked = 0
    go_on = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while data := await reader.read(1 << 20):
            asked += data.count(b"EVALSHA")
            await go_on.wait()
            writer.write(b"+ok\r\n" * data.count(b"EVALSHA"))

    async with fake_server(answer) as url, multiplexed(url, most_at_once=10) as scripts:
        tasks = [asyncio.create_task(scripts.run(ECHO, (), ("x",))) for _ in range(100)]
        await until(lambda: asked > 0)
        for task in tasks[:3]:
            task.cancel()
        await asyncio.sleep(0)
        assert asked == 10
        go_on.set()
        await asyncio.gather(*tasks[3:])
        assert asked == 100
