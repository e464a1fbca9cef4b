"""What the CRM is to learn: one event per fact, in the transaction that makes it one, with everything known."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from storage.database import Database
from storage.models import AccountStatus, Progress
from storage.statements import Connection
from tests.storage.told import events, world
from tests.storage.world import NUMBER, OTHER_NUMBER, VERSION, World

__all__ = ["world"]


async def types(world: World) -> list[str]:
    return [row.payload["type"] for row in await events(world)]


async def test_a_confirmation_is_told_with_everything_known(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    world.clock.move(seconds=2.5)
    await ira.asks()
    assert await events(world) == []
    assert (await ira.tries((await ira.codes())[0])).confirmed_now
    (row,) = await events(world)
    account = await ira.account()
    assert row.payload == {
        "type": "registration.confirmed",
        "timestamp": "2026-05-04T12:00:02.500Z",
        "data": {
            "account_id": str(account.id),
            "telegram_id": 1,
            "language": "ru",
            "email": "person1@example.org",
            "email_verified": False,
            "phone": NUMBER,
            "phone_proof": "code",
            "terms": {"version": VERSION, "accepted_at": "2026-05-04T12:00:00.000Z"},
            "created_at": "2026-05-04T12:00:00.000Z",
            "confirmed_at": "2026-05-04T12:00:02.500Z",
            "promo": None,
            "referral": None,
        },
    }
    assert (row.account_id, row.telegram_id, row.dedupe, row.n, row.status) == (account.id, None, None, 1, "new")


async def test_a_verified_address_and_an_own_contact_are_told_as_such(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await ira.gives("ira@example.org", verified=True)
    await ira.asks(contact=True, needs_code=False)
    (row,) = await events(world)
    data = row.payload["data"]
    assert (data["email"], data["email_verified"], data["phone_proof"]) == ("ira@example.org", True, "contact")


async def test_an_expired_account_is_told_without_anything_personal(world: World) -> None:
    ira, oleg = world.person(1), world.person(2)
    await ira.accepts()
    await ira.asks()
    await oleg.registers(OTHER_NUMBER)
    account = await ira.account()
    world.clock.move(hours=24)
    assert await world.expiry.expire_due(world.now) == [1]
    assert await world.expiry.expire_due(world.now) == []
    confirmed, expired = await events(world)
    assert confirmed.payload["type"] == "registration.confirmed"
    assert expired.payload["data"] == {
        "account_id": str(account.id),
        "created_at": "2026-05-04T12:00:00.000Z",
        "expired_at": "2026-05-05T12:00:00.000Z",
    }
    assert NUMBER not in await world.everything()


async def test_a_deleted_account_is_told_and_takes_no_event_with_it(world: World) -> None:
    ira = world.person(1)
    await ira.registers()
    account = await ira.account()
    assert await world.accounts.erase(ira.update(), world.now)
    confirmed, deleted = await events(world)
    assert confirmed.payload["data"]["phone"] == NUMBER, "the CRM is still to learn who that was"
    assert deleted.payload["data"] == {
        "account_id": str(account.id),
        "created_at": "2026-05-04T12:00:00.000Z",
        "confirmed_at": "2026-05-04T12:00:00.000Z",
        "deleted_at": "2026-05-04T12:00:00.000Z",
    }
    assert (confirmed.n, deleted.n) == (1, 2)


async def test_who_had_not_finished_is_deleted_without_a_moment_of_confirmation(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await world.accounts.erase(ira.update(), world.now)
    (row,) = await events(world)
    assert row.payload["data"]["confirmed_at"] is None


async def test_without_a_crm_nothing_is_written(database: Database) -> None:
    world = World(database)
    ira, oleg = world.person(1), world.person(2)
    await ira.registers()
    await oleg.accepts()
    await world.accounts.erase(ira.update(), world.now)
    world.clock.move(hours=24)
    assert await world.expiry.expire_due(world.now) == [2]
    assert await events(world) == []


async def test_t13_one_update_ten_times_is_one_event(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await ira.asks()
    code, update = (await ira.codes())[0], ira.update()
    await asyncio.gather(*(ira.tries(code, update) for _ in range(10)))
    erased = ira.update()
    await asyncio.gather(*(world.accounts.erase(erased, world.now) for _ in range(10)))
    assert await types(world) == ["registration.confirmed", "registration.deleted"]


async def test_t08_two_right_codes_at_once_are_one_event(world: World) -> None:
    ira = world.person(1)
    await ira.accepts()
    await ira.asks()
    code = (await ira.codes())[0]
    results = await asyncio.gather(ira.tries(code), ira.tries(code))
    assert sorted(result.confirmed_now for result in results) == [False, True]
    assert await types(world) == ["registration.confirmed"]


async def test_what_was_rolled_back_is_not_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ira = world.person(1)
    await ira.accepts()

    async def fails(*_: object) -> None:
        raise RuntimeError("the process dies here")

    monkeypatch.setattr("storage.applied.keep", fails)
    with pytest.raises(RuntimeError):
        await ira.asks(contact=True, needs_code=False)
    monkeypatch.undo()
    assert await events(world) == []
    assert (await ira.account()).status is AccountStatus.PENDING


async def test_whoever_confirms_again_with_another_number_is_told_again(world: World) -> None:
    ira, heir = world.person(1), world.person(2)
    await ira.registers()
    world.clock.move(days=91)
    await heir.registers()
    world.clock.move(hours=1)
    progress = await ira.asks(OTHER_NUMBER, contact=True, needs_code=False)
    assert isinstance(progress, Progress)
    assert progress.confirmed_now
    account = await ira.account()
    first, second = [row for row in await events(world) if row.account_id == account.id]
    assert (first.n, second.n) == (1, 2)
    assert (first.payload["data"]["phone"], second.payload["data"]["phone"]) == (NUMBER, OTHER_NUMBER)


async def test_the_largest_event_is_far_below_20_kb(world: World) -> None:
    long = world.person(10**15, email=f"{'я' * 60}@{'a' * 60}.{'b' * 60}.{'c' * 60}.example.org")
    await long.registers("+799912345678901")
    (row,) = await events(world)
    assert len(str(row.payload).encode()) < 2000


async def test_confirming_takes_one_statement_more(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {}
    for told in (False, True):
        world = World(database, told=told)
        ira = world.person(50 + told)
        number = f"+7916000000{told:d}"
        await ira.accepts()
        await ira.asks(number)
        code = (await ira.codes())[0]
        seen: list[object] = []
        real = database.write

        async def counted(update: Any, work: Any, seen: list[object] = seen, real: Any = real) -> Any:
            async def watched(conn: Connection) -> Any:
                return await work(_Counting(conn, seen))

            return await real(update, watched)

        monkeypatch.setattr(database, "write", counted)
        assert (await ira.tries(code)).confirmed_now
        monkeypatch.undo()
        counts[told] = len(seen)
    assert counts[True] == counts[False] + 1


class _Counting:
    def __init__(self, conn: Connection, seen: list[object]) -> None:
        self._conn = conn
        self._seen = seen
        self.is_postgresql = conn.is_postgresql
        self.insert = conn.insert

    async def execute(self, statement: Any, **values: Any) -> Any:
        self._seen.append(statement)
        return await self._conn.execute(statement, **values)
