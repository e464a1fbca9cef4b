"""The ledger's rows on their way: sent once, repeated once after a death, never back."""

from __future__ import annotations

import asyncio
import itertools
from uuid import UUID, uuid4

import pytest

from storage.keys import Keys
from storage.models import CodeSent, SendState
from storage.sends import Sends
from storage.tables import sends
from tests.sql import connected
from tests.storage.world import LIMITS, NUMBER, OTHER_NUMBER, World


async def queued(world: World, telegram_id: int = 1, number: str = NUMBER) -> UUID:
    person = world.person(telegram_id)
    await person.accepts()
    assert isinstance(await person.asks(number), CodeSent)
    (row,) = await world.rows(sends, sends.c.state == SendState.QUEUED)
    return UUID(str(row.id))


async def state(world: World, send_id: UUID) -> tuple[str, bool]:
    (row,) = await world.rows(sends, sends.c.id == send_id)
    return row.state, row.repeated


async def test_a_code_is_handed_out_and_marked_first(world: World) -> None:
    send_id = await queued(world)
    dispatch = await world.begins(send_id, "smsc")
    assert dispatch is not None
    (code,) = await world.person(1).codes()
    assert (dispatch.number, dispatch.code, dispatch.language, dispatch.telegram_id) == (NUMBER, code, "ru", 1)
    assert dispatch.expires_at == world.now + LIMITS.code_lifetime
    (row,) = await world.rows(sends)
    assert (row.state, row.gateway, row.repeated) == ("sending", "smsc", False)
    assert code not in repr(dispatch)
    assert NUMBER not in repr(dispatch)
    assert await world.settle(send_id, SendState.ACCEPTED, provider_id="77", price=350)
    (row,) = await world.rows(sends)
    assert (row.state, row.provider_id, row.price) == ("accepted", "77", 350)
    assert await world.begins(send_id, "smsc") is None


async def test_f20_a_crash_between_commit_and_send_loses_nothing(world: World) -> None:
    send_id = await queued(world)
    assert len(await world.outbox.take("killed before it sent", world.now)) == 1
    world.clock.move(seconds=60)
    (item,) = await world.outbox.take("heir", world.now)
    dispatch = await world.begins(UUID(item.payload["send_id"]), "smsc")
    assert dispatch is not None
    assert await state(world, send_id) == ("sending", False)
    assert (await world.person(1).tries(dispatch.code)).confirmed_now


async def test_f21_a_crash_while_sending_repeats_the_same_code_once(world: World) -> None:
    send_id = await queued(world)
    first = await world.begins(send_id, "smsc")
    world.clock.move(seconds=60)
    second = await world.begins(send_id, "smsc")
    assert first is not None
    assert second is not None
    assert second.code == first.code
    assert await state(world, send_id) == ("sending", True)
    world.clock.move(seconds=60)
    assert await world.begins(send_id, "smsc") is None
    assert await state(world, send_id) == ("unknown", True)
    assert await world.begins(send_id, "smsc") is None
    # Unknown is not lost: the code stays right, and a report may still tell.
    assert (await world.person(1).tries(first.code)).confirmed_now
    assert await world.settle(send_id, SendState.DELIVERED)


async def test_what_a_gateway_did_not_take_is_no_repeat(world: World) -> None:
    send_id = await queued(world)
    for gateway in ("first", "second", "third"):
        assert await world.begins(send_id, gateway) is not None
        assert await state(world, send_id) == ("sending", False)
        assert await world.settle(send_id, SendState.QUEUED)
    assert await world.begins(send_id, "fourth") is not None


async def test_f23_two_couriers_with_one_row_send_it_once_at_a_time(world: World) -> None:
    send_id = await queued(world)
    results = await asyncio.gather(*(world.with_limits().begins(send_id) for _ in range(12)))
    # Only the lease tells a live sender from a dead one; without it the one documented repeat is the most there is.
    assert 1 <= sum(dispatch is not None for dispatch in results) <= 2


@pytest.mark.parametrize("why", ["expired", "replaced", "confirmed", "erased", "key gone", "taken"])
async def test_a_code_of_no_use_any_more_never_leaves(world: World, why: str) -> None:
    send_id = await queued(world)
    ira = world.person(1)
    match why:
        case "expired":
            world.clock.move(minutes=10)
        case "replaced":
            await ira.asks(OTHER_NUMBER)
        case "confirmed":
            await ira.tries((await ira.codes())[0])
        case "erased":
            await world.accounts.erase(ira.update(), world.now)
        case "taken":
            await world.person(2).registers(NUMBER)
    if why == "key gone":
        world.sends = Sends(world.database, Keys("x" * 32), LIMITS)
    assert await world.begins(send_id) is None
    assert await state(world, send_id) == ("failed", False)


async def test_what_may_have_left_is_unknown_not_failed_when_it_expires(world: World) -> None:
    send_id = await queued(world)
    await world.begins(send_id, "smsc")
    world.clock.move(minutes=10)
    assert await world.begins(send_id, "smsc") is None
    assert await state(world, send_id) == ("unknown", False)


async def test_a_code_too_many_resends_ago_never_leaves(world: World) -> None:
    world = world.with_limits(live_codes=1)
    send_id = await queued(world)
    world.clock.move(seconds=60)
    await world.person(1).resends()
    assert await world.begins(send_id, "smsc") is None


async def test_an_unknown_send_is_none(world: World) -> None:
    assert await world.begins(uuid4(), "smsc") is None
    assert not await world.settle(uuid4(), SendState.ACCEPTED)


FORWARD = {
    ("queued", "failed"),
    ("sending", "queued"),
    ("sending", "accepted"),
    ("sending", "unknown"),
    ("sending", "delivered"),
    ("sending", "undelivered"),
    ("sending", "failed"),
    ("unknown", "accepted"),
    ("unknown", "delivered"),
    ("unknown", "undelivered"),
    ("accepted", "delivered"),
    ("accepted", "undelivered"),
    ("undelivered", "delivered"),
}
SETTLED = ("queued", "accepted", "unknown", "delivered", "undelivered", "failed")


async def test_a_state_never_moves_back(world: World) -> None:
    send_id = await queued(world)
    for before, after in itertools.product((*SETTLED, "sending", "refused"), SETTLED):

        async def set_back(to: str = before) -> None:
            async with connected(world.database) as conn:
                await conn.execute(sends.update().where(sends.c.id == send_id).values(state=to))

        await set_back()
        moved = await world.settle(send_id, SendState(after))
        assert moved == ((before, after) in FORWARD), (before, after)
        assert (await state(world, send_id))[0] == (after if moved else before)
