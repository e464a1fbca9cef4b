"""A promo code and a link, from the first tap to the final message and to the CRM."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.promo_codes import PromoCode
from tests.fakes.crm import SECRET, FakeCrm
from tests.journeys.stage import MovableClock, Stage, on_stage
from tests.journeys.test_partners import becomes_partner, goes_on, new_campaign


@pytest.fixture
async def stage(
    database_url: str, redis_url: str, tmp_path: Path, crm: FakeCrm, clock: MovableClock
) -> AsyncIterator[Stage]:
    other = {"crm_webhook_url": crm.url, "crm_webhook_secret": SECRET}
    async with on_stage(database_url, redis_url, tmp_path, clock, **other) as stage:
        yield stage


async def test_a_link_with_both_is_on_the_final_message_and_in_the_crms_event(
    stage: Stage, crm: FakeCrm, language: str
) -> None:
    await stage.app.stores.partners.promo_codes.add(PromoCode("SUMMER-5"), stage.clock.now())
    ivan, ira, oleg = (stage.someone(language) for _ in range(3))
    await becomes_partner(stage, ivan)
    campaign = await new_campaign(stage, ivan)
    await ira.says(f"/start r_{campaign.code}-p_summer-5")
    assert ira.was_told("promo-taken", promo="SUMMER-5")
    # What Redis knew of it is not needed.
    await stage.app.stores.redis.flushall()
    await goes_on(ira)
    ira.expects("registration-done-promo", promo="SUMMER-5")
    await oleg.registers()
    assert not oleg.said(oleg.last(), "registration-done-promo")
    told = {call.event["data"]["telegram_id"]: call.event["data"] for call in await crm.has_taken(2)}
    assert told[ira.id]["promo"] == "SUMMER-5"
    assert told[ira.id]["referral"] == {
        "code": campaign.code, "campaign": "лето", "partner": "Иван & Ко", "inviter_account_id": None,
    }  # fmt: skip
    assert (told[oleg.id]["promo"], told[oleg.id]["referral"]) == (None, None)
    await ira.says("hello")
    ira.expects("registration-done-promo", promo="SUMMER-5")
