"""The embedded server: real processes, killed for real."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio
from redis.exceptions import RedisError

from bot import valkey as module
from bot.valkey import Valkey, ValkeyFailed
from storage.redis import connect
from tests.waiting import until

ROOT = Path(__file__).parents[2]


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Valkey]:
    server = Valkey(tmp_path / "valkey")
    await server.start()
    yield server
    await server.stop()


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    # A process that ended but was not yet collected by the system's first process.
    return state != "Z"


async def write(server: Valkey, value: str) -> None:
    client = connect(server.url)
    await client.set("x", value)
    await client.aclose()


async def read(server: Valkey) -> str | None:
    client = connect(server.url)
    value = await client.get("x")
    await client.aclose()
    return None if value is None else str(value)


async def serves(server: Valkey) -> bool:
    with suppress(RedisError):
        return await read(server) is not None
    return False


async def test_it_serves_on_a_socket_of_its_owner_only(server: Valkey, tmp_path: Path) -> None:
    await write(server, "1")
    assert await read(server) == "1"
    assert server.url == f"unix://{tmp_path}/valkey/valkey.sock"
    assert os.stat(tmp_path / "valkey" / "valkey.sock").st_mode & 0o077 == 0
    assert (tmp_path / "valkey" / "valkey.log").read_text()


async def test_what_was_written_survives_a_restart(server: Valkey) -> None:
    await write(server, "1")
    await server.stop()
    assert server.pid is None
    await server.start()
    assert await read(server) == "1"


async def test_f27_a_killed_server_is_started_again(server: Valkey) -> None:
    await write(server, "1")
    first = server.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: server.pid not in (None, first))
    await until(lambda: serves(server))
    assert await read(server) == "1"


async def test_a_second_process_on_the_same_directory_is_refused(
    server: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PREDECESSOR_ENDS_WITHIN", 0.2)
    await write(server, "1")
    with pytest.raises(ValkeyFailed, match="in use by another process"):
        await Valkey(tmp_path / "valkey").start()
    assert await read(server) == "1"


async def test_f40_a_killed_parent_takes_the_server_with_it_and_the_next_one_finds_the_data(tmp_path: Path) -> None:
    script = (
        "import asyncio, pathlib, sys\n"
        "from bot.valkey import Valkey\n"
        "from storage.redis import connect\n"
        "async def main():\n"
        "    server = Valkey(pathlib.Path(sys.argv[1]))\n"
        "    await server.start()\n"
        "    client = connect(server.url)\n"
        "    await client.set('x', '1')\n"
        "    print(server.pid, flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(tmp_path / "v"), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    child = int(await asyncio.wait_for(parent.stdout.readline(), 20))
    parent.kill()
    await parent.wait()
    # At once: the successor waits until the predecessor's server has written and ended.
    server = Valkey(tmp_path / "v")
    await server.start()
    assert not is_running(child)
    assert await read(server) == "1"
    await server.stop()


async def test_a_deep_directory_gets_a_short_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    server = Valkey(deep)
    await server.start()
    socket = Path(server.url.removeprefix("unix://"))
    assert len(os.fsencode(socket)) <= 107
    await write(server, "1")
    await server.stop()
    assert not socket.parent.exists()
    assert (deep / "appendonlydir").is_dir()


async def test_what_keeps_it_from_starting_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValkeyFailed, match="cannot use") as caught:
        await Valkey(tmp_path / "file" / "valkey").start()
    assert "\n" not in str(caught.value)


async def test_a_broken_data_file_is_named(tmp_path: Path) -> None:
    server = Valkey(tmp_path)
    await server.start()
    await write(server, "1")
    await server.stop()
    for part in (tmp_path / "appendonlydir").glob("*.aof"):
        part.write_bytes(b"*3\r\n$3\r\nSET\r\nnonsense nonsense nonsense\r\n" * 3)
    with pytest.raises(ValkeyFailed, match=r"does not start: .+") as caught:
        await Valkey(tmp_path).start()
    assert "\n" not in str(caught.value)


async def test_a_platform_without_a_binary_is_told_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as empty:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(ValkeyFailed, match="REDIS_URL"):
            await Valkey(Path(empty)).start()
