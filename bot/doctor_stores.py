"""What the doctor looks at where things are kept: the folder, the database, Redis, and what waits there."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from redis.exceptions import NoPermissionError, RedisError

from bot.doctor_outside import difference
from bot.findings import Finding, bad, ok, warning, why
from bot.opening import database_url
from bot.settings import Settings
from storage.clock import Clock
from storage.database import Database, DatabaseClock
from storage.errors import StorageAway, StorageError
from storage.event_letters import EventLetters
from storage.migrations import SchemaState, schema_state
from storage.redis import Client, connect_any
from storage.statements import Connection, Statement
from storage.tables import event_stops

_MIGRATE = "run: python -m bot migrate"
# Bytes. A busy day writes some hundred megabytes.
_LITTLE, _NOTHING_LEFT = 1_000_000_000, 100_000_000
# Of Redis' maxmemory. At the limit it refuses to write, and updates wait.
_FULL = 0.8
_MEGABYTE = 1_000_000
# Nobody's: on SQLite and PostgreSQL it needs what every write needs, and changes nothing.
_NOBODYS = Statement(sa.delete(event_stops).where(event_stops.c.receiver == sa.literal_column("''")))
# Milliseconds for which the mark of a test stays.
_MARK = 1000


class Stores:
    """Each method is one look; `close` ends what they opened."""

    def __init__(self, settings: Settings, machine: Clock) -> None:
        """`machine`: this machine's own time."""
        self._settings = settings
        self._machine = machine
        self._database = Database(database_url(settings), pool_size=3, answer_within=4)

    async def close(self) -> None:
        """Close the database's connections."""
        await self._database.dispose()

    async def disk(self) -> list[Finding]:
        """Look at DATA_DIR; a folder on a server that is away takes the look's time and no more."""
        return await asyncio.to_thread(_look_at_folder, self._settings.data_dir.absolute())

    async def database(self) -> list[Finding]:
        """Connect, compare the schema, and write nothing in the way that everything is written."""
        name, database = "DATABASE_URL", self._database
        if not self._exists():
            return [ok("the SQLite file is not there yet; the first start makes it")]
        try:
            state = await schema_state(database)
            if state is SchemaState.NEWER:
                return [bad(f"{name}: the tables are newer than this version; run the newer version")]
            if state is not SchemaState.CURRENT and database.is_postgresql:
                return [
                    bad(f"{name}: the tables are {'missing' if state is SchemaState.EMPTY else 'older'}; {_MIGRATE}")
                ]
            if state is not SchemaState.CURRENT:
                return [ok("the tables are older; the next start brings them up to date")]
            await database.write(None, _write_nothing)
        except (StorageError, OSError) as error:
            return [bad(f"{name}: {_reason(error)}")]
        kind = "PostgreSQL" if database.is_postgresql else "SQLite"
        return [ok(f"{kind} answers, its tables are this version's, and it takes writes")]

    async def events(self) -> list[Finding]:
        """Look at what the CRM would not take."""
        if self._settings.crm_webhook_url is None:
            return [ok("the CRM is told nothing")]
        if not self._exists():
            return [ok("none so far")]
        letters = EventLetters(self._database)
        try:
            stopped, dead = await letters.stopped_at(), 0
            async for _ in letters.all(dead=True):
                dead += 1
        except (StorageError, OSError):
            return [warning("cannot be read; see database")]
        found = []
        if stopped is not None:
            found.append(warning("the CRM wanted no more (410); when it does again: python -m bot events resume"))
        if dead:
            found.append(warning(f"{dead} were given up or refused; see python -m bot events list --dead"))
        return found or [ok("none is given up")]

    async def clock(self) -> list[Finding]:
        """Compare the machine's time with the database's."""
        if not self._database.is_postgresql:
            return [ok("SQLite has no clock of its own")]
        clock = DatabaseClock(self._database, self._machine)
        try:
            await clock.refresh()
        except (StorageError, OSError):
            return [warning("the database's cannot be read; see database")]
        return [difference(clock.now() - self._machine.now(), "the database's")]

    async def redis(self) -> list[Finding]:
        """Write and read, and look at what would lose conversations."""
        url = self._settings.redis_url
        if url is None:
            return [await self._embedded()]
        address = url.get_secret_value()
        try:
            client = connect_any(address)
        except ValueError:
            return [bad("REDIS_URL: is not of the right form; see REDIS_URL in README.md")]
        try:
            await client.set("doctor", "1", px=_MARK)
            return [ok(f"{_kind(address)} answers and takes writes"), *await _look_at_servers(client)]
        except (RedisError, OSError) as error:
            return [bad(f"REDIS_URL: {_reason(error)}; look at the server and at the address")]
        finally:
            await client.aclose()

    async def _embedded(self) -> Finding:
        socket = self._settings.data_dir.absolute() / "valkey" / "valkey.sock"
        if not socket.exists():
            return ok("the embedded Valkey starts with the bot")
        client = connect_any(f"unix://{socket}")
        try:
            await client.ping()
        except (RedisError, OSError):
            return ok("the embedded Valkey is not running, as the bot is not")
        finally:
            await client.aclose()
        return ok("the embedded Valkey answers")

    def _exists(self) -> bool:
        return self._database.is_postgresql or Path(str(self._database.url.database)).exists()


async def _write_nothing(conn: Connection) -> None:
    await conn.execute(_NOBODYS)


def _look_at_folder(folder: Path) -> list[Finding]:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return [bad(f"DATA_DIR: {there} cannot be written to; write a folder of this user")]
    found = []
    if there == folder:
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"1")
                file.flush()
        except OSError as error:
            return [bad(f"DATA_DIR: nothing can be written into {folder}: {error.strerror}")]
        if folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            found.append(warning(f"DATA_DIR: others may look into {folder}, where numbers are kept; run: chmod 700"))
    free = shutil.disk_usage(there).free
    says = f"DATA_DIR: {free / 1e9:.1f} GB are free"
    if free < _NOTHING_LEFT:
        found.append(bad(f"{says}; make room, or nothing is written soon"))
    elif free < _LITTLE:
        found.append(warning(f"{says}; make room"))
    return found or [ok(says)]


async def _look_at_servers(client: Client) -> list[Finding]:
    """Look at the server, or at every master of a cluster; each thing is said once."""
    try:
        memory, persistence = await client.info("memory"), await client.info("persistence")
    except NoPermissionError:
        return [warning("may not be asked for INFO; allow it, or look yourself at maxmemory-policy and appendonly")]
    found = [
        finding
        for one, kept in zip(_each(memory), _each(persistence), strict=True)
        for finding in _look_at_server(one, kept)
    ]
    return list(dict.fromkeys(found))


def _each(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the answer of each node, of a cluster or not."""
    nodes = [value for value in answer.values() if isinstance(value, Mapping) and "used_memory" in value]
    nodes = nodes or [value for value in answer.values() if isinstance(value, Mapping) and "aof_enabled" in value]
    return nodes or [answer]


def _look_at_server(memory: Mapping[str, Any], persistence: Mapping[str, Any]) -> list[Finding]:
    found = []
    policy, used, most = memory.get("maxmemory_policy"), int(memory["used_memory"]), int(memory.get("maxmemory", 0))
    if policy != "noeviction":
        found.append(warning(f"maxmemory-policy is {policy}: locks and conversations may vanish; set noeviction"))
    if not persistence.get("aof_enabled"):
        found.append(warning("appendonly is off: after a restart people are asked their last question again; set yes"))
    if most and used > _FULL * most:
        says = f"{used / _MEGABYTE:.0f} of {most / _MEGABYTE:.0f} MB are used"
        found.append(warning(f"{says}; raise maxmemory, for at the limit updates wait"))
    return found


def _kind(url: str) -> str:
    scheme = urlsplit(url).scheme
    return {"cluster": "the cluster", "sentinel": "the sentinels' master"}.get(scheme.partition("+")[2], "the server")


def _reason(error: BaseException) -> str:
    if isinstance(error, StorageAway):
        return f"cannot be used now ({why(error.orig)}); look at the server, the address and the password"
    if isinstance(error, StorageError):
        return f"cannot be used ({type(error.orig).__name__}); look at its own log"
    return f"cannot be reached ({why(error)})"
