"""What came of campaigns: counted by the day of the first touch, where the operator is; clicks by visitor and day."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from storage.attribution import Attribution
from storage.clicks import Clicks
from storage.database import Database
from storage.funnels import Funnel, Funnels, Period, total
from storage.partner_tables import click_visitors
from tests.storage.world import NUMBER, World

NIGHT = datetime(2026, 5, 4, 22, 30, tzinfo=UTC)
ALMATY = ZoneInfo("Asia/Almaty")


async def test_a_funnel_counts_everybody_at_every_step_they_passed_by_period(world: World) -> None:
    ivan = await world.campaigns.add_partner("Ivan", 900, world.now)
    summer = await world.campaigns.add(ivan.id, "summer", world.now)
    autumn = await world.campaigns.add(ivan.id, "autumn", world.now + timedelta(seconds=1))
    olga = await world.campaigns.add_partner("Olga", 901, world.now)
    foreign = await world.campaigns.add(olga.id, "summer", world.now)
    for person, by, later in ((1, summer, 0), (2, summer, 5), (3, autumn, 2), (4, summer, 15), (5, foreign, 0)):
        world.clock.move(days=later)
        await world.attribution.touch(person, by.id, world.now)
        await world.clicks.count_click(by.id, bytes([person]) * 16, world.now)
    await world.person(4).registers()
    found = {}
    for period in Period:
        rows = await world.funnels.of_partner(ivan.id, period, world.now)
        assert [one for one, _ in rows] == [summer, autumn]
        found[period] = [(funnel.clicks, funnel.starts, funnel.confirmed) for _, funnel in rows]
    assert found == {
        Period.TODAY: [(1, 1, 1), (0, 0, 0)],
        Period.WEEK: [(1, 1, 1), (0, 0, 0)],
        Period.MONTH: [(3, 3, 1), (1, 1, 0)],
        Period.ALL: [(3, 3, 1), (1, 1, 0)],
    }
    assert await world.funnels.of(summer.id, Period.ALL, world.now) == Funnel(3, 3, 1, 1, 1, 1)
    assert total(funnel for _, funnel in await world.funnels.of_partner(ivan.id, Period.ALL, world.now)) == Funnel(
        4, 4, 1, 1, 1, 1
    )
    days = await world.funnels.days(ivan.id)
    begin = world.now.date() - timedelta(days=22)
    assert [(one.day, one.campaign, one.funnel.starts, one.funnel.confirmed) for one in days] == [
        (begin, summer, 1, 0),
        (begin + timedelta(days=5), summer, 1, 0),
        (begin + timedelta(days=7), autumn, 1, 0),
        (begin + timedelta(days=22), summer, 1, 1),
    ]


async def test_a_period_begins_with_its_first_day_whole(world: World) -> None:
    ivan = await world.campaigns.add_partner("Ivan", 900, world.now)
    summer = await world.campaigns.add(ivan.id, "summer", world.now)
    midnight = datetime(2026, 5, 4, tzinfo=UTC)
    for person, at in enumerate([midnight, midnight - timedelta(seconds=1)]):
        await world.attribution.touch(person, summer.id, at)
    now = midnight + timedelta(hours=23, minutes=59)
    for period, days in ((Period.TODAY, 0), (Period.WEEK, 6), (Period.MONTH, 29)):
        later = now + timedelta(days=days)
        assert (await world.funnels.of(summer.id, period, later)).starts == 1
    assert (await world.funnels.of(summer.id, Period.ALL, now + timedelta(days=900))).starts == 2


async def test_days_are_the_operators(database: Database, world: World) -> None:
    """Half past ten in the evening in Greenwich is the next morning in Almaty."""
    ivan = await world.campaigns.add_partner("Ivan", 900, NIGHT)
    summer = await world.campaigns.add(ivan.id, "summer", NIGHT)
    there = Attribution(database, world.keys, timedelta(days=30), ALMATY), Clicks(database, ALMATY)
    await there[0].touch(1, summer.id, NIGHT)
    await there[1].count_click(summer.id, b"1" * 16, NIGHT)
    funnels = Funnels(database, ALMATY)
    (day,) = await funnels.days(ivan.id)
    assert (day.day, day.funnel.clicks, day.funnel.starts) == (date(2026, 5, 5), 1, 1)
    assert (await funnels.of(summer.id, Period.TODAY, NIGHT)).starts == 1
    assert (await funnels.of(summer.id, Period.TODAY, NIGHT + timedelta(hours=21))).starts == 0


async def test_nothing_came_of_a_campaign_nobody_used(world: World) -> None:
    ivan = await world.campaigns.add_partner("Ivan", 900, world.now)
    assert await world.funnels.of_partner(ivan.id, Period.ALL, world.now) == []
    summer = await world.campaigns.add(ivan.id, "summer", world.now)
    assert await world.funnels.of_partner(ivan.id, Period.ALL, world.now) == [(summer, Funnel())]
    assert await world.funnels.days(ivan.id) == []
    assert total([]) == Funnel()


async def test_t20_a_visitor_is_counted_once_a_day_however_often_they_click(world: World, database_url: str) -> None:
    house = await world.campaigns.house("support", world.now)
    other = Clicks(second := Database(database_url, pool_size=12), UTC)
    try:
        clicks = [(world.clicks, other)[n % 2].count_click(house.id, bytes([n % 5]) * 16, world.now) for n in range(50)]
        assert sum(await asyncio.gather(*clicks)) == 5
    finally:
        await second.dispose()
    assert (await world.funnels.of(house.id, Period.ALL, world.now)).clicks == 5
    world.clock.move(days=1)
    assert await world.clicks.count_click(house.id, b"\0" * 16, world.now)
    assert not await world.clicks.count_click(house.id ^ 1, b"\0" * 16, world.now)
    assert (await world.funnels.of(house.id, Period.ALL, world.now)).clicks == 6
    # Who it was is forgotten, how many they were is not.
    world.clock.move(days=4)
    await world.expiry.prune_applied(world.now)
    assert await world.rows(click_visitors) == []
    assert (await world.funnels.of(house.id, Period.ALL, world.now)).clicks == 6
    assert (await world.person(1).registers(NUMBER)).confirmed_now
