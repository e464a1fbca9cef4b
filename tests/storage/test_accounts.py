"""Accounts: created once, kept by their person, erased without a trace."""

from __future__ import annotations

import asyncio

import pytest

from storage.errors import AddressTaken, Limit, LimitReached, NoAccount, WrongCode
from storage.keys import Keys
from storage.models import AccountStatus, Progress
from storage.tables import accounts, challenges, lookups, outbox, sends, terms_acceptances
from tests.storage.world import DAY, NUMBER, OTHER_NUMBER, SECRET, World

SHARED = "shared@example.org"


async def test_nobody_has_an_account_before_the_terms(world: World) -> None:
    ira = world.person(1)
    assert await ira.gives(ira.email) is None
    assert await world.accounts.of(1) is None
    await world.accounts.set_language(ira.update(), "en")
    assert not await world.accounts.erase(ira.update(), world.now)
    assert await world.rows(accounts) == []


async def test_accepting_the_terms_creates_the_account_and_its_history(world: World) -> None:
    ira = world.person(1)
    progress = await ira.accepts()
    account = progress.account
    assert (account.telegram_id, account.status, account.email) == (1, AccountStatus.PENDING, ira.email)
    assert (account.email_verified, account.terms_version, account.language) == (False, "2026-01", "ru")
    assert (account.created_at, account.expires_at) == (world.now, world.now + DAY)
    assert (account.phone, account.asked_number, account.confirmed_at) == (None, None, None)
    (row,) = await world.rows(terms_acceptances)
    assert (row.account_id, row.version, row.language, row.sentence_hash) == (account.id, "2026-01", "ru", "0" * 64)
    assert row.accepted_at == world.now


async def test_f24_twelve_racers_on_one_telegram_id_make_one_account(world: World) -> None:
    ira = world.person(1)
    results = await asyncio.gather(*(ira.accepts() for _ in range(12)))
    assert len({progress.account.id for progress in results}) == 1
    assert len(await world.rows(accounts)) == 1
    assert len(await world.rows(terms_acceptances)) == 12


async def test_accepting_again_keeps_the_end_and_the_address(world: World) -> None:
    ira = world.person(1)
    first = (await ira.accepts(version="2025-12")).account
    world.clock.move(hours=3)
    second = (await ira.accepts(email="other@example.org")).account
    assert (second.id, second.email, second.expires_at) == (first.id, ira.email, first.expires_at)
    assert second.terms_version == "2026-01"
    assert [row.version for row in await world.rows(terms_acceptances)] == ["2025-12", "2026-01"]


async def test_an_address_is_changed_while_the_account_is_pending_only(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    progress = await ira.gives("second@example.org")
    assert progress is not None
    assert (progress.account.email, progress.confirmed_now) == ("second@example.org", False)
    await ira.asks(contact=True, needs_code=False)
    progress = await ira.gives("third@example.org")
    assert progress is not None
    assert (progress.account.email, progress.confirmed_now) == ("second@example.org", False)


async def test_a_registered_address_is_named_at_once_or_only_after_proof(world: World) -> None:
    await world.person(1, SHARED).registers()
    petr = world.person(2)
    with pytest.raises(AddressTaken):
        await petr.gives(SHARED)
    assert await petr.gives(SHARED, reveal=False) is None
    await petr.accepts(email=SHARED)
    progress = await petr.gives(SHARED, reveal=False)
    assert progress is not None
    assert progress.account.email == SHARED
    with pytest.raises(AddressTaken):
        await petr.asks(OTHER_NUMBER, contact=True, needs_code=False)
    account = await petr.account()
    assert (account.email, account.phone) == (None, OTHER_NUMBER)
    done = await petr.gives("petr@example.org", reveal=False)
    assert done is not None
    assert done.confirmed_now


async def test_t15_look_ups_of_addresses_stop_at_five_different_ones_a_day(world: World) -> None:
    await world.person(1, SHARED).registers()
    spy = world.person(2)
    start = world.now
    for n in range(4):
        world.clock.move(minutes=1)
        await spy.gives(f"a{n}@example.org")
    for _ in range(3):
        with pytest.raises(AddressTaken):
            await spy.gives(SHARED)
    for address in ("next@example.org", "a5@example.org"):
        with pytest.raises(LimitReached) as refusal:
            await spy.gives(address)
        assert (refusal.value.limit, refusal.value.retry_at.isoformat()) == (
            Limit.ADDRESSES_PER_PERSON,
            (start + DAY).replace(minute=1).isoformat(),
        )
    # What was tried before is free, and an honest person goes on with it.
    await spy.gives("a1@example.org")
    assert len(await world.rows(lookups)) == 5
    assert (await spy.accepts(email="a1@example.org")).account.email == "a1@example.org"
    world.clock.moment = refusal.value.retry_at
    await spy.gives("next@example.org")


async def test_t15_parallel_look_ups_do_not_slip_past_the_limit(world: World) -> None:
    spy = world.person(1)
    results = await asyncio.gather(*(spy.gives(f"a{n}@example.org") for n in range(12)), return_exceptions=True)
    assert results.count(None) == 5
    assert sum(isinstance(result, LimitReached) for result in results) == 7


async def test_the_language_is_kept(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await world.accounts.set_language(ira.update(), "en")
    assert (await ira.account()).language == "en"


async def test_blocking_is_remembered_and_forgotten(world: World) -> None:
    await world.person(1).accepts()
    await world.accounts.mark_blocked(1, blocked=True, now=world.now)
    assert [row.blocked_at for row in await world.rows(accounts)] == [world.now]
    await world.accounts.mark_blocked(1, blocked=False, now=world.now)
    assert [row.blocked_at for row in await world.rows(accounts)] == [None]


@pytest.mark.parametrize("step", ["terms", "email", "code", "language"])
async def test_who_is_back_is_not_blocked_whatever_a_courier_learnt_too_late(world: World, step: str) -> None:
    ira, gone = world.person(1), world.person(2)
    for person in (ira, gone):
        await person.accepts()
        await person.asks(NUMBER if person is ira else OTHER_NUMBER)
        await world.accounts.mark_blocked(person.update().telegram_id, blocked=True, now=world.now)
    if step == "terms":
        await ira.accepts()
    elif step == "email":
        await ira.gives("new@example.org")
    elif step == "code":
        await ira.tries((await ira.codes())[0])
    else:
        await world.accounts.set_language(ira.update(), "en")
    assert {row.telegram_id: row.blocked_at for row in await world.rows(accounts)} == {1: None, 2: world.now}


async def test_erasure_takes_everything_personal_and_leaves_the_ledger_and_the_others(world: World) -> None:
    ira, petr = world.person(1), world.person(2)
    for person, number in ((ira, NUMBER), (petr, OTHER_NUMBER)):
        await person.accepts()
        await person.gives(person.email)
        await person.asks(number)
        with pytest.raises(WrongCode):
            await person.tries(await person.wrong())
    assert NUMBER in await world.everything()
    ledger = len(await world.rows(sends))
    update = ira.update()
    assert await world.accounts.erase(update, world.now)
    assert await world.accounts.erase(update, world.now)
    assert not await world.accounts.erase(ira.update(), world.now)
    left = await world.everything()
    assert NUMBER not in left
    assert ira.email not in left
    assert OTHER_NUMBER in left
    assert petr.email in left
    assert len(await world.rows(sends)) == ledger
    assert len(await world.rows(terms_acceptances)) == 2
    assert [row.telegram_id for row in await world.rows(outbox)] == [2]
    states = {row.number: row.state for row in await world.rows(challenges)}
    assert states == {None: "dead", OTHER_NUMBER: "open"}
    with pytest.raises(NoAccount):
        await ira.tries("000000")
    # At once again, with the same address and number.
    assert (await ira.registers()).confirmed_now
    assert (await petr.account()).asked_number == OTHER_NUMBER


async def test_a_confirmed_account_is_erased_too(world: World) -> None:
    ira = world.person(1)
    await ira.registers()
    assert await world.accounts.erase(ira.update(), world.now)
    assert NUMBER not in await world.everything()
    result = await world.person(2, ira.email).registers()
    assert isinstance(result, Progress)
    assert result.confirmed_now


async def test_the_ledger_knows_people_numbers_and_addresses_by_hmac_only(world: World) -> None:
    ira = world.person(987654321)
    await ira.accepts()
    await ira.gives("secret@example.org")
    await ira.asks()
    keys = Keys(SECRET)
    (send,), (lookup, _) = await world.rows(sends), await world.rows(lookups)
    assert send.number_hmac == keys.number(NUMBER)
    assert send.prefix_hmac == keys.prefix(OTHER_NUMBER)
    assert send.person_hmac == lookup.person_hmac == keys.person(987654321)
    assert lookup.value_hmac == keys.address("secret@example.org")
    for row in (*await world.rows(sends), *await world.rows(lookups)):
        text = repr(tuple(row))
        assert not any(personal in text for personal in ("987654321", NUMBER, "secret@"))
