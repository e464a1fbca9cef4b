"""What the ledger and the outbox come to, on both databases."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from storage import conversion
from storage.admission import Admission
from storage.conversion import Backlog, Conversion, Converted
from storage.errors import Limit, LimitReached, NothingIsSent
from storage.ledger import Ledger
from storage.models import Channel, CodeSent, SendState
from storage.sending import FixedRoutes, Offer
from storage.sends import Dispatch
from tests.numbers import mobile
from tests.sql import connected
from tests.storage.world import DAY, Actor, World

SMS = Channel.SMS
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


@pytest.fixture
def paid(world: World) -> World:
    return world.with_sending(routes=FixedRoutes((Offer("smsc", SMS, 300),)), daily_budget=100_000)


async def asks(world: World, n: int) -> Actor:
    person = world.person(n)
    await person.accepts()
    assert isinstance(await person.asks(mobile(n)), CodeSent)
    return person


async def sent(world: World, n: int, gateway: str, state: SendState, price: int | None = None) -> str:
    """A code of one person goes by this gateway and comes to this; return it."""
    await asks(world, n)
    (item,) = [item for item in await world.outbox.take("courier", world.now) if item.kind == "code"]
    dispatch = await world.sends.begin(UUID(item.payload["send_id"]), Offer(gateway, SMS, 300), world.now)
    assert isinstance(dispatch, Dispatch)
    final = state in (SendState.DELIVERED, SendState.UNDELIVERED)
    settled = SendState.ACCEPTED if final else state
    await world.sends.settle(dispatch, settled, world.now, provider_id=f"id{n}", price=price, held=(item.id, "courier"))
    if final:
        assert await world.sends.report(gateway, f"id{n}", state, world.now)
    return dispatch.code


async def test_what_became_of_the_codes_by_gateway_and_country(paid: World) -> None:
    code = await sent(paid, 1, "smsc", SendState.DELIVERED, price=350)
    await paid.person(1).tries(code)
    await sent(paid, 2, "smsc", SendState.UNDELIVERED)
    await sent(paid, 3, "smsc", SendState.FAILED)
    await sent(paid, 4, "smsc", SendState.UNKNOWN)
    code = await sent(paid, 5, "vonage", SendState.ACCEPTED)
    await paid.person(5).tries(code)
    await asks(paid, 6)
    figures = await Conversion(paid.database).of(paid.now - HOUR, paid.now)
    by_gateway = {each.gateway: each for each in figures.converted}
    assert by_gateway == {
        "smsc": Converted(
            "smsc",
            SMS,
            "RU",
            {
                SendState.DELIVERED: 1,
                SendState.UNDELIVERED: 1,
                SendState.FAILED: 1,
                SendState.UNKNOWN: 1,
                SendState.QUEUED: 1,
            },
            entered=1,
            cost=350 + 300 + 0 + 300 + 300,
        ),
        "vonage": Converted("vonage", SMS, "RU", {SendState.ACCEPTED: 1}, entered=1, cost=300),
    }
    assert (by_gateway["smsc"].sent, by_gateway["vonage"].sent) == (3, 1)
    assert figures.refusals == {}


async def test_a_period_holds_its_end_and_not_its_beginning(paid: World) -> None:
    beginning = paid.now
    await asks(paid, 1)
    end = paid.clock.move(hours=1)
    await asks(paid, 2)
    ours = Conversion(paid.database)
    for since, until, expected in (
        (beginning - SECOND, end, 2),
        (beginning, end, 1),
        (beginning, end - SECOND, 0),
        (beginning - SECOND, beginning, 1),
    ):
        figures = await ours.of(since, until)
        assert sum(sum(each.states.values()) for each in figures.converted) == expected


async def test_refusals_are_counted_by_the_limit_that_made_them(paid: World) -> None:
    poor = paid.with_sending(daily_budget=600)
    await asks(poor, 1)
    await asks(poor, 2)
    for n in (3, 4):
        await poor.person(n).accepts()
        with pytest.raises(LimitReached):
            await poor.person(n).asks(mobile(n))
    paused = poor.with_sending(paused=True)
    await paused.person(5).accepts()
    with pytest.raises(NothingIsSent):
        await paused.person(5).asks(mobile(5))
    figures = await Conversion(poor.database).of(poor.now - HOUR, poor.now)
    assert figures.refusals == {Limit.DAILY_BUDGET: 2, Limit.PAUSED: 1}
    assert figures.cost == 600


async def test_what_a_day_cost_is_what_the_budget_is_held_against(paid: World) -> None:
    await sent(paid, 1, "smsc", SendState.DELIVERED, price=777)
    paid.clock.move(hours=20)
    await sent(paid, 2, "smsc", SendState.ACCEPTED)
    await sent(paid, 3, "smsc", SendState.FAILED)
    await asks(paid, 4)
    admission = Admission(Ledger(paid.database, paid.keys, paid.limits), paid.limits, paid.sending)
    for hours, expected in ((0, 777 + 300 + 300), (4, 600), (20, 0)):
        paid.clock.move(hours=hours)
        spent = await paid.database.read(lambda conn: admission.spent(conn, paid.now, holds=False))
        assert (await Conversion(paid.database).of(paid.now - DAY, paid.now)).cost == spent == expected


async def test_what_waits_in_the_outbox(paid: World) -> None:
    ours = Conversion(paid.database)
    assert await ours.backlog(paid.now) == Backlog(0, 0, None)
    asked_at = paid.now
    await asks(paid, 1)
    paid.clock.move(seconds=30)
    await asks(paid, 2)
    await paid.outbox.put("notice", {}, paid.now + HOUR)
    assert await ours.backlog(paid.now) == Backlog(3, 2, asked_at)
    # What is being sent still waits.
    items = await paid.outbox.take("courier", paid.now)
    assert await ours.backlog(paid.now) == Backlog(3, 2, asked_at)
    for item in items:
        await paid.outbox.done(item.id, "courier")
    assert await ours.backlog(paid.now) == Backlog(1, 0, None)
    await paid.outbox.put("notice", {}, paid.now, dedupe="once")
    (item,) = await paid.outbox.take("courier", paid.now)
    await paid.outbox.dead(item.id, "courier", "gone")
    assert await ours.backlog(paid.now) == Backlog(1, 0, None)


async def test_the_rows_of_a_period_are_found_by_an_index(paid: World) -> None:
    query = conversion._SUMS._core.params(since=paid.now - HOUR, until=paid.now)
    async with connected(paid.database) as conn:
        if paid.database.is_postgresql:
            # A table without rows is read whole otherwise.
            await conn.execute(sa.text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN" if paid.database.is_postgresql else "EXPLAIN QUERY PLAN"
        compiled = query.compile(dialect=conn.dialect)
        values = tuple(compiled.construct_params()[name] for name in compiled.positiontup or ())
        if paid.database.is_postgresql:
            raw = (await conn.get_raw_connection()).driver_connection
            assert raw is not None
            plan = await raw.fetch(f"{explain} {compiled}", *values)
        else:
            naive = tuple(str(value.replace(tzinfo=None)) if hasattr(value, "tzinfo") else value for value in values)
            plan = (await conn.exec_driver_sql(f"{explain} {compiled}", naive)).all()
    assert "ix_sends_at" in str([tuple(row) for row in plan])
