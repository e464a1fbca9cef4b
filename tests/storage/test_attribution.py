"""By whose link people came: the first touch, who earns nothing by it, and when it is taken back (T19, T20)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from storage.attribution import Stage
from storage.campaigns import Campaign
from storage.database import Database
from storage.event_letters import EventLetters
from storage.event_queue import EventQueue
from storage.funnels import Period
from storage.keys import Keys
from storage.models import AccountStatus, Progress
from storage.partner_tables import campaigns, former_people, touches
from storage.tables import outbox
from tests.storage.world import NUMBER, OTHER_NUMBER, SECRET, THIRD_NUMBER, World

WINDOW = timedelta(days=30)


async def campaign(world: World, name: str = "summer", owner: int = 900) -> Campaign:
    """A campaign of the partner whose Telegram id this is."""
    partner = await world.campaigns.partner_of(owner)
    partner = partner or await world.campaigns.add_partner(f"partner {owner}", owner, world.now)
    return await world.campaigns.add(partner.id, name, world.now)


async def stages(world: World) -> list[tuple[int, int]]:
    """Campaign and stage of every touch, oldest first."""
    return [(row.campaign_id, row.stage) for row in sorted(await world.rows(touches), key=lambda row: row.id)]


async def funnel(world: World, of: Campaign) -> tuple[int, ...]:
    """Starts, e-mail, terms, phone, confirmed."""
    return tuple(vars(await world.funnels.of(of.id, Period.ALL, world.now)).values())[1:]


async def came(world: World, telegram_id: int, by: Campaign) -> bool:
    return await world.attribution.touch(telegram_id, by.id, world.now)


async def test_t19_the_first_touch_counts_for_thirty_days_and_then_the_next(world: World) -> None:
    first, second = await campaign(world), await campaign(world, "autumn")
    assert await came(world, 1, first)
    world.clock.moment += WINDOW - timedelta(seconds=1)
    assert await came(world, 1, second)
    assert await stages(world) == [(first.id, Stage.START)]
    world.clock.moment += timedelta(seconds=1)
    assert await came(world, 1, second)
    assert await stages(world) == [(first.id, Stage.START), (second.id, Stage.START)]
    await world.person(1).registers()
    assert await stages(world) == [(first.id, Stage.START), (second.id, Stage.CONFIRMED)]


async def test_t20_who_comes_again_after_the_window_by_the_same_link_is_one_person(world: World) -> None:
    first, second = await campaign(world), await campaign(world, "autumn")
    began = world.now.toordinal()
    for by in (first, second, first):
        assert await came(world, 1, by)
        world.clock.moment += WINDOW
    assert [(row.campaign_id, row.day) for row in sorted(await world.rows(touches), key=lambda row: row.id)] == [
        (first.id, began), (second.id, began + 30)
    ]  # fmt: skip
    assert await came(world, 1, first)
    await world.person(1).registers()
    assert await stages(world) == [(first.id, Stage.CONFIRMED), (second.id, Stage.START)]


async def test_a_touch_from_before_the_account_is_the_accounts_and_one_too_old_is_nobodys(world: World) -> None:
    summer = await campaign(world)
    await came(world, 1, summer)
    await came(world, 2, summer)
    world.clock.move(days=29)
    ira, oleg = world.person(1), world.person(2)
    await ira.registers(NUMBER)
    assert (await ira.account()).touch_id is not None
    world.clock.move(days=2)
    await oleg.registers(OTHER_NUMBER)
    assert (await oleg.account()).touch_id is None
    assert await funnel(world, summer) == (2, 1, 1, 1, 1)


async def test_each_step_moves_the_touch_forward_and_none_moves_it_back(world: World) -> None:
    summer, ira = await campaign(world), world.person(1)
    await came(world, 1, summer)
    assert await funnel(world, summer) == (1, 0, 0, 0, 0)
    await world.accounts.give_email(
        ira.update(), ira.email, verified=False, reveal=True, now=world.now, touched=True
    )  # fmt: skip
    assert await funnel(world, summer) == (1, 1, 0, 0, 0)
    await ira.accepts()
    assert await funnel(world, summer) == (1, 1, 1, 0, 0)
    await ira.asks()
    assert await funnel(world, summer) == (1, 1, 1, 1, 0)
    await ira.gives("another@example.org")
    await ira.accepts(None)
    assert await funnel(world, summer) == (1, 1, 1, 1, 0)
    await ira.tries((await ira.codes())[-1])
    assert await funnel(world, summer) == (1, 1, 1, 1, 1)


async def test_who_comes_by_a_link_in_the_middle_is_counted_from_where_they_are(world: World) -> None:
    summer, ira, oleg = await campaign(world), world.person(1), world.person(2)
    await ira.accepts()
    await came(world, 1, summer)
    await oleg.accepts()
    await oleg.asks()
    await came(world, 2, summer)
    assert await funnel(world, summer) == (2, 2, 2, 1, 0)
    await ira.registers(OTHER_NUMBER)
    assert await funnel(world, summer) == (2, 2, 2, 2, 1)


async def test_t19_own_links_existing_people_and_unknown_codes_make_no_touch(world: World) -> None:
    summer, ira = await campaign(world, owner=900), world.person(1)
    assert not await came(world, 900, summer)
    await ira.registers()
    assert not await came(world, 1, summer)
    invitation = await world.campaigns.of_person(1, world.now)
    assert not await came(world, 1, invitation)
    assert not await world.attribution.touch(2, summer.id ^ 1, world.now)
    assert await stages(world) == []
    assert await came(world, 2, invitation)


async def test_t19_a_ring_earns_for_who_was_there_first_alone(world: World) -> None:
    """Two people who invite each other: the second one registered by the first's link, the first by nobody's."""
    ira, oleg = world.person(1), world.person(2)
    await ira.registers(NUMBER)
    of_ira = await world.campaigns.of_person(1, world.now)
    await came(world, 2, of_ira)
    await oleg.registers(OTHER_NUMBER)
    of_oleg = await world.campaigns.of_person(2, world.now)
    assert not await came(world, 1, of_oleg)
    assert await stages(world) == [(of_ira.id, Stage.CONFIRMED)]


async def test_t19_who_leaves_and_comes_back_by_a_link_earns_nothing(world: World) -> None:
    summer, ira = await campaign(world), world.person(1)
    await ira.registers(NUMBER)
    await world.accounts.erase(ira.update(), world.now)
    assert await came(world, 1, summer)
    await ira.registers(OTHER_NUMBER)
    assert await funnel(world, summer) == (1, 1, 1, 1, 0)


async def test_t19_a_second_account_with_the_first_ones_number_earns_nothing(world: World) -> None:
    summer, ira, second = await campaign(world), world.person(1), world.person(2)
    await ira.registers(NUMBER)
    await world.accounts.erase(ira.update(), world.now)
    await came(world, 2, summer)
    await second.registers(NUMBER)
    assert await funnel(world, summer) == (1, 1, 1, 1, 0)
    honest = world.person(3)
    await came(world, 3, summer)
    await honest.registers(OTHER_NUMBER)
    assert await funnel(world, summer) == (2, 2, 2, 2, 1)


async def test_t19_a_number_that_moved_here_earns_nothing(world: World) -> None:
    summer, old, new = await campaign(world), world.person(1), world.person(2)
    await came(world, 1, summer)
    await old.registers(NUMBER)
    world.clock.move(days=91)
    await came(world, 2, summer)
    assert (await new.registers(NUMBER)).confirmed_now
    assert await funnel(world, summer) == (2, 2, 2, 2, 1), "the old holder's credit stays while they may prove another"
    # They do not: the account goes, and so does what it earned.
    world.clock.move(days=1, seconds=1)
    assert await world.expiry.expire_due(world.now) == [1]
    assert await funnel(world, summer) == (2, 2, 2, 2, 0)


async def test_t20_deletion_and_expiry_take_back_what_was_earned_and_nothing_else(world: World) -> None:
    summer = await campaign(world)
    numbers = (NUMBER, OTHER_NUMBER, THIRD_NUMBER)
    people = [world.person(n) for n in (1, 2, 3)]
    for person, number in zip(people[:2], numbers, strict=False):
        await came(world, person.id, summer)
        await person.registers(number)
    await came(world, 3, summer)
    await people[2].accepts()
    assert await funnel(world, summer) == (3, 3, 3, 2, 2)
    await world.accounts.erase(people[0].update(), world.now)
    assert await funnel(world, summer) == (3, 3, 3, 2, 1)
    world.clock.move(hours=25)
    assert await world.expiry.expire_due(world.now) == [3]
    assert await funnel(world, summer) == (3, 3, 3, 2, 1)
    # Whose time ran out may come back, still by the first link, and is counted once.
    await people[2].registers(THIRD_NUMBER)
    assert await funnel(world, summer) == (3, 3, 3, 3, 2)


async def test_after_a_rotation_of_the_secret_people_are_the_same(world: World, database: Database) -> None:
    summer, ira = await campaign(world), world.person(1)
    await came(world, 1, summer)
    await ira.registers(NUMBER)
    await came(world, 2, summer)
    await world.accounts.erase(ira.update(), world.now)
    later = World(database, Keys("another secret, long enough for all of them", SECRET))
    later.clock = world.clock
    assert await came(later, 2, await campaign(world, "autumn"))
    await later.person(2).registers(NUMBER)
    assert await funnel(world, summer) == (2, 2, 2, 2, 0)


async def test_t19_fifty_people_race_by_two_links_each_and_each_has_one_touch(database_url: str, world: World) -> None:
    """Each person's two updates at once, by two processes: the first one counts, nobody has two or none."""
    first, second = await campaign(world), await campaign(world, "autumn")
    other = World(Database(database_url, pool_size=12))
    try:
        await asyncio.gather(
            *(came(place, person, by) for person in range(1, 51) for place, by in ((world, first), (other, second)))
        )
        rows = await world.rows(touches)
        assert len(rows) == len({row.person for row in rows}) == 50
        counted = [await funnel(world, one) for one in (first, second)]
        assert sum(starts for starts, *_ in counted) == 50
        registering = [
            (world if n % 2 else other).person(n).registers(f"+7903{n:07}") for n in range(1, 51)
        ]  # fmt: skip
        assert all([progress.confirmed_now for progress in await asyncio.gather(*registering)])
        assert {stage for _, stage in await stages(world)} == {Stage.CONFIRMED}
    finally:
        await other.database.dispose()


async def test_t19_a_touch_and_the_account_made_at_the_same_moment_lose_nothing(
    database_url: str, world: World
) -> None:
    summer = await campaign(world)
    other = World(Database(database_url, pool_size=12))
    try:
        for person in range(1, 26):
            await asyncio.gather(came(world, person, summer), other.person(person).accepts())
        assert {stage for _, stage in await stages(world)} == {Stage.TERMS}
        assert await funnel(world, summer) == (25, 25, 25, 0, 0)
    finally:
        await other.database.dispose()


async def test_the_crm_is_told_by_whose_link_somebody_came_where_it_earns_something(database: Database) -> None:
    world = World(database, told=True)
    summer, ira = await campaign(world), world.person(1)
    await came(world, 1, summer)
    await ira.registers(NUMBER)
    invitation = await world.campaigns.of_person(1, world.now)
    house = await world.campaigns.house("support", world.now)
    for person, by, number in ((2, invitation, OTHER_NUMBER), (3, house, THIRD_NUMBER), (4, None, "+79031112244")):
        if by is not None:
            await came(world, person, by)
        await world.person(person).registers(number)
    rows = sorted(await world.rows(outbox, outbox.c.kind == "event"), key=lambda row: row.id)
    by_partner = {"code": summer.code, "campaign": "summer", "partner": "partner 900", "inviter_account_id": None}
    by_ira = {
        "code": invitation.code, "campaign": None, "partner": None,
        "inviter_account_id": str((await ira.account()).id),
    }  # fmt: skip
    by_house = {"code": house.code, "campaign": "support", "partner": None, "inviter_account_id": None}
    assert [row.payload["data"]["referral"] for row in rows] == [by_partner, by_ira, by_house, None]


async def test_who_the_crm_has_already_earns_nothing_until_it_takes_them_after_all(database: Database) -> None:
    world = World(database, told=True)
    queue, summer = EventQueue(database, timedelta(minutes=1)), await campaign(world)
    await came(world, 1, summer)
    await world.person(1).registers()
    (event,) = await queue.take("one", world.now, 1)
    assert await queue.refused(event, "one", world.now) == 1
    assert await funnel(world, summer) == (1, 1, 1, 1, 0)
    await EventLetters(database).replay(event.id, world.now)
    (event,) = await queue.take("one", world.now, 1)
    assert await queue.delivered(event, "one", world.now) == 1
    assert await funnel(world, summer) == (1, 1, 1, 1, 1)


async def test_leavers_take_their_invitations_along_however_many_leave(world: World) -> None:
    for n, number in ((1, NUMBER), (2, OTHER_NUMBER)):
        await world.person(n).registers(number)
        await world.campaigns.of_person(n, world.now)
    link = await world.campaigns.of_person(1, world.now)
    await came(world, 3, link)
    for n in (1, 2):
        assert await world.accounts.erase(world.person(n).update(), world.now)
    assert await world.rows(campaigns) == []
    assert not await came(world, 4, link)
    # Who came by it goes on all the same.
    assert (await world.person(3).registers(THIRD_NUMBER)).confirmed_now


@pytest.mark.parametrize("finished", [True, False])
async def test_only_who_was_registered_is_remembered_as_no_newcomer(world: World, finished: bool) -> None:
    ira = world.person(1)
    progress: Progress = await (ira.registers() if finished else ira.accepts())
    assert (progress.account.status is AccountStatus.CONFIRMED) is finished
    await world.accounts.erase(ira.update(), world.now)
    rows = await world.rows(former_people)
    assert len(rows) == (2 if finished else 0)
    assert str(NUMBER) not in await world.everything()
