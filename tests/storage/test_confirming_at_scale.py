"""A confirmation among many accounts: who else wants the address or the number is found by an index."""

from __future__ import annotations

from uuid import UUID

from storage.confirmation import LOCK_RIVALS, LOSE_NUMBER
from tests.storage.test_expiry_at_scale import load, plan
from tests.storage.world import World


async def test_rivals_are_found_by_an_index(world: World) -> None:
    await load(world.database)
    wanted = {"number": "+79160000000", "account": UUID(int=1)}
    plans = [
        await plan(world.database, LOCK_RIVALS, address="a@example.org", **wanted),
        await plan(world.database, LOSE_NUMBER, **wanted),
    ]
    for how in plans:
        assert "accounts" in how
        # Of the one database and of the other.
        assert "Seq Scan on accounts" not in how, how
        assert "SCAN accounts" not in how, how
