"""Who is registered elsewhere, as the CRM listed them: in nobody's sight, and in the way of whoever comes with it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from storage.errors import AddressTaken, NumberTaken
from storage.keys import Keys
from storage.known_accounts import KnownAccounts
from storage.models import AccountStatus, CodeSent, Progress
from storage.tables import LookupKind, known_accounts
from tests.storage.world import NUMBER, OTHER_NUMBER, SECRET, THIRD_NUMBER, World

ADDRESS = "known@example.org"


@pytest.fixture
def known(world: World) -> KnownAccounts:
    return KnownAccounts(world.database, world.keys)


async def lists(known: KnownAccounts, world: World, *values: str) -> None:
    kinds = [(LookupKind.ADDRESS if "@" in value else LookupKind.NUMBER, value) for value in values]
    await known.add(kinds, world.now)


async def test_what_is_listed_is_kept_as_hmacs_each_once(known: KnownAccounts, world: World) -> None:
    await lists(known, world, NUMBER, ADDRESS, NUMBER)
    await lists(known, world, ADDRESS)
    assert await known.count() == 2
    everything = await world.everything()
    assert NUMBER not in everything
    assert ADDRESS not in everything


async def test_a_listed_number_and_address_are_registered_ones(known: KnownAccounts, world: World) -> None:
    await lists(known, world, NUMBER, ADDRESS)
    ira = world.person(1)
    with pytest.raises(AddressTaken):
        await ira.gives(ADDRESS)
    await ira.accepts()
    with pytest.raises(AddressTaken):
        await ira.gives(ADDRESS, verified=True)
    with pytest.raises(NumberTaken):
        await ira.asks(NUMBER)
    with pytest.raises(NumberTaken):
        await ira.asks(NUMBER, contact=True, needs_code=False)
    assert isinstance(await ira.asks(OTHER_NUMBER, contact=True, needs_code=False), Progress)
    assert (await ira.account()).status is AccountStatus.CONFIRMED


async def test_a_listed_number_is_not_moved_to_who_proves_it_however_old(known: KnownAccounts, world: World) -> None:
    await lists(known, world, NUMBER)
    world.clock.move(days=1000)
    ira = world.person(1)
    await ira.accepts()
    with pytest.raises(NumberTaken):
        await ira.asks(NUMBER, contact=True, needs_code=False, claim=True)
    assert (await ira.account()).phone is None
    assert isinstance(await ira.asks(OTHER_NUMBER), CodeSent)
    assert (await ira.tries((await ira.codes())[0])).confirmed_now


async def test_t15_after_proof_both_are_told_only_when_the_number_is_proven(known: KnownAccounts, world: World) -> None:
    await lists(known, world, NUMBER, ADDRESS)
    ira = world.person(1, ADDRESS)
    assert await ira.gives(ADDRESS, reveal=False) is None
    await ira.accepts()
    assert isinstance(await ira.asks(NUMBER, reveal=False), CodeSent)
    with pytest.raises(NumberTaken):
        await ira.tries((await ira.codes())[0])
    assert isinstance(await ira.asks(OTHER_NUMBER, reveal=False), CodeSent)
    with pytest.raises(AddressTaken):
        await ira.tries((await ira.codes())[0])
    account = await ira.account()
    assert (account.email, account.phone) == (None, OTHER_NUMBER)
    done = await ira.gives("own@example.org", reveal=False)
    assert done is not None
    assert done.confirmed_now


async def test_who_is_registered_here_loses_nothing_when_the_crm_lists_them(known: KnownAccounts, world: World) -> None:
    ira = world.person(1)
    await ira.registers(NUMBER)
    await lists(known, world, NUMBER, ira.email)
    progress = await ira.gives(ira.email)
    assert progress is not None
    assert (await ira.account()).status is AccountStatus.CONFIRMED
    # A recycled number moves as ever, and who had it completes the account anew with the address it has.
    world.clock.move(days=91)
    oleg = world.person(2)
    await oleg.accepts()
    result = await oleg.asks(NUMBER, contact=True, needs_code=False, claim=True)
    assert isinstance(result, Progress)
    assert result.displaced == (1,)
    again = await ira.asks(THIRD_NUMBER, contact=True, needs_code=False)
    assert isinstance(again, Progress)
    assert (again.confirmed_now, again.account.email) == (True, ira.email)


async def test_who_leaves_may_come_back(known: KnownAccounts, world: World) -> None:
    ira = world.person(1)
    await ira.registers(NUMBER)
    await lists(known, world, NUMBER, ira.email, OTHER_NUMBER)
    await world.accounts.erase(ira.update(), world.now)
    assert await known.count() == 1
    assert (await ira.registers(NUMBER)).confirmed_now


async def test_who_never_finished_takes_nothing_off_the_list(known: KnownAccounts, world: World) -> None:
    ira = world.person(1, ADDRESS)
    await ira.accepts()
    await lists(known, world, ADDRESS)
    await world.accounts.erase(ira.update(), world.now)
    assert await known.count() == 1


async def test_what_was_not_listed_again_is_forgotten(known: KnownAccounts, world: World) -> None:
    many = [f"old{n}@example.org" for n in range(1203)]
    await lists(known, world, *many, NUMBER)
    world.clock.move(hours=1)
    await lists(known, world, NUMBER, OTHER_NUMBER)
    assert await known.forget_older(world.now) == 1203
    assert await known.count() == 2
    assert await known.forget_older(world.now) == 0


async def test_two_imports_at_once_wait_for_each_other_in_no_circle(
    known: KnownAccounts, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.database._TRIES", 1)
    values = [f"person{n}@example.org" for n in range(400)]
    async with asyncio.timeout(30):
        await asyncio.gather(*(lists(known, world, *values[shift:], *values[:shift]) for shift in (0, 100, 200, 300)))
    assert await known.count() == 400


async def test_under_a_new_secret_the_list_holds_while_the_old_one_is_given(known: KnownAccounts, world: World) -> None:
    await lists(known, world, NUMBER, ADDRESS)
    new = "another secret of the tests, long enough"
    rotated = World(world.database, Keys(new, SECRET), world.limits)
    ira = rotated.person(1)
    await ira.accepts()
    with pytest.raises(NumberTaken):
        await ira.asks(NUMBER)
    with pytest.raises(AddressTaken):
        await ira.gives(ADDRESS)
    rows = await world.rows(known_accounts)
    assert {row.imported_at - world.now for row in rows} == {timedelta(0)}
