"""Trying a code: what it costs, what it proves, and what it can never do."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import Counter
from datetime import timedelta

import pytest

from storage.errors import (
    CodeExpired,
    Limit,
    LimitReached,
    NothingToResend,
    TooManyTries,
    WrongCode,
)
from storage.keys import Keys
from storage.limits import Window
from storage.models import AccountStatus, CodeSent, PhoneProof, Progress, SendState
from storage.tables import accounts, challenges, code_attempts, sends
from tests.numbers import mobile
from tests.storage.world import DAY, NUMBER, OTHER_NUMBER, World


async def at_the_code(world: World, telegram_id: int = 1, number: str = NUMBER) -> None:
    person = world.person(telegram_id)
    await person.accepts()
    assert isinstance(await person.asks(number), CodeSent)


async def test_a_right_code_confirms(world: World) -> None:
    await at_the_code(world)
    ira = world.person(1)
    (code,) = await world.deliver()
    progress = await ira.tries(code)
    assert progress.confirmed_now
    assert progress.displaced == ()
    account = progress.account
    assert (account.status, account.phone, account.asked_number) == (AccountStatus.CONFIRMED, NUMBER, None)
    assert account.confirmed_at == world.now
    (row,) = await world.rows(accounts)
    assert (row.phone_proof, row.phone_proven_at) == (PhoneProof.CODE, world.now)
    assert [row.state for row in await world.rows(challenges)] == ["confirmed"]


async def test_wrong_codes_cost_tries_and_the_fifth_is_the_last(world: World) -> None:
    await at_the_code(world)
    ira = world.person(1)
    wrong, (right,) = await ira.wrong(), await ira.codes()
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(WrongCode) as refusal:
            await ira.tries(wrong)
        assert refusal.value.tries_left == left
    for code in (wrong, right):
        with pytest.raises(TooManyTries):
            await ira.tries(code)
    assert (await ira.account()).asked_number == NUMBER
    # The way on: a new challenge for the same number.
    assert (await ira.resends()).queued
    (code,) = await ira.codes()
    assert (await ira.tries(code)).confirmed_now


async def test_t06_of_100_parallel_tries_five_are_compared(world: World) -> None:
    await at_the_code(world)
    ira = world.person(1)
    wrong, (right,) = await ira.wrong(), await ira.codes()
    results = await asyncio.gather(*(ira.tries(wrong) for _ in range(100)), return_exceptions=True)
    assert Counter(type(result) for result in results) == {WrongCode: 5, TooManyTries: 95}
    assert sorted(result.tries_left for result in results if isinstance(result, WrongCode)) == [0, 1, 2, 3, 4]
    assert len(await world.rows(code_attempts)) == 5
    with pytest.raises(TooManyTries):
        await ira.tries(right)
    assert (await ira.account()).status is AccountStatus.PENDING
    await ira.resends()
    assert (await ira.tries((await ira.codes())[0])).confirmed_now


async def test_t07_a_resend_does_not_reset_the_tries(world: World) -> None:
    await at_the_code(world)
    ira = world.person(1)
    wrong = await ira.wrong()
    for _ in range(3):
        with pytest.raises(WrongCode):
            await ira.tries(wrong)
    world.clock.move(seconds=60)
    await ira.resends()
    wrong = await ira.wrong()
    for left in (1, 0):
        with pytest.raises(WrongCode) as refusal:
            await ira.tries(wrong)
        assert refusal.value.tries_left == left
    with pytest.raises(TooManyTries):
        await ira.tries((await ira.codes())[1])


async def test_t07_no_new_challenge_resets_the_days_wrong_codes(world: World) -> None:
    world = world.with_limits(sends_per_number=(Window(100, DAY),), sends_per_person=(Window(100, DAY),))
    await at_the_code(world)
    ira, first = world.person(1), world.now
    for n in range(10):
        if n == 5:
            world.clock.move(minutes=11)
            await ira.resends()
        # The tenth says at once that no new code helps today.
        with pytest.raises(WrongCode if n < 9 else LimitReached):
            await ira.tries(await ira.wrong())
    blocked = (Limit.WRONG_CODES, first + DAY)
    for attempt in (ira.resends, ira.asks, lambda: ira.tries("000000")):
        with pytest.raises(LimitReached) as refusal:
            await attempt()
        assert (refusal.value.limit, refusal.value.retry_at) == blocked
    await ira.world.accounts.erase(ira.update(), world.now)
    await ira.accepts()
    with pytest.raises(LimitReached):
        await ira.asks()
    # Another person is not held by it, nor is the same person with another number.
    await at_the_code(world, telegram_id=2)
    assert isinstance(await ira.asks(OTHER_NUMBER), CodeSent)
    assert (await ira.tries((await ira.codes())[0])).confirmed_now


async def test_t08_two_right_codes_at_once_confirm_once(world: World) -> None:
    await at_the_code(world)
    ira = world.person(1)
    (code,) = await ira.codes()
    both = await asyncio.gather(ira.tries(code), ira.tries(code))
    assert sorted(progress.confirmed_now for progress in both) == [False, True]
    assert {progress.account.status for progress in both} == {AccountStatus.CONFIRMED}
    assert len(await world.rows(code_attempts)) == 1


async def test_t09_a_code_never_crosses_over(world: World) -> None:
    await at_the_code(world, telegram_id=1)
    await at_the_code(world, telegram_id=2)
    ira, petr = world.person(1), world.person(2)
    (iras,) = await ira.codes()
    with pytest.raises(WrongCode):
        await petr.tries(iras)
    await ira.asks(OTHER_NUMBER)
    (second,) = await ira.codes()
    assert second != iras
    with pytest.raises(WrongCode):
        await ira.tries(iras)
    # Back to the first number: it is a new challenge, and what was sent before is no code of it.
    await ira.asks(NUMBER)
    for old in (iras, second):
        with pytest.raises(WrongCode):
            await ira.tries(old)
    assert (await ira.tries((await ira.codes())[0])).account.phone == NUMBER


async def test_t13_the_same_update_ten_times_in_parallel_has_one_effect(world: World) -> None:
    await at_the_code(world)
    ira = world.person(1)
    update, wrong = ira.update(), await ira.wrong()
    results = await asyncio.gather(*(ira.tries(wrong, update) for _ in range(10)), return_exceptions=True)
    assert results == [WrongCode(4)] * 10
    assert len(await world.rows(code_attempts)) == 1
    update, (code,) = ira.update(), await ira.codes()
    answers = await asyncio.gather(*(ira.tries(code, update) for _ in range(10)))
    assert answers == [answers[0]] * 10
    assert answers[0].confirmed_now


async def test_t26_a_stolen_database_gives_no_live_code_away(world: World) -> None:
    await at_the_code(world)
    ira = world.person(1)
    with pytest.raises(WrongCode):
        await ira.tries(await ira.wrong())
    world.clock.move(seconds=60)
    await ira.resends()
    codes = await ira.codes()
    stored = set((await world.everything()).split())
    (challenge,) = await world.rows(challenges)
    assert not stored & set(codes)
    # Whatever hash of a code somebody might have thought of, alone or salted by what lies beside it.
    hashes = {bytes.fromhex(word) for word in stored if re.fullmatch("[0-9a-f]{64}", word)}
    salts = [b"", challenge.id.bytes, challenge.number.encode()]
    assert hashes
    assert found_by_trying_all(hashes, salts) == set()
    planted = {hashlib.sha256(salts[1] + codes[1].encode()).digest()}
    assert found_by_trying_all(hashes | planted, salts[1:2]) == {codes[1]}
    # No word of it is the secret, and under another one the same rows stand for other codes.
    for secret in (*stored, "a thief's guess at the secret, as long as it likes"):
        thief = Keys(secret)
        assert [thief.code(challenge.id, n, thief.key_id) for n in (1, 2)] != codes
    other = World(world.database, thief)
    other.clock = world.clock
    with pytest.raises(CodeExpired):
        await other.person(1).tries(codes[1])
    assert (await ira.tries(codes[1])).confirmed_now


def found_by_trying_all(hashes: set[bytes], salts: list[bytes]) -> set[str]:
    """The codes of which a salted hash is among these."""
    found = set()
    for salt in salts:
        begun = hashlib.sha256(salt)
        for guess in (b"%06d" % n for n in range(1_000_000)):
            tried = begun.copy()
            tried.update(guess)
            if tried.digest() in hashes:
                found.add(guess.decode())
    return found


async def test_f15_an_expired_code_costs_no_try(world: World) -> None:
    await at_the_code(world)
    ira = world.person(1)
    (code,) = await ira.codes()
    world.clock.move(minutes=10)
    for attempt in (code, await ira.wrong()):
        with pytest.raises(CodeExpired):
            await ira.tries(attempt)
    assert await world.rows(code_attempts) == []
    assert (await ira.account()).asked_number == NUMBER
    assert (await ira.resends()).queued
    (code,) = await ira.codes()
    world.clock.move(minutes=9, seconds=59)
    assert (await ira.tries(code)).confirmed_now


async def test_f16_an_old_code_still_works_after_a_resend(world: World) -> None:
    await at_the_code(world)
    ira = world.person(1)
    world.clock.move(seconds=60)
    await ira.resends()
    with pytest.raises(WrongCode) as refusal:
        await ira.tries(await ira.wrong())
    assert refusal.value.tries_left == 4
    first, second = await ira.codes()
    assert first != second
    assert (await ira.tries(first)).confirmed_now


async def test_f16_only_the_last_codes_of_a_challenge_are_live(world: World) -> None:
    world = world.with_limits(
        sends_per_challenge=5, sends_per_number=(Window(9, DAY),), sends_per_person=(Window(9, DAY),)
    )
    await at_the_code(world)
    ira = world.person(1)
    for seconds in (60, 120, 300):
        world.clock.move(seconds=seconds)
        await ira.resends()
    first, second, *_ = await ira.codes()
    with pytest.raises(WrongCode):
        await ira.tries(first)
    # The second is 7 minutes old by now: live for three more.
    world.clock.move(minutes=2, seconds=59)
    assert (await ira.tries(second)).confirmed_now


async def test_f17_the_same_code_again_says_done(world: World) -> None:
    await at_the_code(world)
    ira = world.person(1)
    update, (code,) = ira.update(), await ira.codes()
    first = await ira.tries(code, update)
    assert await ira.tries(code, update) == first
    again = await ira.tries(code)
    assert (again.account, again.confirmed_now) == (first.account, False)


async def test_f18_a_clock_moved_by_ten_minutes_stops_nobody(world: World) -> None:
    await at_the_code(world)
    ira = world.person(1)
    (code,) = await ira.codes()
    world.clock.move(minutes=-10)
    assert (await ira.tries(code)).confirmed_now
    await at_the_code(world, telegram_id=2, number=OTHER_NUMBER)
    petr = world.person(2)
    world.clock.move(minutes=10)
    with pytest.raises(CodeExpired):
        await petr.tries((await petr.codes())[0])
    await petr.resends()
    assert (await petr.tries((await petr.codes())[0])).confirmed_now


async def test_f18_a_session_ends_ten_minutes_after_the_last_allowed_action(world: World) -> None:
    world = world.with_limits(challenge_session=timedelta(minutes=4))
    await at_the_code(world)
    ira = world.person(1)
    (code,) = await ira.codes()
    world.clock.move(minutes=3)
    with pytest.raises(WrongCode):
        await ira.tries(await ira.wrong())
    world.clock.move(minutes=3, seconds=59)
    with pytest.raises(WrongCode):
        await ira.tries(await ira.wrong())
    world.clock.move(minutes=4)
    with pytest.raises(CodeExpired):
        await ira.tries(code)


async def test_f19_leading_zeros_are_part_of_a_code(world: World) -> None:
    for telegram_id in range(1, 200):
        number = mobile(telegram_id)
        await at_the_code(world, telegram_id, number)
        person = world.person(telegram_id)
        (code,) = await person.codes()
        assert len(code) == 6
        if code.startswith("0"):
            with pytest.raises(WrongCode):
                await person.tries(code.lstrip("0"))
            assert (await person.tries(code)).confirmed_now
            return
    pytest.fail("none of 199 codes began with a zero")


async def test_a_failed_send_leaves_no_live_code(world: World) -> None:
    await at_the_code(world)
    ira = world.person(1)
    (code,) = await ira.codes()
    (row,) = await world.rows(sends)
    await world.settle(row.id, SendState.FAILED)
    with pytest.raises(CodeExpired):
        await ira.tries(code)
    assert (await ira.resends()).queued


async def test_a_proven_number_without_an_address_asks_for_no_second_code(world: World) -> None:
    ira = world.person(1)
    await ira.accepts(email=None)
    await ira.asks()
    (code,) = await ira.codes()
    first = await ira.tries(code)
    assert isinstance(first, Progress)
    assert (first.account.phone, first.confirmed_now) == (NUMBER, False)
    again = await ira.tries(code)
    assert again.account == first.account
    with pytest.raises(NothingToResend):
        await ira.resends()
