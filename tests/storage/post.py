"""Invitations and letters in a test: who invites, what the courier takes and sends, who follows the link."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import pytest

from storage.attribution import Attribution
from storage.invitation_tables import InvitationState, invitations
from storage.invitations import Invitations
from storage.letters import Letter, Letters
from storage.models import Account, Progress, TermsAcceptance, UpdateRef
from storage.outbox import OutboxItem
from tests.storage.world import VERSION, Actor, World

MOSCOW = ZoneInfo("Europe/Moscow")
ADDRESS = "kollega.personal@example.org"


@dataclass
class Post:
    """Invitations and letters of one world, and the inviter, who has registered."""

    world: World
    invitations: Invitations
    letters: Letters
    inviter: Actor

    async def invites(self, address: str = ADDRESS, by: Actor | None = None) -> None:
        await self.invitations.ask((by or self.inviter).update(), address, "Ира", "ru", self.world.now)

    async def takes(self, owner: str = "courier") -> list[OutboxItem]:
        return [item for item in await self.world.outbox.take(owner, self.world.now) if item.kind == "invitation"]

    async def begins(self, address: str = ADDRESS, by: Actor | None = None) -> tuple[OutboxItem, Letter | None]:
        await self.invites(address, by)
        (item,) = await self.takes()
        return item, await self.letters.begin(item, self.world.now)

    async def sends(self, address: str = ADDRESS, by: Actor | None = None) -> str:
        """A letter leaves; return the name in its link."""
        item, letter = await self.begins(address, by)
        assert letter is not None
        await self.letters.settle(letter, InvitationState.SENT, (item.id, "courier"))
        return letter.name

    async def withholds(self, address: str = ADDRESS, by: Actor | None = None) -> bool:
        item, letter = await self.begins(address, by)
        await self.world.outbox.done(item.id, "courier")
        return letter is None

    async def follows(self, who: Actor, name: str, update: UpdateRef | None = None) -> Progress | None:
        known = {"exists_elsewhere": False}
        return await self.invitations.follow(update or who.update(), name, self.world.now, **known)

    async def accepts(self, who: Actor, email: str = ADDRESS) -> Account:
        """Accept the terms with an address that the conversation says is verified."""
        accepted = TermsAcceptance(VERSION, "ru", "0" * 64)
        progress = await self.world.accounts.accept_terms(
            who.update(), "ru", email, accepted, self.world.now, verified=True
        )
        return progress.account

    async def states(self) -> list[str]:
        rows = await self.world.rows(invitations)
        return [row.state for row in sorted(rows, key=lambda row: row.id)]


def post_of(world: World, inviter: Actor) -> Post:
    attribution = Attribution(world.database, world.keys, world.limits.attribution_window, MOSCOW)
    made = Invitations(world.database, world.keys, world.limits, VERSION, attribution, world.events)
    return Post(world, made, Letters(world.database, world.keys, world.limits), inviter)


@pytest.fixture
async def post(world: World) -> Post:
    inviter = world.person(1)
    await inviter.registers()
    return post_of(world, inviter)
