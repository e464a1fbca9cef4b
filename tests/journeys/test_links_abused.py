"""What partners, guessers and forgers try with links and codes (T19-T23); each ends with an honest registration."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from storage.campaigns import Campaign
from storage.funnels import Funnel, Period
from storage.partner_tables import promo_codes, promo_uses, touches
from storage.promo_codes import PromoCode
from tests.journeys.stage import Registrant, Stage, on_stage
from tests.journeys.test_partners import becomes_partner, goes_on, new_campaign, table
from tests.sql import connected

MANY = 50
# Without an SMS each, so that fifty are quick.
BY_CONTACT = {"code_for_own_contact": "never", "updates_per_person": "1000/10s"}


@pytest.fixture
async def crowded(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """The bot where an own contact needs no code."""
    async with on_stage(database_url, redis_url, tmp_path, **BY_CONTACT) as stage:
        yield stage


async def rows(stage: Stage, table: sa.Table, *where: sa.ColumnElement[bool]) -> list[Any]:
    async with connected(stage.app.stores.database) as conn:
        return list((await conn.execute(sa.select(table).where(*where))).all())


async def funnel(stage: Stage, campaign: Campaign) -> Funnel:
    return await stage.app.stores.partners.funnels.of(campaign.id, Period.ALL, stage.clock.now())


async def registers_by_contact(who: Registrant, start: str = "/start") -> None:
    """The whole way where an own contact needs no code."""
    for words in (start, who.email, who.label("terms-consent"), who.label("button-register")):
        await who.says(words)
    await who.shares_contact()
    who.expects("registration-done")


async def leaves(who: Registrant) -> None:
    await who.says("/delete")
    await who.presses(who.label("button-delete"))
    who.expects("menu-deleted")


async def comes_honestly(stage: Stage, campaign: Campaign, before: Funnel) -> None:
    """Somebody registers by this link, and that alone is earned."""
    honest = stage.someone()
    await registers_by_contact(honest, f"/start r_{campaign.code}")
    after = await funnel(stage, campaign)
    assert (after.starts, after.confirmed) == (before.starts + 1, before.confirmed + 1)


async def test_t19_self_referral_rings_and_second_accounts_earn_nothing(crowded: Stage) -> None:
    stage = crowded
    ivan, olga = stage.someone(), stage.someone()
    await becomes_partner(stage, ivan, "Ivan")
    await becomes_partner(stage, olga, "Olga")
    of_ivan, of_olga = await new_campaign(stage, ivan), await new_campaign(stage, olga)
    # His own link; then a ring: each by the other's, she when she is registered already.
    await ivan.says(f"/start r_{of_ivan.code}")
    await registers_by_contact(olga)
    await olga.says(f"/start r_{of_ivan.code}")
    assert await rows(stage, touches) == []
    await registers_by_contact(ivan, f"/start r_{of_olga.code}")
    assert (await funnel(stage, of_olga)).confirmed == 1
    # He leaves and comes back by her link; so does a second Telegram account of his with the same number.
    await leaves(ivan)
    assert (await funnel(stage, of_olga)).confirmed == 0
    await registers_by_contact(ivan, f"/start r_{of_olga.code}")
    assert (await funnel(stage, of_olga)).confirmed == 0
    await leaves(ivan)
    second = stage.someone(phone=ivan.phone)
    await registers_by_contact(second, f"/start r_{of_olga.code}")
    assert (await funnel(stage, of_olga)).confirmed == 0
    await comes_honestly(stage, of_olga, await funnel(stage, of_olga))


async def test_t19_fifty_at_once_by_two_links_each_are_the_first_ones(crowded: Stage) -> None:
    stage = crowded
    ivan = stage.someone()
    await becomes_partner(stage, ivan)
    pair = [await new_campaign(stage, ivan, name) for name in ("first", "second")]
    people = [stage.someone() for _ in range(MANY)]
    for n, person in enumerate(people):
        for campaign in (pair[n % 2], pair[1 - n % 2]):
            await person.person.send(f"/start r_{campaign.code}")
    for person in people:
        await person.person.settled()
    assert Counter(row.campaign_id for row in await rows(stage, touches)) == {pair[0].id: 25, pair[1].id: 25}
    await registers_by_contact(people[0])
    assert [(await funnel(stage, one)).confirmed for one in pair] == [1, 0]
    await comes_honestly(stage, pair[1], await funnel(stage, pair[1]))


async def test_t20_people_are_counted_once_and_earned_when_confirmed_until_they_leave(crowded: Stage) -> None:
    stage = crowded
    ivan, ira = stage.someone(), stage.someone()
    await becomes_partner(stage, ivan)
    campaign = await new_campaign(stage, ivan)
    count_click = stage.app.stores.partners.clicks.count_click
    await asyncio.gather(*(count_click(campaign.id, b"i" * 16, stage.clock.now()) for _ in range(MANY)))
    for _ in range(5):
        await ira.says(f"/start r_{campaign.code}")
    assert await funnel(stage, campaign) == Funnel(1, 1)
    for words in (ira.email, ira.label("terms-consent"), ira.label("button-register"), f"/start r_{campaign.code}"):
        await ira.says(words)
    assert await funnel(stage, campaign) == Funnel(1, 1, 1, 1)
    await ira.shares_contact()
    assert await funnel(stage, campaign) == Funnel(1, 1, 1, 1, 1, 1)
    await ira.says(f"/start r_{campaign.code}")
    assert await funnel(stage, campaign) == Funnel(1, 1, 1, 1, 1, 1)
    await leaves(ira)
    assert await funnel(stage, campaign) == Funnel(1, 1, 1, 1, 1, 0)
    await comes_honestly(stage, campaign, await funnel(stage, campaign))


async def test_t21_guesses_are_locked_through_a_restart_and_an_emptied_redis(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with on_stage(database_url, redis_url, tmp_path, **BY_CONTACT) as stage:
        await stage.app.stores.partners.promo_codes.add(PromoCode("SUMMER"), stage.clock.now())
        ira = stage.someone()
        await ira.says("/promo")
        assert ira.was_told("promo-how")
        await ira.says("/promo not a code at all")
        assert ira.was_told("promo-unknown")
        for guess in range(5):
            await ira.says(f"/promo GUESS{guess}" if guess % 2 else f"/start p_GUESS{guess}")
        assert not ira.was_told("promo-limit")
        await ira.says("/promo SUMMER")
        ira.expects("promo-limit")
        await stage.app.stores.redis.flushall()
    async with on_stage(database_url, redis_url, tmp_path, **BY_CONTACT) as stage:
        ira, honest = stage.again(ira), stage.someone()
        await ira.says("/start p_SUMMER")
        assert ira.was_told("promo-limit")
        assert not ira.was_told("promo-taken")
        await registers_by_contact(honest, "/start p_summer")
        honest.expects("registration-done-promo", promo="SUMMER")
        stage.clock.move(minutes=5)
        await ira.says("/promo summer")
        assert ira.was_told("promo-taken", promo="SUMMER")
        await registers_by_contact(ira)
        ira.expects("registration-done-promo", promo="SUMMER")


async def test_t21_a_code_with_seven_uses_gives_seven_to_fifty_at_once(crowded: Stage) -> None:
    stage = crowded
    await stage.app.stores.partners.promo_codes.add(PromoCode("SUMMER", max_uses=7), stage.clock.now())
    people = [stage.someone() for _ in range(MANY)]
    await asyncio.gather(*(person.says("/start p_SUMMER") for person in people))
    promised = [person for person in people if person.was_told("promo-taken", promo="SUMMER")]
    others = [person for person in people if person not in promised]
    assert (len(promised), len(others)) == (7, 43)
    assert all(person.was_told("promo-used-up") for person in others)
    # They try again while those who have it finish.
    some = others[:7]
    await asyncio.gather(
        *(registers_by_contact(person) for person in promised),
        *(registers_by_contact(person, "/promo SUMMER") for person in some),
    )
    assert all(person.said(person.last(), "registration-done-promo", promo="SUMMER") for person in promised)
    assert not any(person.said(person.last(), "registration-done-promo") for person in some)
    assert [row.used for row in await rows(stage, promo_codes)] == [7]
    assert len(await rows(stage, promo_uses, promo_uses.c.used_at.is_not(None))) == 7


async def test_t21_a_code_that_is_gone_by_the_end_is_said_to_be(stage: Stage) -> None:
    await stage.app.stores.partners.promo_codes.add(PromoCode("SUMMER"), stage.clock.now())
    ira = stage.someone()
    await ira.says("/promo summer")
    await goes_on(ira)
    ira.expects("registration-done-promo", promo="SUMMER")
    await ira.says("/promo other")
    assert ira.was_told("promo-too-late")
    await leaves(ira)
    second = stage.someone(phone=ira.phone)
    await second.says("/start p_SUMMER")
    assert second.was_told("promo-taken", promo="SUMMER")
    await second.reaches_code()
    await second.finishes(count=2)
    assert second.was_told("promo-gone", promo="SUMMER")
    assert not second.said(second.last(), "registration-done-promo")


MALICIOUS = (
    "r_" + "a" * 9, "r_abc", "r_абвгдежз", "r_abcdefgu", "r_'; DROP TABLE touches;--", "r_00000000' OR '1'='1",
    "r_<b>00000", "<script>alert(1)</script>", "p_<b>x</b>", "p_" + "x" * 21, "p_", "r_00000000-p_" + "x" * 21,
    "r_00000000-p_<i>", "r_00000000p_X", "p_{promo}", "p_%s%n", "r_1234567\u0661", "R_00000000", "i_", "o_",
    "x" * 64, "x" * 4000, "r_00000000\nr_11111111", "../../etc/passwd",
)  # fmt: skip


async def test_t22_a_malicious_payload_is_ignored_and_the_person_goes_on(crowded: Stage) -> None:
    stage = crowded
    ivan, ira = stage.someone(), stage.someone()
    await becomes_partner(stage, ivan)
    campaign = await new_campaign(stage, ivan)
    await ira.says("/start")
    greeted = ira.last()
    for payload in MALICIOUS:
        await ira.says(f"/start {payload}")
        assert ira.last() == greeted, payload
        assert "script" not in "".join(ira.heard())
    assert await rows(stage, touches) == []
    assert await rows(stage, promo_uses) == []
    await ira.says("/promo <b>x</b>")
    assert ira.was_told("promo-unknown")
    await registers_by_contact(ira)
    await comes_honestly(stage, campaign, await funnel(stage, campaign))


FORMULAS = (
    "=1+1", "+7", "-1", "@SUM(A1)", " =1", "＝1+1", "a;=cmd|' /C calc'!A0", 'x","=y', "a,=b", "'=c", "a; +1", "обычная",
)  # fmt: skip


async def test_t23_no_cell_of_the_table_is_a_formula(crowded: Stage) -> None:
    stage = crowded
    ivan = stage.someone()
    await becomes_partner(stage, ivan)
    campaigns = []
    for name in FORMULAS:
        await ivan.says(f"/partner new {name}")
        code = ivan.last().rpartition("?start=r_")[2]
        campaign = await stage.app.stores.partners.campaigns.by_code(code)
        assert campaign is not None
        campaigns.append(campaign)
        await stage.app.stores.partners.clicks.count_click(campaign.id, b"1" * 16, stage.clock.now())
    await ivan.says("/partner")
    await ivan.presses(ivan.label("button-partner-csv"))
    by_code = {row["code"]: row["campaign"] for row in table(ivan)}
    plain = [by_code[f"r_{one.code}"].replace("'", "") == one.name.replace("'", "") for one in campaigns]
    assert all(plain), "nothing else is lost"
    file = ivan.person.chat[-1].file
    assert file is not None
    # Whatever a spreadsheet takes for the separator and for a quote.
    for cell in re.split('[,;\t\r\n"|]', file.decode("utf-8-sig")):
        assert not re.match("[ \u00a0']*[=+@\uff1d\uff0b\uff0d\uff20-]", cell) or cell.lstrip(" \u00a0")[0] == "'", cell
    assert by_code[f"r_{campaigns[-1].code}"] == "обычная"
    await comes_honestly(stage, campaigns[0], await funnel(stage, campaigns[0]))
