"""A confirmation among many accounts: who else wants the address or the number is found by an index."""

from __future__ import annotations

from uuid import UUID

from storage.rivals import LOCK_RIVALS, LOSE_NUMBER
from tests.storage.test_expiry_at_scale import load, plan
from tests.storage.world import World


async def test_rivals_are_found_by_an_index(world: World) -> None:
    await load(world.database)
    wanted = {"number": "+79160000000", "account": UUID(int=1)}
    plans = [
        await plan(world.database, LOCK_RIVALS, address="a@example.org", **wanted),
        await plan(world.database, LOSE_NUMBER, **wanted),
    ]
    by_id = "Index Cond: (id = " if world.database.is_postgresql else "sqlite_autoindex_accounts_1 (id=?)"
    for how in plans:
        assert by_id in how, how
        assert "Seq Scan on accounts" not in how, how
        assert "ix_accounts_status" not in how, how
