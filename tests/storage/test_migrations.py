"""One chain of revisions for both databases."""

from __future__ import annotations

import asyncio
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from storage import migrations
from storage.database import Database
from storage.errors import StorageError
from storage.migrations import SchemaState, migrate, migrate_apart, schema_state
from storage.statements import Connection
from storage.tables import accounts, metadata
from tests.sql import connected
from tests.storage.world import DAY, World


async def state_of(url: str) -> SchemaState:
    database = Database(url)
    try:
        return await schema_state(database)
    finally:
        await database.dispose()


async def test_f26_several_migrators_at_once(empty_database_url: str) -> None:
    assert await state_of(empty_database_url) is SchemaState.EMPTY
    await asyncio.gather(*(migrate(empty_database_url) for _ in range(6)))
    assert await state_of(empty_database_url) is SchemaState.CURRENT
    await migrate(empty_database_url)


async def test_a_sqlite_file_is_migrated_by_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the bot was started, and a file that is named from there."""
    monkeypatch.chdir(tmp_path)
    await migrate_apart("sqlite:///bot & co.db")
    assert await state_of(f"sqlite:///{tmp_path}/bot & co.db") is SchemaState.CURRENT
    await migrate_apart("sqlite:///bot & co.db")


async def test_why_a_sqlite_file_cannot_be_migrated_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bot.db").mkdir()
    with pytest.raises(OSError, match=r"^unable to open database file$"):
        await migrate_apart(f"sqlite:///{tmp_path}/bot.db")


async def test_f25_a_postgresql_that_lets_nobody_in_is_not_migrated() -> None:
    with pytest.raises(StorageError, match=r"^ConnectionRefusedError: "):
        await migrate("postgresql://u:p@127.0.0.1:1/x")


async def test_a_newer_schema_is_told_apart(empty_database_url: str) -> None:
    await migrate(empty_database_url)
    database = Database(empty_database_url)
    async with connected(database) as conn:
        await conn.exec_driver_sql("UPDATE alembic_version SET version_num = 'from the future'")
    await database.dispose()
    assert await state_of(empty_database_url) is SchemaState.NEWER


async def test_an_older_schema_is_told_apart(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(empty_database_url)
    versions = tmp_path / "versions"
    shutil.copytree(Path(migrations.__file__).parent / "versions", versions)
    newest = max(path.name for path in versions.glob("r*.py"))
    (versions / f"r{int(newest[1:5]) + 1:04}_later.py").touch()
    monkeypatch.setattr(migrations, "_HERE", tmp_path)
    assert await state_of(empty_database_url) is SchemaState.OLDER


def test_files_are_named_by_the_revisions_of_one_chain() -> None:
    """Alembic reads the revisions in the files, a start only the files' names."""
    script = ScriptDirectory(migrations.__path__[0])
    chain = [revision.revision for revision in script.walk_revisions()]
    assert script.get_heads() == chain[:1]
    assert migrations._known_revisions() == chain[::-1]


async def test_the_chain_makes_exactly_the_tables_the_code_knows(database: Database) -> None:
    def differences(connection: sa.Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    async with connected(database) as conn:
        assert await conn.run_sync(differences) == []


async def test_the_chain_goes_down_again(empty_database_url: str) -> None:
    await migrate(empty_database_url)
    database = Database(empty_database_url)

    def down(connection: sa.Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    async with connected(database) as conn:
        await conn.run_sync(down)
    async with connected(database) as conn:
        left = await conn.run_sync(lambda sync: sa.inspect(sync).get_table_names())
    await database.dispose()
    assert left == ["alembic_version"]
    assert await state_of(empty_database_url) is SchemaState.EMPTY


@pytest.mark.parametrize("column", ["email", "phone"])
async def test_f24_the_index_has_the_last_word(world: World, column: str) -> None:
    """Whatever the code does, the database holds no two confirmed accounts with one address or number."""

    def row(telegram_id: int, status: str) -> dict[str, Any]:
        return {
            "id": world.database.new_id(), "telegram_id": telegram_id, "status": status, "language": "ru",
            "email_verified": False, "created_at": world.now, "expires_at": world.now + DAY, column: "the same",
        }  # fmt: skip

    async with connected(world.database) as conn:
        for telegram_id, status in ((1, "confirmed"), (2, "pending"), (3, "pending")):
            await conn.execute(accounts.insert().values(row(telegram_id, status)))
    for statement in (
        accounts.insert().values(row(4, "confirmed")),
        accounts.update().where(accounts.c.telegram_id == 2).values(status="confirmed"),
    ):
        with pytest.raises(StorageError, match=r"IntegrityError|UniqueViolationError"):
            await world.database.write(None, partial(_run, statement))


async def _run(statement: sa.Insert | sa.Update, conn: Connection) -> None:
    await conn.execute(statement)
