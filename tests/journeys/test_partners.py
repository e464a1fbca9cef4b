"""A partner and the numbers they believe: from the first campaign to the table (issue 8, "must show" 1)."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.campaigns import Campaign
from storage.funnels import Funnel
from tests.journeys.social_stage import SocialStage, links
from tests.journeys.stage import Registrant, Stage, on_stage

NOTHING = dict.fromkeys(Funnel.__dataclass_fields__, 0)
SUPPORT = -1001


@pytest.fixture
async def staffed(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[tuple[Stage, Registrant]]:
    """The bot with one of its staff, and a support group."""
    # Nobody has that id yet: the next stage's people come after it.
    async with on_stage(database_url, redis_url, tmp_path, staff_ids=[77], support_chat_id=SUPPORT) as stage:
        person = stage.api.person(77, language_code="ru")
        yield stage, Registrant(stage, person, "ru")


async def becomes_partner(stage: Stage, who: Registrant, name: str = "Иван & Ко") -> None:
    """As `python -m bot partner add` does it."""
    await stage.app.stores.partners.campaigns.add_partner(name, who.id, stage.clock.now())


async def new_campaign(stage: Stage, who: Registrant, name: str = "лето") -> Campaign:
    """Made in the chat; found by the link that stands there."""
    await who.says(f"/partner new {name}")
    who.expects("partner-made", name=name)
    code = who.last().rpartition("?start=r_")[2]
    found = await stage.app.stores.partners.campaigns.by_code(code)
    assert found is not None
    return found


async def clicks(stage: Stage, campaign: Campaign, *visitors: int) -> None:
    for visitor in visitors:
        await stage.app.stores.partners.clicks.count_click(campaign.id, bytes([visitor]) * 16, stage.clock.now())


async def goes_on(who: Registrant) -> None:
    """From the first step to the end."""
    await who.says(who.email)
    await who.presses(who.label("terms-consent"))
    await who.presses(who.label("button-register"))
    await who.says(who.phone)
    await who.finishes()


def table(who: Registrant) -> list[dict[str, str]]:
    """The rows of the file that came last."""
    file = who.person.chat[-1].file
    assert file is not None
    return list(csv.DictReader(file.decode("utf-8-sig").splitlines()))


async def test_three_click_two_register_one_expires_and_the_numbers_say_exactly_that(
    stage: Stage, language: str
) -> None:
    ivan = stage.someone(language)
    await becomes_partner(stage, ivan)
    await ivan.says("/partner")
    ivan.expects("partner-none")
    campaign = await new_campaign(stage, ivan)
    quiet = await new_campaign(stage, ivan, "осень")
    await clicks(stage, campaign, 1, 2, 3, 1)
    people = [stage.someone(language) for _ in range(3)]
    for person in people:
        await person.says(f"/start r_{campaign.code}")
        person.expects("registration-email-prompt")
    for person in people[:2]:
        await goes_on(person)
    await people[2].says(people[2].email)
    await people[2].presses(people[2].label("terms-consent"))
    await people[2].presses(people[2].label("button-register"))
    day = stage.clock.now().astimezone(stage.settings.time_zone).date()
    stage.clock.move(hours=24, minutes=1)
    await stage.app.jobs.cleanup()
    await people[2].is_told("notice-expired")

    numbers = {"clicks": 3, "starts": 3, "email": 3, "terms": 3, "phone": 2, "confirmed": 2}
    await ivan.says("/partner")
    shown = ivan.last()
    assert "Иван & Ко" in shown
    assert ivan.said(shown, "partner-funnel", name="лето", **numbers)
    assert ivan.said(shown, "partner-funnel", name="осень", **NOTHING)
    assert ivan.said(shown, "partner-funnel", name=ivan.label("partner-total"), **numbers)
    assert f"?start=r_{campaign.code}" in shown
    assert f"?start=r_{quiet.code}" in shown
    # They came yesterday.
    for period, there in (("today", NOTHING), ("month", numbers), ("all", numbers), ("week", numbers)):
        await ivan.presses(ivan.label(f"button-partner-{period}"))
        assert ivan.said(ivan.last(), "partner-title", name="Иван & Ко", period=ivan.label(f"partner-period-{period}"))
        assert ivan.said(ivan.last(), "partner-funnel", name="лето", **there)
    await ivan.presses(ivan.label("button-partner-csv"))
    ivan.expects("partner-csv")
    assert table(ivan) == [
        {"date": day.isoformat(), "campaign": "лето", "code": f"r_{campaign.code}"}
        | {name: str(count) for name, count in numbers.items()}
    ]
    await people[2].says("/start")
    await people[2].says(people[2].email)
    await people[2].presses(people[2].label("terms-consent"))
    await people[2].presses(people[2].label("button-register"))
    await people[2].says(people[2].phone)
    await people[2].finishes()
    await ivan.says("/partner")
    assert ivan.said(ivan.last(), "partner-funnel", name="лето", **numbers | {"phone": 3, "confirmed": 3})


async def test_who_is_no_partner_gets_what_an_unknown_command_gets(stage: Stage) -> None:
    ira = stage.someone()
    await ira.says("/start")
    await ira.says("/nonsense")
    unknown = ira.last()
    for words in ("/partner", "/partner new x", "/partner_add 5 x", "/link"):
        await ira.says(words)
        assert ira.last() == unknown
    await goes_on(ira)


async def test_a_campaigns_name_must_be_one_that_can_be_shown(stage: Stage) -> None:
    ivan = stage.someone()
    await becomes_partner(stage, ivan)
    for words in ("/partner new", "/partner new " + "x" * 41, "/partner new a\u202eb"):
        await ivan.says(words)
        ivan.expects("partner-name")
    await ivan.says("/partner new <b>&amp;{name}")
    assert "<b>&amp;{name}" in ivan.last()
    await ivan.says("/partner")
    assert "<b>&amp;{name}" in ivan.last()


async def test_staff_make_a_partner_who_sees_it_at_once(staffed: tuple[Stage, Registrant]) -> None:
    stage, staff = staffed
    ivan, olga = stage.someone(), stage.someone("en")
    await ivan.says("/partner")
    ivan.expects("registration-email-prompt")
    for words in ("/partner_add", "/partner_add Иван", "/partner_add -100 Иван", "/partner_add 12"):
        await staff.says(words)
        staff.expects("staff-partner-how")
    await staff.says(f"/partner_add {ivan.id} " + "x" * 41)
    staff.expects("partner-name")
    # The same again changes nothing and says the same.
    for _ in range(2):
        await staff.says(f"/partner_add {ivan.id}  Иван   и Ко")
        staff.expects("staff-partner-made", name="Иван и Ко", person=str(ivan.id))
    await staff.says(f"/partner_add {ivan.id} Пётр")
    staff.expects("staff-partner-person-taken", name="Иван и Ко")
    await staff.says(f"/partner_add {olga.id} Иван и Ко")
    staff.expects("staff-partner-name-taken", name="Иван и Ко")
    await ivan.says("/partner")
    ivan.expects("partner-none")
    await new_campaign(stage, ivan)
    await olga.says("/partner")
    olga.expects("registration-email-prompt")
    # One whom a command made for nobody yet.
    await stage.app.stores.partners.campaigns.add_partner("Olga", None, stage.clock.now())
    await staff.says(f"/partner_add {olga.id} Olga")
    staff.expects("staff-partner-made", name="Olga")
    await olga.says("/partner")
    olga.expects("partner-none")
    await goes_on(olga)


async def test_the_support_group_makes_a_partner_and_other_groups_do_not(
    staffed: tuple[Stage, Registrant], caplog: pytest.LogCaptureFixture
) -> None:
    stage, _ = staffed
    caplog.set_level("INFO", "handlers.staff_partners")
    support, other = stage.api.group(SUPPORT, "Поддержка"), stage.api.group(-1002, "Клиенты")
    agent, ivan = stage.someone(), stage.someone()
    await agent.person.send_in(other, f"/partner_add {ivan.id} Иван")
    await agent.person.settled()
    assert await stage.app.stores.partners.campaigns.partners() == ()
    await agent.person.send_in(support, f"/partner_add {ivan.id} Иван")
    await agent.person.settled()
    assert agent.said(support.answers[-1].text, "staff-partner-made", name="Иван")
    await ivan.says("/partner")
    ivan.expects("partner-none")
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"ends in {agent.id % 100:02}" in line
    assert not any(str(private) in line for private in (ivan.id, agent.id, "Иван"))


async def test_google_keeps_the_link_somebody_came_by(social: SocialStage) -> None:
    ivan, ira = social.someone(), social.someone()
    await becomes_partner(social, ivan)
    campaign = await new_campaign(social, ivan)
    await ira.says(f"/start r_{campaign.code}")
    await links(ira, social.openid.account(f"touched.{ira.id}@gmail.com"))
    await ira.presses(ira.label("button-create-new"))
    await ira.presses(ira.label("terms-consent"))
    await ira.presses(ira.label("button-register"))
    await ira.says(ira.phone)
    await ira.finishes()
    await ivan.says("/partner")
    all_the_way = dict.fromkeys(NOTHING, 1) | {"clicks": 0}
    assert ivan.said(ivan.last(), "partner-funnel", name="лето", **all_the_way)


async def test_f39_start_in_the_middle_with_another_link_leaves_the_first_its_credit(stage: Stage) -> None:
    ivan, ira = stage.someone(), stage.someone()
    await becomes_partner(stage, ivan)
    first, second = await new_campaign(stage, ivan, "first"), await new_campaign(stage, ivan, "second")
    await ira.says(f"/start r_{first.code}")
    await ira.says(ira.email)
    await ira.says(f"/start r_{second.code}")
    ira.expects("registration-terms-prompt")
    await ira.presses(ira.label("terms-consent"))
    await ira.presses(ira.label("button-register"))
    await ira.says(f"/start r_{second.code.upper()}")
    ira.expects("registration-phone-prompt")
    await ira.says(ira.phone)
    await ira.finishes()
    await ivan.says("/partner")
    assert ivan.said(ivan.last(), "partner-funnel", name="first", **dict.fromkeys(NOTHING, 1) | {"clicks": 0})
    assert ivan.said(ivan.last(), "partner-funnel", name="second", **NOTHING)
