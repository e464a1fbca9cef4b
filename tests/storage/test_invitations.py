"""Invitations in the database: one use under a race, what a crash repeats, what is kept of whom, and for how long."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from storage.attribution import Attribution
from storage.errors import AddressTaken, InvitationGone, LimitReached, NoAccount
from storage.exports import Exports
from storage.funnels import Funnels, Period
from storage.identities import Identities
from storage.invitation_tables import InvitationState, invitations, mail_stops
from storage.invitations import Invitations
from storage.keys import Keys
from storage.known_accounts import KnownAccounts
from storage.letters import Letter, Letters
from storage.models import Account, Progress, TermsAcceptance, UpdateRef
from storage.outbox import OutboxItem
from storage.partner_tables import campaigns
from storage.tables import LookupKind, outbox
from tests.storage.world import OTHER_NUMBER, SECRET, THIRD_NUMBER, VERSION, Actor, World

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


async def test_50_people_follow_one_link_and_one_is_taken(post: Post) -> None:
    name = await post.sends()
    people = [post.world.person(100 + n) for n in range(50)]
    for person in people[::2]:
        await person.accepts()

    async def go(person: Actor) -> str:
        try:
            await post.follows(person, name)
        except InvitationGone:
            return "gone"
        return "taken"

    async with asyncio.timeout(60):
        outcomes = await asyncio.gather(*(go(person) for person in people))
    assert Counter(outcomes) == {"taken": 1, "gone": 49}
    winner = people[outcomes.index("taken")]
    account = await post.world.accounts.of(winner.id)
    if account is None:
        account = await post.accepts(winner)
    assert (account.email, account.email_verified) == (ADDRESS, True)
    # And a loser registers as everybody does.
    loser = next(person for person in people if person is not winner)
    assert (await loser.registers(OTHER_NUMBER)).confirmed_now


async def test_the_inviter_is_credited_once_the_invited_is_registered(post: Post) -> None:
    invited, name = post.world.person(2), await post.sends()
    await post.follows(invited, name)
    await post.accepts(invited)
    await invited.asks(OTHER_NUMBER, contact=True, needs_code=False, claim=True)
    inviter = await post.inviter.account()
    assert inviter.invite is not None
    funnel = await Funnels(post.world.database, MOSCOW).of(inviter.invite, Period.ALL, post.world.now)
    assert (funnel.starts, funnel.email, funnel.confirmed) == (1, 1, 1)


async def test_the_same_update_again_is_answered_the_same(post: Post) -> None:
    early, late, name = post.world.person(2), post.world.person(3), await post.sends()
    first = early.update()
    assert await post.follows(early, name, first) is None
    assert await post.follows(early, name, first) is None
    second = late.update()
    for _ in range(2):
        with pytest.raises(InvitationGone):
            await post.follows(late, name, second)


async def test_a_verified_address_is_nobodys_word_but_the_databases(post: Post) -> None:
    """A conversation that says so without an invitation or an identity is not believed (T17)."""
    liar = post.world.person(2)
    account = await post.accepts(liar)
    assert (account.email, account.email_verified) == (ADDRESS, False)
    invited, name = post.world.person(3), await post.sends("another@example.org")
    await post.follows(invited, name)
    account = await post.accepts(invited)
    assert (account.email, account.email_verified) == (ADDRESS, False)


async def test_whose_address_is_proven_otherwise_uses_nothing_up(post: Post) -> None:
    proven, invited, name = post.world.person(2), post.world.person(3), await post.sends()
    await proven.accepts()
    await proven.gives("mine@example.org", verified=True)
    progress = await post.follows(proven, name)
    assert progress is not None
    assert progress.account.email == "mine@example.org"
    assert await post.follows(post.inviter, name) is not None
    assert await post.follows(invited, name) is None


async def test_a_better_right_is_told_and_uses_nothing_up(post: Post) -> None:
    owner, invited, name = post.world.person(2), post.world.person(3), await post.sends()
    await owner.accepts()
    await owner.gives(ADDRESS, verified=True)
    await owner.asks(OTHER_NUMBER, contact=True, needs_code=False, claim=True)
    for _ in range(2):
        with pytest.raises(AddressTaken):
            await post.follows(invited, name)
    with pytest.raises(AddressTaken):
        await post.invitations.follow(invited.update(), name, post.world.now, exists_elsewhere=True)


async def test_only_whoever_is_registered_invites_and_so_many(post: Post) -> None:
    pending = post.world.person(2)
    with pytest.raises(NoAccount):
        await post.invites(by=pending)
    await pending.accepts()
    with pytest.raises(NoAccount):
        await post.invites(by=pending)

    async def go(n: int) -> str:
        try:
            await post.invites(f"n{n}@example.org")
        except LimitReached as reached:
            return f"refused until {reached.retry_at}"
        return "asked"

    until = post.world.now + timedelta(days=1)
    outcomes = Counter(await asyncio.gather(*(go(n) for n in range(12))))
    assert outcomes == {"asked": 10, f"refused until {until}": 2}
    rotated = Keys("another secret, long enough for the tests", SECRET)
    world = World(post.world.database, rotated)
    with pytest.raises(LimitReached):
        await post_of(world, world.person(1)).invites()
    post.world.clock.move(days=1, seconds=1)
    await post.invites()


async def test_two_inviters_at_once_write_one_letter(post: Post) -> None:
    """T4: whoever asks, and however many couriers there are."""
    others = [post.world.person(n) for n in (2, 3)]
    await others[0].registers(OTHER_NUMBER)
    await others[1].registers(THIRD_NUMBER)
    for by in (post.inviter, *others):
        await post.invites(by=by)
    begun = await asyncio.gather(*(post.letters.begin(item, post.world.now) for item in await post.takes()))
    assert [letter is None for letter in begun].count(False) == 1
    assert Counter(await post.states()) == {"sending": 1, "withheld": 2}


async def test_who_wants_no_letter_or_is_registered_gets_none(post: Post) -> None:
    world = post.world
    await world.person(2, "known@example.org").registers(OTHER_NUMBER)
    assert await post.withholds("known@example.org")
    await KnownAccounts(world.database, world.keys).add([(LookupKind.ADDRESS, "crm@example.org")], world.now)
    assert await post.withholds("crm@example.org")
    # A claim that was never confirmed keeps nobody from being invited.
    await world.person(3, "claimed@example.org").accepts()
    assert not await post.withholds("claimed@example.org")
    item, letter = await post.begins("tired@example.org")
    assert letter is not None
    await post.letters.settle(letter, InvitationState.SENT, (item.id, "courier"))
    for _ in range(2):
        await post.letters.stop(letter.stop, world.now)
    world.clock.move(days=400)
    assert await post.withholds("tired@example.org")
    # And while the secret key is being changed.
    rotated = World(world.database, Keys("another secret, long enough for the tests", SECRET))
    rotated.clock = world.clock
    assert await post_of(rotated, rotated.person(1)).withholds("tired@example.org")
    assert not await post.withholds("fresh@example.org")


async def test_f21_a_letter_whose_sender_died_leaves_once_more_and_no_third_time(post: Post) -> None:
    _, first = await post.begins()
    assert first is not None
    again: list[Letter | None] = []
    for owner in ("two", "three"):
        post.world.clock.move(seconds=61)
        (item,) = await post.takes(owner)
        again.append(await post.letters.begin(item, post.world.now))
    assert again[0] is not None
    assert again[0] == first
    assert again[1] is None
    assert await post.states() == ["unknown"]


async def test_f20_what_did_not_leave_is_as_it_was(post: Post) -> None:
    item, letter = await post.begins()
    assert letter is not None
    await post.letters.postpone(letter, (item.id, "courier"), post.world.now + timedelta(minutes=1), "unavailable")
    assert await post.takes() == []
    # It is no letter that was written: the next one is not held back by it.
    assert not await post.withholds()
    post.world.clock.move(minutes=1)
    assert len(await post.takes()) == 1


@pytest.mark.parametrize(
    ("state", "again"),
    [
        (InvitationState.REFUSED, True), (InvitationState.FAILED, True), (InvitationState.UNKNOWN, False),
        (InvitationState.SENT, False),
    ],
)  # fmt: skip
async def test_only_what_may_have_arrived_keeps_the_next_letter_back(
    post: Post, state: InvitationState, again: bool
) -> None:
    item, letter = await post.begins()
    assert letter is not None
    await post.letters.settle(letter, state, (item.id, "courier"))
    assert await post.withholds() is not again


async def test_f43_a_link_made_before_the_secret_was_changed_is_the_same(post: Post) -> None:
    await post.invites()
    rotated = World(post.world.database, Keys("another secret, long enough for the tests", SECRET))
    rotated.clock = post.world.clock
    (item,) = await post.takes()
    letter = await post_of(rotated, post.inviter).letters.begin(item, rotated.now)
    assert letter is not None
    assert await post.follows(post.world.person(2), letter.name) is None


async def test_t26_who_steals_the_database_learns_no_address_and_no_link(post: Post) -> None:
    await post.invites()
    waiting = await post.world.everything()
    assert ADDRESS in waiting
    (item,) = await post.takes()
    letter = await post.letters.begin(item, post.world.now)
    assert letter is not None
    # Not even while the address waits to be written to.
    assert letter.name not in waiting
    await post.letters.settle(letter, InvitationState.SENT, (item.id, "courier"))
    left = await post.world.everything()
    for secret in (ADDRESS, ADDRESS.partition("@")[0], letter.name):
        assert secret not in left
    (row,) = await post.world.rows(invitations)
    assert ADDRESS.encode() not in row.sealed
    await post.letters.stop(letter.stop, post.world.now)
    assert len(await post.world.rows(mail_stops)) == 1


async def test_an_address_waits_for_its_account_for_a_day(post: Post) -> None:
    world = post.world
    invited, name = world.person(2), await post.sends()
    await post.follows(invited, name)
    identities = Identities(world.database, world.keys, world.accounts, world.limits, VERSION)
    assert await identities.vouched(invited.id) == ADDRESS
    told = await Exports(world.database, world.keys).of(invited.id)
    assert told is not None
    assert [row["email"] for row in told["invited"]] == [ADDRESS]
    world.clock.move(hours=23)
    await world.expiry.prune_applied(world.now)
    assert await identities.vouched(invited.id) == ADDRESS
    world.clock.move(hours=1, seconds=1)
    await world.expiry.prune_applied(world.now)
    assert await identities.vouched(invited.id) is None
    assert ADDRESS not in await world.everything()
    assert len(await world.rows(invitations)) == 1


@pytest.mark.parametrize("account", [False, True])
async def test_erasure_takes_the_address_along(post: Post, account: bool) -> None:
    world = post.world
    invited, name = world.person(2), await post.sends()
    await post.follows(invited, name)
    if account:
        await invited.accepts("typed@example.org")
    assert await world.accounts.erase(invited.update(), world.now)
    assert ADDRESS not in await world.everything()
    assert str(invited.id) not in [str(row.invitee) for row in await world.rows(invitations)]


async def test_old_invitations_go_when_nothing_counts_them_any_more(post: Post) -> None:
    world = post.world
    await post.sends()
    world.clock.move(days=15)
    await world.expiry.prune_applied(world.now)
    assert len(await world.rows(invitations)) == 1
    await post.sends("new@example.org")
    world.clock.move(days=1, seconds=1)
    await world.expiry.prune_applied(world.now)
    assert len(await world.rows(invitations)) == 1


async def test_a_letter_that_was_given_up_for_a_fault_is_forgotten(post: Post) -> None:
    item, _ = await post.begins()
    await post.world.outbox.dead(item.id, "courier", error="fault")
    post.world.clock.move(days=2, seconds=1)
    await post.world.expiry.prune_applied(post.world.now)
    assert await post.world.rows(outbox, outbox.c.kind == "invitation") == []


async def test_t15_the_export_tells_no_inviter_what_became_of_letters(post: Post) -> None:
    world = post.world
    await world.person(2, "known@example.org").registers(OTHER_NUMBER)
    assert await post.withholds("known@example.org")
    await post.begins("new@example.org")
    told = await Exports(world.database, world.keys).of(post.inviter.id)
    assert told is not None
    assert told["invitations"] == [{"created_at": world.now.isoformat()}] * 2
    assert told["waiting"] == []
    assert "example.org" not in json.dumps({**told, "account": None})


async def test_everybody_who_is_confirmed_has_a_link_and_it_goes_with_them(post: Post) -> None:
    world = post.world
    other = world.person(2)
    confirmed = await other.registers(OTHER_NUMBER)
    links = [confirmed.account.invite, (await post.inviter.account()).invite]
    assert None not in links
    assert (await other.account()).invite == links[0]
    assert links[0] != links[1]
    assert len(await world.rows(campaigns)) == 2
    for person in (other, post.inviter):
        await world.accounts.erase(person.update(), world.now)
    assert await world.rows(campaigns) == []
