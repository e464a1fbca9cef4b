"""The letters of invitations: who gets one and how often, what a crash repeats, what a thief would find."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import timedelta

import pytest

from storage.exports import Exports
from storage.invitation_tables import InvitationState, invitations, mail_stops
from storage.keys import Keys
from storage.known_accounts import KnownAccounts
from storage.letters import Letter
from storage.tables import LookupKind, outbox
from tests.storage.post import ADDRESS, Post, post, post_of
from tests.storage.world import OTHER_NUMBER, SECRET, THIRD_NUMBER, World

__all__ = ["post"]


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
