"""Opening what keeps the truth and the conversation: a configured server, or the embedded one in DATA_DIR."""

from __future__ import annotations

import fcntl
import logging
from contextlib import AsyncExitStack
from pathlib import Path

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from bot.failures import StartFailed
from bot.settings import Settings
from bot.valkey import Valkey, ValkeyFailed
from storage.clock import Clock
from storage.database import DATABASE_ERRORS, Database
from storage.migrations import SchemaState, migrate_apart, schema_state
from storage.redis import Client, connect_any

log = logging.getLogger(__name__)

_BEHIND = (SchemaState.EMPTY, SchemaState.OLDER)


def database_url(settings: Settings) -> str:
    """Return DATABASE_URL, or the SQLite file in DATA_DIR."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return f"sqlite:///{settings.data_dir.absolute() / 'bot.db'}"


async def open_redis(settings: Settings, stack: AsyncExitStack) -> tuple[Client, bool]:
    """Return a client that answers, and whether its server is embedded. Raises StartFailed."""
    embedded = settings.redis_url is None
    if settings.redis_url is not None:
        url = settings.redis_url.get_secret_value()
    else:
        valkey = Valkey(settings.data_dir / "valkey")
        try:
            await valkey.start()
        except ValkeyFailed as error:
            raise StartFailed(str(error)) from error
        stack.push_async_callback(valkey.stop)
        url = valkey.url
    try:
        client = connect_any(url)
    except ValueError:
        # Without its words, which may repeat a password.
        raise StartFailed("REDIS_URL: is not of the right form; see REDIS_URL in README.md") from None
    stack.push_async_callback(client.aclose)
    try:
        await client.ping()
    except (RedisError, OSError) as error:
        raise StartFailed(f"REDIS_URL: the server cannot be reached ({error})") from error
    except TypeError:
        # An option after the question mark; without its words, as above.
        raise StartFailed("REDIS_URL: has an option that is none; see REDIS_URL in README.md") from None
    return client, embedded


async def open_database(settings: Settings, stack: AsyncExitStack, clock: Clock | None = None) -> Database:
    """Return a database whose schema is this version's; `clock` replaces the machine's. Raises StartFailed.

    A SQLite file is for one serving process and is migrated by it; an older PostgreSQL is refused until
    `python -m bot migrate`, since other replicas may still serve it.
    """
    try:
        database = Database(database_url(settings), clock=clock)
    except (ValueError, SQLAlchemyError):
        # Without its words, which may repeat a password.
        raise StartFailed("DATABASE_URL: is not of the right form; see DATABASE_URL in README.md") from None
    stack.push_async_callback(database.dispose)
    try:
        if not database.is_postgresql:
            _lock_file(Path(str(database.url.database)), stack)
        state = await schema_state(database)
        if not database.is_postgresql and state in _BEHIND:
            await migrate_apart(database_url(settings))
            state = await schema_state(database)
    except DATABASE_ERRORS as error:
        raise StartFailed(f"DATABASE_URL: the database cannot be used ({_reason(error)})") from error
    except TypeError:
        raise StartFailed("DATABASE_URL: has an option that is none; see DATABASE_URL in README.md") from None
    if state in _BEHIND:
        raise StartFailed("DATABASE_URL: the tables are older than this version; run: python -m bot migrate")
    if state is SchemaState.NEWER:
        raise StartFailed("DATABASE_URL: the tables are newer than this version; run the newer version")
    return database


def _reason(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause).splitlines()[0] if str(cause) else type(cause).__name__


def _lock_file(path: Path, stack: AsyncExitStack) -> None:
    """Hold the SQLite file for this process; the lock ends with the process, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = stack.enter_context(path.with_name(f"{path.name}.serving").open("ab"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StartFailed(
            f"DATABASE_URL: {path} is served by another process; SQLite is for one, PostgreSQL for several"
        ) from None
