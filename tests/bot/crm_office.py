"""What the tests of telling a CRM share: registrations, a CRM over real HTTP, and the courier between them.

A file that uses the fixture `office` imports it and names it in `__all__`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from bot.courier import Courier
from bot.crm_settings import CrmSettings
from bot.event_delivery import telling_crm
from storage.database import Database
from storage.tables import outbox
from tests.fakes.crm import SECRET, FakeCrm
from tests.storage.world import Actor, World
from tests.waiting import until


class Office:
    """Registrations, a CRM, and the courier between them."""

    def __init__(self, world: World, crm: FakeCrm, stack: AsyncExitStack) -> None:
        self.world = world
        self.crm = crm
        self.stack = stack
        self.forgotten: list[int] = []
        self.woken = 0
        self.couriers: list[Courier] = []

    async def opens(self, *, owner: str = "one", **settings: Any) -> Courier:
        """Start telling the CRM."""
        values: dict[str, Any] = {"crm_webhook_url": self.crm.url, "crm_webhook_secret": SECRET, **settings}
        courier = await self.stack.enter_async_context(
            telling_crm(
                CrmSettings(**values), self.world.database, self.world.clock,
                owner=owner, forget=self.forget, wake=self.wake,
            )
        )  # fmt: skip
        assert courier is not None
        self.couriers.append(courier)
        return courier

    async def forget(self, telegram_id: int) -> None:
        self.forgotten.append(telegram_id)

    def wake(self) -> None:
        self.woken += 1

    async def moves(self, by: timedelta) -> None:
        self.world.clock.moment += by
        for courier in self.couriers:
            courier.wake()

    async def rows(self) -> list[Any]:
        return await self.world.rows(outbox, outbox.c.kind == "event")

    async def is_empty(self) -> None:
        async def empty() -> bool:
            return await self.rows() == []

        await until(empty)

    async def tried(self, count: int, status: str = "new") -> Any:
        """Wait until the only event was tried so often and was given back (or up); return its row."""
        found: list[Any] = []

        async def settled() -> bool:
            found[:] = await self.rows()
            return [(row.attempts, row.status, row.lease_until) for row in found] == [(count, status, None)]

        await until(settled)
        return found[0]

    async def alerts(self) -> list[str]:
        return [row.payload["text"] for row in await self.world.rows(outbox, outbox.c.kind == "alert")]

    async def someone(self, telegram_id: int, number: str | None = None) -> Actor:
        person = self.world.person(telegram_id)
        assert (await person.registers(number or f"+7916{telegram_id:07}")).confirmed_now
        return person


@pytest.fixture
async def office(database: Database) -> AsyncIterator[Office]:
    world = World(database, told=True)
    crm = FakeCrm(world.clock)
    await crm.start()
    async with AsyncExitStack() as stack:
        yield Office(world, crm, stack)
    await crm.stop()
