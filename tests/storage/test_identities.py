"""Identities: one (issuer, subject), one person; who may take it, what it is worth, when it goes."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pytest

from storage.errors import AddressTaken, IdentityTaken, NoAccount, NumberTaken
from storage.identities import Identities, Identity
from storage.models import AccountStatus, TermsAcceptance
from storage.tables import accounts, identities
from tests.storage.world import NUMBER, OTHER_NUMBER, VERSION, Actor, World

_subjects = itertools.count(1)


def google(email: str | None = None, *, verified: bool = True) -> Identity:
    subject = f"subject-{next(_subjects)}"
    return Identity("google", "https://accounts.google.com", subject, email, verified and email is not None)


@pytest.fixture
def identified(world: World) -> Identities:
    return Identities(world.database, world.keys, world.accounts, world.limits, VERSION)


async def test_a_dozen_racers_and_one_identity(world: World, identified: Identities) -> None:
    identity = google("race@example.org")
    people = [world.person(n) for n in range(1, 13)]
    await asyncio.gather(*(identified.bind(one.update(), identity, world.now) for one in people))
    (row,) = await world.rows(identities)
    assert row.telegram_id in range(1, 13)


async def test_a_confirmed_account_keeps_its_identity_against_a_dozen(world: World, identified: Identities) -> None:
    owner, identity = world.person(1), google()
    await owner.registers()
    await identified.bind(owner.update(), identity, world.now)
    people = [world.person(n) for n in range(2, 14)]
    tries = [identified.bind(one.update(), identity, world.now) for one in people]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert [type(result) for result in results] == [IdentityTaken] * 12
    (row,) = await world.rows(identities)
    assert row.telegram_id == 1


async def test_a_repeated_update_binds_once_and_says_the_same(world: World, identified: Identities) -> None:
    ira, identity = world.person(1), google("ira@example.org")
    await ira.accepts(None)
    update = ira.update()
    first = await identified.bind(update, identity, world.now)
    again = await identified.bind(update, identity, world.now)
    assert first == again
    assert len(await world.rows(identities)) == 1


async def test_an_identity_is_issuer_and_subject(world: World, identified: Identities) -> None:
    """The same subject of another issuer is somebody else; the same address is nobody."""
    first = google("same@example.org")
    other_issuer = replace(first, issuer="https://www.facebook.com", provider="facebook", email_verified=False)
    other_subject = replace(first, subject="another")
    for number, identity in enumerate((first, other_issuer, other_subject), start=1):
        await identified.bind(world.person(number).update(), identity, world.now)
    assert {row.telegram_id for row in await world.rows(identities)} == {1, 2, 3}


@pytest.mark.parametrize("confirmed", [False, True])
async def test_t17_a_verified_address_is_taken_from_who_claimed_it(
    world: World, identified: Identities, confirmed: bool
) -> None:
    squatter, victim = world.person(1, "victim@example.org"), world.person(2)
    await (squatter.registers() if confirmed else squatter.accepts())
    await victim.accepts(None)
    progress = await identified.bind(victim.update(), google("victim@example.org"), world.now)
    assert progress is not None
    assert (progress.account.email, progress.account.email_verified) == ("victim@example.org", True)
    assert progress.displaced == (1,)
    assert (await squatter.account()).email is None
    assert (1, "notice-address-lost") in await world.notices()
    (row,) = await world.rows(identities)
    assert row.telegram_id == 2


async def test_t17_an_unverified_address_takes_nothing(world: World, identified: Identities) -> None:
    owner, attacker = world.person(1, "victim@example.org"), world.person(2)
    await owner.registers()
    await attacker.accepts(None)
    await identified.bind(attacker.update(), google("victim@example.org", verified=False), world.now)
    assert (await owner.account()).email == "victim@example.org"
    assert (await attacker.account()).email is None


async def test_a_verified_address_of_a_complete_account_is_said_and_the_identity_linked(
    world: World, identified: Identities
) -> None:
    first, second = world.person(1), world.person(2)
    await first.accepts(None)
    await identified.bind(first.update(), google("both@example.org"), world.now)
    await first.asks(NUMBER, contact=True, needs_code=False)
    identity = google("both@example.org")
    with pytest.raises(AddressTaken):
        await identified.bind(second.update(), identity, world.now)
    holder = await identified.holder(identity)
    assert holder is not None
    assert holder.telegram_id == 2
    assert (await first.account()).email == "both@example.org"


async def test_a_complete_account_keeps_its_address_or_learns_that_it_is_verified(
    world: World, identified: Identities
) -> None:
    ira = world.person(1, "ira@example.org")
    await ira.registers()
    await identified.bind(ira.update(), google("other@example.org"), world.now)
    account = await ira.account()
    assert (account.email, account.email_verified) == ("ira@example.org", False)
    await identified.bind(ira.update(), google("ira@example.org"), world.now)
    assert (await ira.account()).email_verified is True


async def test_terms_take_a_verified_address_only_where_an_identity_vouches_for_it(
    world: World, identified: Identities
) -> None:
    honest, liar = world.person(1), world.person(2)
    await identified.bind(honest.update(), google("real@example.org"), world.now)
    for one, email in ((honest, "real@example.org"), (liar, "made.up@example.org")):
        await world.accounts.accept_terms(
            one.update(), "ru", email, TermsAcceptance(VERSION, "ru", "0" * 64), world.now, verified=True
        )
    assert (await honest.account()).email_verified is True
    assert (await liar.account()).email_verified is False
    assert (await liar.account()).email == "made.up@example.org"


async def _linking(world: World, identified: Identities, actor: Actor, identity: Identity) -> None:
    await identified.bind(actor.update(), identity, world.now)
    await identified.begin_linking(actor.update(), "ru", world.now)


async def test_linking_moves_the_identity_and_nothing_else(world: World, identified: Identities) -> None:
    owner, prover, identity = world.person(1), world.person(2), google("owner@example.org")
    await owner.registers(NUMBER)
    before = await owner.account()
    await _linking(world, identified, prover, identity)
    with pytest.raises(NumberTaken):
        await prover.asks(NUMBER, contact=True, needs_code=False, claim=True)
    assert await identified.attach(2, NUMBER, world.now)
    assert await identified.attach(2, NUMBER, world.now), "an update that comes again says the same"
    holder = await identified.holder(identity)
    assert holder is not None
    assert holder.telegram_id == 1
    assert await owner.account() == before
    assert await world.accounts.of(2) is None
    assert (await world.notices()).count((1, "notice-identity-linked")) == 1


@pytest.mark.parametrize("days", [89, 91])
async def test_linking_stops_where_a_number_may_have_changed_hands(
    world: World, identified: Identities, days: int
) -> None:
    owner, prover, identity = world.person(1), world.person(2), google()
    await owner.registers(NUMBER)
    world.clock.move(days=days)
    await _linking(world, identified, prover, identity)
    assert await identified.attach(2, NUMBER, world.now) is (days == 89)
    holder = await identified.holder(identity)
    assert holder is not None
    assert holder.telegram_id == (1 if days == 89 else 2)


async def test_linking_finds_no_pending_account_and_none_of_ones_own(world: World, identified: Identities) -> None:
    pending, prover = world.person(1), world.person(2)
    await pending.accepts()
    await pending.asks(NUMBER, contact=True)
    await _linking(world, identified, prover, google())
    assert not await identified.attach(2, NUMBER, world.now)
    assert not await identified.attach(2, OTHER_NUMBER, world.now)
    owner = world.person(3)
    await owner.registers(OTHER_NUMBER)
    assert not await identified.attach(3, OTHER_NUMBER, world.now)
    assert (await owner.account()).status is AccountStatus.CONFIRMED


async def test_linking_needs_an_identity(world: World, identified: Identities) -> None:
    with pytest.raises(NoAccount):
        await identified.begin_linking(world.person(1).update(), "ru", world.now)
    assert await world.accounts.of(1) is None


async def test_only_ones_own_identity_is_unlinked(world: World, identified: Identities) -> None:
    ira, mallory = world.person(1), world.person(2)
    await identified.bind(ira.update(), google("ira@example.org"), world.now)
    (linked,) = await identified.of(1)
    assert not await identified.unlink(mallory.update(), linked.id)
    assert await identified.unlink(ira.update(), linked.id)
    assert await identified.of(1) == ()


async def test_a_withdrawal_undoes_what_was_linked_before_it(world: World, identified: Identities) -> None:
    ira, identity = world.person(1), google()
    await ira.accepts()
    asked = world.now
    world.clock.move(minutes=1)
    await identified.bind(ira.update(), identity, world.now)
    assert await identified.withdraw(identity.issuer, identity.subject, asked, world.now) is None
    assert await identified.withdraw(identity.issuer, identity.subject, world.now, world.now) == 1
    assert await identified.withdraw(identity.issuer, identity.subject, world.now, world.now) is None
    assert await world.rows(identities) == []
    assert (await world.notices()).count((1, "notice-identity-withdrawn")) == 1


async def test_identities_go_with_the_account_and_without_one_by_the_clock(
    world: World, identified: Identities
) -> None:
    erased, expired, nobody, stays = (world.person(n) for n in range(1, 5))
    for one in (erased, expired, nobody, stays):
        await identified.bind(one.update(), google(f"{one.id}@example.org"), world.now)
    await erased.accepts()
    await expired.accepts()
    await stays.registers()
    await world.accounts.erase(erased.update(), world.now)
    assert {row.telegram_id for row in await world.rows(identities)} == {2, 3, 4}
    world.clock.move(hours=24, seconds=1)
    await world.expiry.expire_due(world.now)
    await world.expiry.prune_applied(world.now)
    assert {row.telegram_id for row in await world.rows(identities)} == {4}


async def test_erasing_before_there_is_an_account(world: World, identified: Identities) -> None:
    ira = world.person(1)
    await identified.bind(ira.update(), google("ira@example.org"), world.now)
    assert await world.accounts.erase(ira.update(), world.now)
    assert await world.rows(identities) == []
    assert not await world.accounts.erase(ira.update(), world.now)


async def test_binding_while_the_holder_is_erased_ends_either_way_with_one(
    world: World, identified: Identities
) -> None:
    """No circle of locks: both come to an end."""
    for _ in range(5):
        identity = google("both@example.org")
        first, second = world.person(1), world.person(2)
        await first.accepts(None)
        await identified.bind(first.update(), identity, world.now)
        await asyncio.gather(
            world.accounts.erase(first.update(), world.now),
            identified.bind(second.update(), identity, world.now),
            identified.attach(1, NUMBER, world.now),
        )
        rows = await world.rows(identities, identities.c.subject == identity.subject)
        assert {row.telegram_id for row in rows} <= {2}
        await world.accounts.erase(second.update(), world.now)
        await world.accounts.erase(first.update(), world.now)
    assert await world.rows(accounts) == []
