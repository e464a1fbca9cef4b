"""What the tests of a code's way share: processes that deliver codes, gateways that answer as told, people who ask.

A file that uses the fixture `world` imports it and names it in `__all__`.
"""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from bot.code_delivery import CodeDelivery, FallBack
from bot.resting import Resting
from handlers.ports import Accepted, CodeMessage, SendResult
from locales import Texts
from storage.database import Database
from storage.models import Channel, CodeSent
from storage.sending import FixedRoutes, Offer
from storage.tables import sends
from tests.storage.crowd import people
from tests.storage.world import Actor, World

REST = timedelta(seconds=30)
FIRST, SECOND = Offer("first", Channel.SMS, 100), Offer("second", Channel.SMS, 300)
TELEGRAM = Offer("telegram", Channel.TELEGRAM, 10)


class Scripted:
    """A gateway that answers as it is told, and takes everything when it is told nothing."""

    def __init__(self, name: str, *answers: SendResult, channel: Channel = Channel.SMS) -> None:
        self.name = name
        self.channels = frozenset({channel})
        self.answers = list(answers)
        self.asked: list[CodeMessage] = []

    async def send(self, message: CodeMessage) -> SendResult:
        self.asked.append(message)
        return self.answers.pop(0) if self.answers else Accepted(f"{self.name}-{len(self.asked)}")

    async def close(self) -> None:
        return None


class Process:
    """One process: what it knows of resting gateways is its own."""

    def __init__(self, world: World, *gateways: Scripted, owner: str = "one", tries: int = 5) -> None:
        self.world = world
        self.owner = owner
        self.woken = 0
        self.codes = CodeDelivery(
            world.outbox, world.sends, gateways, Resting(REST), Texts(), world.clock, random.Random(7),
            product="CRM", tries=tries, owner=owner,
        )  # fmt: skip
        self.fall_back = FallBack(world.outbox, world.challenges, world.clock, self.wake, owner)

    def wake(self) -> None:
        self.woken += 1

    async def looks(self) -> int:
        """Deliver what is due; return how many rows that were."""
        items = await self.world.outbox.take(self.owner, self.world.now, batch=100)
        for item in items:
            if item.kind == "code":
                await self.codes.deliver(item)
            elif item.kind == "fall_back":
                await self.fall_back.deliver(item)
        return sum(item.kind in ("code", "fall_back") for item in items)


@pytest.fixture
def world(database: Database) -> World:
    return World(database).with_sending(routes=FixedRoutes((FIRST, SECOND)))


async def asks(world: World, telegram_id: int = 1, number: str = "") -> Actor:
    (ira,) = await people(world, [telegram_id])
    assert isinstance(await ira.asks(number or f"+7{9_030_000_000 + telegram_id * 10_007}"), CodeSent)
    return ira


async def states(world: World) -> list[str]:
    return [row.state for row in sorted(await world.rows(sends), key=lambda row: row.at)]
