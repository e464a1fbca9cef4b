"""The one connection everybody shares, on real servers that die, hang, refuse and lie."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bot.valkey import Valkey
from storage.redis import address_of, connect
from storage.redis_scripts import Multiplexed, Script
from tests.redis_servers import command, tcp_server
from tests.waiting import until

ECHO = Script("return ARGV[1]")
LONG = Script("return string.rep(ARGV[1], tonumber(ARGV[2]))")
WRITE = Script("redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])")


@asynccontextmanager
async def multiplexed(url: str, **options: Any) -> AsyncIterator[Multiplexed]:
    scripts = Multiplexed(address_of(connect(url)), **options)
    try:
        yield scripts
    finally:
        await scripts.close()


@pytest.fixture
async def scripts(redis_url: str) -> AsyncIterator[Multiplexed]:
    async with multiplexed(redis_url) as scripts:
        yield scripts


@pytest.fixture
async def own_valkey() -> AsyncIterator[Valkey]:
    """A server of the test's own, to be mistreated; it is started again when it ends."""
    directory = Path(tempfile.mkdtemp(prefix="own-valkey-"))
    server = Valkey(directory)
    await server.start()
    yield server
    await server.stop()
    shutil.rmtree(directory)


async def echo(scripts: Multiplexed, text: str) -> None:
    assert await scripts.run(ECHO, (), (text,)) == text


async def our_connections(redis: Redis, name: str) -> list[dict[str, str]]:
    return [client for client in await redis.client_list() if client["name"] == name]


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


async def test_client_kill_in_mid_flight_is_not_noticed(redis_url: str, redis: Redis) -> None:
    async with multiplexed(f"{redis_url}?client_name=killed") as scripts:
        await scripts.run(WRITE, ("k:0",), ("0",))
        await redis.client_pause(10_000, all=False)
        tasks = [asyncio.create_task(scripts.run(WRITE, (f"k:{number}",), (str(number),))) for number in range(50)]

        async def in_flight() -> bool:
            (ours,) = await our_connections(redis, "killed")
            return "b" in ours["flags"]

        await until(in_flight)
        (ours,) = await our_connections(redis, "killed")
        await redis.client_kill_filter(_id=ours["id"])
        await until(lambda: _replaced(redis, "killed", ours["id"]))
        await redis.client_unpause()
        assert await asyncio.gather(*tasks) == [str(number) for number in range(50)]


async def _replaced(redis: Redis, name: str, client_id: str) -> bool:
    return [client["id"] != client_id for client in await our_connections(redis, name)] == [True]


class Askers:
    """Many who ask one after another until they are told to end; a lost connection is expected, nothing else."""

    def __init__(self, scripts: Multiplexed) -> None:
        self._scripts = scripts
        self._answered = [0] * 20
        self._ending = False

    async def ask(self, number: int) -> None:
        while not self._ending:
            try:
                await echo(self._scripts, f"{number}:{self._answered[number]}")
                self._answered[number] += 1
            except RedisConnectionError:
                await asyncio.sleep(0.01)

    async def all_are_answered(self) -> None:
        before = list(self._answered)
        await until(lambda: all(now > then for now, then in zip(self._answered, before, strict=True)))

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.ask(number)) for number in range(len(self._answered))]
        yield
        self._ending = True
        await asyncio.gather(*tasks)


async def test_f27_a_killed_server_is_said_and_its_successor_is_used(own_valkey: Valkey) -> None:
    async with multiplexed(own_valkey.url) as scripts:
        askers = Askers(scripts)
        async with askers.asking():
            killed: set[int | None] = {None}
            for _ in range(3):
                await askers.all_are_answered()
                assert own_valkey.pid is not None
                killed.add(own_valkey.pid)
                os.kill(own_valkey.pid, signal.SIGKILL)
                await until(lambda: own_valkey.pid not in killed, 20)
            await askers.all_are_answered()


async def test_f27_a_server_that_hangs_is_given_up_and_its_late_answers_reach_nobody(own_valkey: Valkey) -> None:
    async with multiplexed(own_valkey.url, answer_within=0.3) as scripts:
        await echo(scripts, "before")
        assert own_valkey.pid is not None
        os.kill(own_valkey.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            hung = [scripts.run(ECHO, (), (f"late {number}",)) for number in range(20)]
            errors = await asyncio.gather(*hung, return_exceptions=True)
            assert {type(error) for error in errors} == {RedisTimeoutError}
            assert 0.25 < time.monotonic() - began < 5
            # The system still accepts connections for a server that hangs.
            with pytest.raises(RedisTimeoutError, match=r"0\.3 s"):
                await echo(scripts, "again")
        finally:
            os.kill(own_valkey.pid, signal.SIGCONT)
        await asyncio.gather(*(echo(scripts, f"after {number}") for number in range(20)))


async def test_a_long_life_is_no_late_answer(redis_url: str) -> None:
    """The limit counts from each question, not from the first one on the connection."""
    async with multiplexed(redis_url, answer_within=0.5) as scripts:
        ends = time.monotonic() + 1.2
        while time.monotonic() < ends:
            await echo(scripts, "x")
            await asyncio.sleep(0.01)


async def test_who_is_let_in_with_which_words(tmp_path: Path) -> None:
    async with tcp_server(tmp_path, requirepass="secret pa:ss/word") as server:
        place = f"127.0.0.1:{server.port}"
        admin = connect(f"redis://:secret%20pa%3Ass%2Fword@{place}")
        await command(admin, "ACL", "SETUSER", "bot", "on", ">b@t", "~talk:*", "+@all")
        async with multiplexed(f"redis://:secret%20pa%3Ass%2Fword@{place}/3") as scripts:
            assert await scripts.run(WRITE, ("x",), ("1",)) == "1"
        third = connect(f"redis://:secret%20pa%3Ass%2Fword@{place}/3")
        assert await third.get("x") == "1"
        async with multiplexed(f"redis://bot:b%40t@{place}") as scripts:
            assert await scripts.run(WRITE, ("talk:1",), ("1",)) == "1"
            with pytest.raises(NoPermissionError):
                await scripts.run(WRITE, ("other",), ("1",))
        for login in ("", ":b%40d@", "bot:b%40d@"):
            async with multiplexed(f"redis://{login}{place}") as scripts:
                began = time.monotonic()
                with pytest.raises(AuthenticationError) as refused:
                    await echo(scripts, "x")
                assert "b@d" not in str(refused.value)
                assert time.monotonic() - began < 2
        await third.aclose()
        await admin.aclose()


async def test_a_password_is_in_no_description() -> None:
    address = address_of(connect("redis://bot:secret@127.0.0.1:1/0"))
    assert "secret" not in f"{address!r} {address}"


async def test_a_replica_refuses_to_write_and_is_asked_anew(tmp_path: Path) -> None:
    async with tcp_server(tmp_path) as server:
        redis = connect(server.url)
        async with multiplexed(f"{server.url}?client_name=ours") as scripts:
            await scripts.run(WRITE, ("x",), ("1",))
            (before,) = await our_connections(redis, "ours")
            await command(redis, "REPLICAOF", "127.0.0.1", "1")
            with pytest.raises(ReadOnlyError):
                await scripts.run(WRITE, ("x",), ("2",))
            await command(redis, "REPLICAOF", "NO", "ONE")
            assert await scripts.run(WRITE, ("x",), ("3",)) == "3"
            (after,) = await our_connections(redis, "ours")
            # The name may lead to another server by now.
            assert after["id"] != before["id"]
        await redis.aclose()


async def test_a_full_server_is_said_by_its_name(tmp_path: Path) -> None:
    async with tcp_server(tmp_path, maxmemory="1") as server, multiplexed(server.url) as scripts:
        with pytest.raises(OutOfMemoryError):
            await scripts.run(WRITE, ("x",), ("1",))


@asynccontextmanager
async def fake_server(answer: Any) -> AsyncIterator[str]:
    """A server that does what no real one can be made to do."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await answer(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_server_that_still_reads_its_file_is_asked_again() -> None:
    answers = [b"-LOADING the dataset is being read\r\n"] * 2 + [b"+ok\r\n"]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answers and await reader.read(65536):
            writer.write(answers.pop(0))

    async with fake_server(answer) as url, multiplexed(url) as scripts:
        assert await scripts.run(ECHO, (), ("x",)) == "ok"


@pytest.mark.parametrize("nonsense", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+one\r\n+too many\r\n", b""])
async def test_what_speaks_no_redis_is_a_lost_connection(nonsense: bytes) -> None:
    connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read(65536)
        writer.write(nonsense)
        await writer.drain()

    async with fake_server(answer) as url, multiplexed(url) as scripts:
        outcome = await asyncio.gather(
            scripts.run(ECHO, (), ("x",)), scripts.run(ECHO, (), ("y",)), return_exceptions=True
        )
        assert isinstance(outcome[1], RedisConnectionError) or nonsense.startswith(b"+")
        # Tried three times in all, not for ever.
        assert connections <= 3


async def test_a_server_that_never_lets_in_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            pass

    async with fake_server(silent) as url, multiplexed(url.replace("//", "//:pw@"), answer_within=0.2) as scripts:
        with pytest.raises(RedisTimeoutError):
            await echo(scripts, "x")


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


@pytest.mark.parametrize("login", ["", ":pw@"])
async def test_closing_fails_what_is_open(login: str) -> None:
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            asked.set()

    async with fake_server(silent) as url:
        scripts = Multiplexed(address_of(connect(url.replace("//", f"//{login}"))))
        tasks = [asyncio.create_task(echo(scripts, str(number))) for number in range(5)]
        await asked.wait()
        await scripts.close()
        await asyncio.wait(tasks)
        assert {type(task.exception()) for task in tasks} == {RedisConnectionError}
        with pytest.raises(RedisConnectionError, match="closed"):
            await echo(scripts, "after")
        await scripts.close()


async def test_a_server_that_is_not_there_is_named() -> None:
    async with multiplexed("unix:///nonexistent/valkey.sock") as scripts:
        with pytest.raises(RedisConnectionError, match="unix:/nonexistent/valkey"):
            await echo(scripts, "x")
    async with multiplexed("redis://127.0.0.1:1/0") as scripts:
        with pytest.raises(RedisConnectionError, match=r"127\.0\.0\.1:1"):
            await echo(scripts, "x")
