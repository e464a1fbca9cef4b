"""Who gets a number or an address that more than one person wants."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from storage.errors import AddressTaken, NumberTaken
from storage.models import AccountStatus, CodeSent, Progress
from storage.tables import accounts, challenges, outbox
from tests.numbers import mobile
from tests.storage.world import DAY, NUMBER, OTHER_NUMBER, THIRD_NUMBER, World

SHARED = "shared@example.org"


async def confirmed(world: World) -> list[int]:
    rows = await world.rows(accounts, accounts.c.status == AccountStatus.CONFIRMED)
    return [row.telegram_id for row in rows]


async def test_f24_twelve_racers_for_one_address_one_wins(world: World) -> None:
    people = [world.person(telegram_id, SHARED) for telegram_id in range(1, 13)]
    await asyncio.gather(*(person.accepts() for person in people))
    results = await asyncio.gather(
        *(person.asks(f"+7916123450{person.id:02}", contact=True, needs_code=False) for person in people),
        return_exceptions=True,
    )
    (winner,) = [result for result in results if isinstance(result, Progress) and result.confirmed_now]
    losers = {person.id for person in people} - {winner.account.telegram_id}
    # Whoever came later met a confirmed account, or had lost the address already and keeps the proven number.
    for person, result in zip(people, results, strict=True):
        if person.id in losers:
            assert isinstance(result, AddressTaken) or (isinstance(result, Progress) and not result.confirmed_now)
            account = await person.account()
            assert (account.email, account.phone) == (None, f"+7916123450{person.id:02}")
    assert await confirmed(world) == [winner.account.telegram_id]
    assert set(winner.displaced) == losers
    assert await world.notices() == [(telegram_id, "notice-address-lost") for telegram_id in sorted(losers)]
    for telegram_id in losers:
        with pytest.raises(AddressTaken):
            await world.person(telegram_id).gives(SHARED)
        progress = await world.person(telegram_id).gives(f"own{telegram_id}@example.org")
        assert progress is not None
        assert progress.confirmed_now
    assert len(await confirmed(world)) == 12


async def test_f24_twelve_racers_for_one_number_one_wins(world: World) -> None:
    people = [world.person(telegram_id) for telegram_id in range(1, 13)]
    await asyncio.gather(*(person.accepts() for person in people))
    results = await asyncio.gather(
        *(person.asks(contact=True, needs_code=False, reveal=False) for person in people), return_exceptions=True
    )
    (winner,) = [result for result in results if isinstance(result, Progress)]
    assert winner.confirmed_now
    assert [result for result in results if isinstance(result, NumberTaken)] == [NumberTaken()] * 11
    assert await confirmed(world) == [winner.account.telegram_id]
    loser = next(person for person in people if person.id != winner.account.telegram_id)
    assert (await loser.account()).phone is None
    result = await loser.asks(OTHER_NUMBER, contact=True, needs_code=False)
    assert isinstance(result, Progress)
    assert result.confirmed_now


async def test_f24_right_codes_for_one_number_at_once_one_wins(world: World) -> None:
    people = [world.person(telegram_id) for telegram_id in (1, 2, 3)]
    for person in people:
        await person.accepts(email=SHARED)
        await person.asks()
    codes = [(await person.codes())[0] for person in people]
    results = await asyncio.gather(
        *(person.tries(code) for person, code in zip(people, codes, strict=True)), return_exceptions=True
    )
    (winner,) = [result for result in results if isinstance(result, Progress)]
    assert len(winner.displaced) == 2
    for person in people:
        if person.id != winner.account.telegram_id:
            account = await person.account()
            assert (account.email, account.phone, account.asked_number) == (None, None, None)
            await person.gives(person.email)
            assert isinstance(await person.asks(f"+7903000000{person.id}"), CodeSent)
            assert (await person.tries((await person.codes())[0])).confirmed_now
    assert len(await confirmed(world)) == 3


async def test_confirming_takes_number_and_address_from_pending_rivals_and_nothing_else(world: World) -> None:
    claimer, asker, prover, bystander = (world.person(telegram_id) for telegram_id in (2, 3, 4, 5))
    await claimer.accepts(email=SHARED)
    await asker.accepts()
    await asker.asks()
    await prover.accepts(email=None)
    await prover.asks(contact=True, needs_code=False)
    await bystander.accepts()
    await bystander.asks(OTHER_NUMBER)
    winner = world.person(1, SHARED)
    progress = await winner.registers()
    assert progress.confirmed_now
    assert sorted(progress.displaced) == [2, 3, 4]
    assert await world.notices() == [
        (2, "notice-address-lost"),
        (3, "notice-number-lost"),
        (4, "notice-number-lost"),
    ]
    kept = await asker.account()
    assert (kept.email, kept.terms_version, kept.asked_number) == (asker.email, "2026-01", None)
    assert (await claimer.account()).email is None
    assert (await prover.account()).phone is None
    assert (await bystander.account()).asked_number == OTHER_NUMBER
    states = {row.account_id: row.state for row in await world.rows(challenges)}
    assert states == {kept.id: "taken", (await bystander.account()).id: "open"}


async def test_a_rival_keeps_another_number_it_has_proven(world: World) -> None:
    rival = world.person(2, SHARED)
    await rival.accepts(email=None)
    await rival.asks(OTHER_NUMBER, contact=True, needs_code=False)
    await rival.asks(NUMBER)
    await world.person(1).registers(NUMBER)
    account = await rival.account()
    assert (account.phone, account.asked_number) == (OTHER_NUMBER, None)
    assert await world.notices() == [(2, "notice-number-lost")]
    done = await rival.gives(SHARED)
    assert done is not None
    assert done.confirmed_now


async def test_an_address_confirmed_meanwhile_costs_the_address_not_the_number(world: World) -> None:
    ira = world.person(1, SHARED)
    await ira.accepts()
    await world.person(2, SHARED).registers(OTHER_NUMBER)
    assert (await ira.account()).email is None
    # The conversation still has the address and offers it once more with the terms.
    await ira.accepts(email=SHARED)
    with pytest.raises(AddressTaken):
        await ira.asks(contact=True, needs_code=False)
    account = await ira.account()
    assert (account.email, account.phone, account.status) == (None, NUMBER, AccountStatus.PENDING)
    done = await ira.gives("ira@example.org")
    assert done is not None
    assert done.confirmed_now


async def test_t28_a_recycled_number_moves_to_who_proves_it(world: World) -> None:
    old = world.person(1)
    await old.registers()
    world.clock.move(days=90)
    new = world.person(2)
    await new.accepts()
    with pytest.raises(NumberTaken):
        await new.asks(contact=True, needs_code=False, claim=True)
    assert (await new.account()).phone is None
    world.clock.move(seconds=1)
    progress = await new.asks(contact=True, needs_code=False, claim=True)
    assert isinstance(progress, Progress)
    assert progress.confirmed_now
    assert progress.displaced == (1,)
    assert await world.notices() == [(1, "notice-number-moved")]
    account = await old.account()
    assert (account.status, account.phone, account.email) == (AccountStatus.PENDING, None, old.email)
    assert (account.expires_at, account.confirmed_at) == (world.now + DAY, None)
    await old.asks(THIRD_NUMBER)
    assert (await old.tries((await old.codes())[0])).confirmed_now


async def test_t17_a_verified_address_beats_a_claimed_one_pending_or_confirmed(world: World) -> None:
    holder, rival, owner = (world.person(telegram_id, SHARED) for telegram_id in (1, 2, 3))
    await holder.registers(OTHER_NUMBER)
    await rival.accepts(email=SHARED)
    await owner.accepts(email=None)
    with pytest.raises(AddressTaken):
        await owner.gives(SHARED)
    progress = await owner.gives(SHARED, verified=True)
    assert progress is not None
    assert sorted(progress.displaced) == [1, 2]
    assert progress.account.email_verified
    assert await world.notices() == [(1, "notice-address-lost"), (2, "notice-address-lost")]
    lost = await holder.account()
    assert (lost.status, lost.email, lost.phone) == (AccountStatus.CONFIRMED, None, OTHER_NUMBER)
    # Claiming it once more does not take it from who verified it, confirmed or not.
    await rival.gives(SHARED)
    with pytest.raises(AddressTaken):
        await rival.asks(contact=True, needs_code=False)
    done = await owner.asks(THIRD_NUMBER, contact=True, needs_code=False)
    assert isinstance(done, Progress)
    assert done.confirmed_now
    with pytest.raises(AddressTaken):
        await holder.gives(SHARED, reveal=False)
    again = await holder.gives("holder@example.org")
    assert again is not None
    assert (again.account.email, again.confirmed_now) == ("holder@example.org", False)


async def test_a_confirmed_person_who_gives_an_address_takes_it_from_pending_rivals(world: World) -> None:
    holder, owner, rival = (world.person(telegram_id, SHARED) for telegram_id in (1, 2, 3))
    await holder.registers(OTHER_NUMBER)
    await owner.accepts(email=None)
    await owner.gives(SHARED, verified=True)
    await rival.accepts(email="new@example.org")
    progress = await holder.gives("new@example.org")
    assert progress is not None
    assert progress.displaced == (3,)
    assert (await rival.account()).email is None


async def test_a_verified_address_typed_again_stays_verified(world: World) -> None:
    ira = world.person(1)
    await ira.accepts(email=None)
    await ira.gives(SHARED, verified=True)
    progress = await ira.gives(SHARED)
    assert progress is not None
    assert progress.account.email_verified
    progress = await ira.gives("other@example.org")
    assert progress is not None
    assert not progress.account.email_verified


async def test_a_changed_version_of_the_terms_is_accepted_before_confirming(world: World) -> None:
    ira = world.person(1)
    await ira.accepts(version="2025-12")
    result = await ira.asks(contact=True, needs_code=False)
    assert isinstance(result, Progress)
    assert (result.confirmed_now, result.account.phone) == (False, NUMBER)
    assert (await ira.accepts(email=None)).confirmed_now


async def test_nothing_stays_asked_of_a_confirmed_person(world: World) -> None:
    ira = world.person(1)
    await ira.accepts(email=None)
    await ira.asks(NUMBER, contact=True, needs_code=False)
    await ira.asks(OTHER_NUMBER)
    progress = await ira.gives("ira@example.org")
    assert progress is not None
    assert (progress.confirmed_now, progress.account.phone, progress.account.asked_number) == (True, NUMBER, None)
    assert await world.deliver() == []


async def test_crossing_rivals_never_wait_in_a_circle(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two dozen people, eight numbers, six addresses: everybody is somebody's rival twice, all at once."""
    monkeypatch.setattr("storage.database._TRIES", 1)
    people = [world.person(telegram_id) for telegram_id in range(1, 25)]
    await asyncio.gather(*(person.accepts(email=f"a{person.id % 6}@example.org") for person in people))

    async def go(n: int) -> None:
        # In ranges of their own: whom a range's limit stops never gets to the rivals.
        number = mobile(n % 8)
        try:
            await people[n].asks(number, reveal=False)
            await people[n].asks(number, contact=True, needs_code=False, reveal=False)
        except (AddressTaken, NumberTaken):
            pass
        await people[n].gives(f"late{n}@example.org", reveal=False)

    async with asyncio.timeout(30):
        await asyncio.gather(*(go(n) for n in range(24)))
    winners = await world.rows(accounts, accounts.c.status == AccountStatus.CONFIRMED)
    assert len({row.phone for row in winners}) == len(winners) == 8
    assert len({row.email for row in winners}) == 8


async def test_notices_are_due_at_once_and_personal(world: World) -> None:
    await world.person(2, SHARED).accepts()
    await world.person(1, SHARED).registers()
    (row,) = await world.rows(outbox, outbox.c.kind == "notice")
    assert (row.run_at, row.telegram_id) == (world.now, 2)
    assert row.payload == {"telegram_id": 2, "language": "ru", "text": "notice-address-lost", "values": {}}
    assert await world.outbox.take("me", world.now - timedelta(seconds=1)) == []
