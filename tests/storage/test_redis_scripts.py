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

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, OutOfMemoryError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bot.valkey import Valkey
from storage.redis import address_of, connect
from storage.redis_scripts import Multiplexed, Script
from tests.redis_servers import command, tcp_server
from tests.storage.multiplexed import ECHO, echo, fake_server, multiplexed, our_connections
from tests.waiting import until

WRITE = Script("redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])")


@pytest.fixture
async def own_valkey() -> AsyncIterator[Valkey]:
    """A server of the test's own, to be mistreated; it is started again when it ends."""
    directory = Path(tempfile.mkdtemp(prefix="own-valkey-"))
    server = Valkey(directory)
    await server.start()
    yield server
    await server.stop()
    shutil.rmtree(directory)


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
