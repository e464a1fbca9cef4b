"""What travels to both databases and back: moments, lists, parameters, and errors that name no values."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import StatementError

from storage import errors
from storage.database import Database
from storage.rows import insert
from storage.statements import Connection, Rows, Statement
from storage.tables import applied_updates, lookups, outbox
from tests.sql import connected
from tests.storage.world import MOMENT


async def test_moments_come_back_aware_in_utc_and_naive_ones_are_refused(database: Database) -> None:
    local = MOMENT.astimezone(datetime.fromisoformat("2026-01-01T00:00:00+05:30").tzinfo)
    async with connected(database) as conn:
        await conn.execute(applied_updates.insert().values(telegram_id=1, update_id=1, at=local))
    async with connected(database) as conn:
        at = (await conn.execute(sa.select(applied_updates.c.at))).scalar_one()
        later = await conn.execute(sa.select(applied_updates.c.at).where(applied_updates.c.at > local))
        assert later.all() == []
    assert at == MOMENT
    assert at.utcoffset() == timedelta(0)
    with pytest.raises(StatementError, match="time zone"):
        async with connected(database) as conn:
            await conn.execute(applied_updates.insert().values(telegram_id=1, update_id=2, at=datetime(2026, 1, 1)))


async def test_errors_name_no_values(database: Database) -> None:
    async def work(conn: Connection) -> None:
        for _ in range(2):
            await conn.execute(
                outbox.insert().values(
                    id=database.new_id(), kind="k", dedupe="+79161234567", payload={"secret": "ira@example.org"},
                    run_at=MOMENT, attempts=0, status="new",
                )
            )  # fmt: skip

    with pytest.raises(errors.StorageError, match=r"IntegrityError|UniqueViolationError") as error:
        await database.write(None, work)
    assert not isinstance(error.value, errors.StorageAway)
    assert "ira@example.org" not in str(error.value)
    assert "+79161234567" not in str(error.value)


async def test_a_list_of_values_travels_by_its_columns_type(database: Database) -> None:
    ids = [database.new_id() for _ in range(3)]

    async def work(conn: Connection) -> Rows:
        for row_id in ids:
            await insert(conn, lookups, id=row_id, person_hmac="p", kind="number", value_hmac="v", at=MOMENT)
        return await conn.execute(sa.select(lookups.c.id).where(lookups.c.id.in_(ids[:2]), lookups.c.at <= MOMENT))

    found = await database.write(None, work)
    assert set(found.scalars()) == set(ids[:2])


async def test_a_parameter_that_is_misspelt_or_missing_is_said(database: Database) -> None:
    statement = Statement(sa.update(lookups).where(lookups.c.id == sa.bindparam("lookup")), sets=("kind",))

    async def work(conn: Connection, **values: object) -> None:
        await conn.execute(statement, **values)

    for values in ({"lookup": database.new_id()}, {"kind": "number"}, {"lookup": database.new_id(), "kin": "x"}):
        with pytest.raises(TypeError, match="'lookup'"):
            await database.write(None, partial(work, **values))
