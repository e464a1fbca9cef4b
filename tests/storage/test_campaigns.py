"""Partners and campaigns: made once, however often and by however many at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from storage.campaigns import (
    CAMPAIGNS,
    LONGEST_NAME,
    Campaigns,
    PartnerExists,
    TelegramIdTaken,
    TooManyCampaigns,
    is_name,
)
from storage.database import Database
from storage.partner_tables import campaigns, partners
from tests.storage.world import World

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


async def test_a_partner_is_made_once_and_seen_by_one_person(world: World) -> None:
    ivan = await world.campaigns.add_partner("Ivan", 900, NOW)
    olga = await world.campaigns.add_partner("Olga", None, NOW)
    assert await world.campaigns.partner_of(900) == ivan
    with pytest.raises(PartnerExists) as exists:
        await world.campaigns.add_partner("Ivan", 901, NOW)
    assert exists.value.partner == ivan
    with pytest.raises(TelegramIdTaken, match="Ivan"):
        await world.campaigns.add_partner("Petr", 900, NOW)
    with pytest.raises(TelegramIdTaken, match="Ivan"):
        await world.campaigns.assign(olga, 900)
    assert (await world.campaigns.assign(olga, 901)).telegram_id == 901
    assert (await world.campaigns.assign(ivan, 902)).telegram_id == 902
    assert [partner.telegram_id for partner in await world.campaigns.partners()] == [902, 901]
    assert await world.campaigns.partner_of(900) is None
    assert await world.campaigns.partner_named("Petr") is None


async def test_who_erases_their_data_is_no_partner_any_more_and_the_partner_stays(world: World) -> None:
    await world.campaigns.add_partner("Ivan", 900, NOW)
    await world.accounts.erase(world.person(900).update(), NOW)
    (ivan,) = await world.campaigns.partners()
    assert (ivan.name, ivan.telegram_id) == ("Ivan", None)


async def test_a_campaign_is_made_once_under_a_name_and_found_by_its_code(world: World) -> None:
    ivan = await world.campaigns.add_partner("Ivan", 900, NOW)
    olga = await world.campaigns.add_partner("Olga", 901, NOW)
    summer = await world.campaigns.add(ivan.id, "summer", NOW)
    assert await world.campaigns.add(ivan.id, "summer", NOW) == summer
    others = await world.campaigns.add(olga.id, "summer", NOW)
    house = await world.campaigns.house("summer", NOW)
    own = await world.campaigns.of_person(900, NOW)
    assert await world.campaigns.house("summer", NOW) == house
    assert await world.campaigns.of_person(900, NOW) == own
    assert len({campaign.code for campaign in (summer, others, house, own)}) == 4
    for campaign in (summer, others, house, own):
        assert await world.campaigns.by_code(campaign.code.upper()) == campaign
    assert await world.campaigns.of_partner(ivan.id) == (summer,)
    assert await world.campaigns.by_code("00000000") is None
    assert await world.campaigns.by_code("' OR 1=1") is None


async def test_a_partner_has_so_many_campaigns_and_no_more(world: World) -> None:
    ivan = await world.campaigns.add_partner("Ivan", 900, NOW)
    for n in range(CAMPAIGNS):
        await world.campaigns.add(ivan.id, f"campaign {n}", NOW)
    with pytest.raises(TooManyCampaigns):
        await world.campaigns.add(ivan.id, "one more", NOW)
    # The one there is is no new one.
    assert (await world.campaigns.add(ivan.id, "campaign 7", NOW)).name == "campaign 7"


async def test_fifty_at_once_make_one(world: World, database_url: str) -> None:
    other = Campaigns(second := Database(database_url, pool_size=12))
    both = (world.campaigns, other)
    try:
        made = await asyncio.gather(
            *(both[n % 2].add_partner("Ivan", 900, NOW) for n in range(50)), return_exceptions=True
        )
        assert sum(not isinstance(one, PartnerExists) for one in made) == 1
        (ivan,) = await world.campaigns.partners()
        fifty = [both[n % 2] for n in range(50)]
        for makers in (
            [one.add(ivan.id, "summer", NOW) for one in fifty],
            [one.house("support", NOW) for one in fifty],
            [one.of_person(900, NOW) for one in fifty],
        ):
            assert len(set(await asyncio.gather(*makers))) == 1
        # Other names, one Telegram id.
        made = await asyncio.gather(
            *(both[n % 2].add_partner(f"Olga {n}", 901, NOW) for n in range(50)), return_exceptions=True
        )
        assert sum(isinstance(one, TelegramIdTaken) for one in made) == 49
        assert (len(await world.rows(campaigns)), len(await world.rows(partners))) == (3, 2)
    finally:
        await second.dispose()


async def test_a_code_that_is_taken_is_drawn_again(database: Database) -> None:
    drawn = iter([b"\0\0\0\0\1", b"\0\0\0\0\1", b"\0\0\0\0\2"])
    own = Campaigns(database, lambda count: next(drawn))
    assert [(await own.house(name, NOW)).id for name in ("one", "two")] == [1, 2]
    stuck = Campaigns(database, lambda count: b"\0\0\0\0\1")
    with pytest.raises(LookupError):
        await stuck.house("three", NOW)


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("Лето 2026", True),
        ("=1+1", True),
        ("x" * LONGEST_NAME, True),
        ("x" * (LONGEST_NAME + 1), False),
        ("", False),
        ("two\nlines", False),
        ("a\u202eb", False),
        ("tab\there", False),
    ],
)
def test_a_name_is_one_line_that_can_be_shown(name: str, may: bool) -> None:
    assert is_name(name) is may
