"""Invitations in the database: one use under a race, what is kept of whom, and for how long."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from storage.errors import AddressTaken, InvitationGone, LimitReached, NoAccount
from storage.exports import Exports
from storage.funnels import Funnels, Period
from storage.identities import Identities
from storage.invitation_tables import invitations
from storage.keys import Keys
from storage.partner_tables import campaigns
from tests.storage.post import ADDRESS, MOSCOW, Post, post, post_of
from tests.storage.world import OTHER_NUMBER, SECRET, VERSION, Actor, World

__all__ = ["post"]


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
