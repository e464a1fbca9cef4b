"""A world with a CRM that wants to be told, and the queue of what it is to learn."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from storage.database import Database
from storage.event_queue import Event, EventQueue
from storage.tables import outbox
from tests.fakes.crm import VALIDATOR
from tests.storage.world import World

LEASE = timedelta(seconds=60)


@pytest.fixture
def world(database: Database) -> World:
    """A world with a CRM that wants to be told."""
    return World(database, told=True)


@pytest.fixture
def queue(world: World) -> EventQueue:
    return EventQueue(world.database, LEASE)


async def events(world: World) -> list[Any]:
    rows = await world.rows(outbox, outbox.c.kind == "event")
    for row in rows:
        VALIDATOR.validate(row.payload)
    return sorted(rows, key=lambda row: (row.payload["timestamp"], str(row.account_id), row.n))


async def next_event(queue: EventQueue, world: World, owner: str = "one") -> Event:
    (event,) = await queue.take(owner, world.now, 10)
    return event
