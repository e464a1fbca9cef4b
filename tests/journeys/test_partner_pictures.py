"""What partners and staff hand out: links with their QR codes, and the funnel as a chart, in the chat."""

from __future__ import annotations

import io
import re
import sys
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import zxingcpp
from PIL import Image

from bot.practice.world import Message
from storage.campaigns import Campaign
from storage.funnels import Period
from tests.bot.test_referral_pages import BROWSER, on_referral_stage
from tests.fakes.surfer import Surfer
from tests.journeys.stage import TEXTS, Outside, Registrant, Stage, on_stage

BASE = "https://bot.example"
# The colours of bars.
FILLED = ((138, 150, 165), (31, 111, 209), (23, 138, 85))


async def partner(stage: Stage, language: str, *names: str) -> tuple[Registrant, list[Campaign]]:
    """Return a partner in their chat, with campaigns of these names."""
    maria, campaigns = stage.someone(language), stage.app.stores.partners.campaigns
    made = await campaigns.add_partner(f"Мария {maria.id}", maria.id, stage.clock.now())
    return maria, [await campaigns.add(made.id, name, stage.clock.now()) for name in names]


def photo(message: Message) -> Image.Image:
    assert "photo" in message.content
    assert message.file is not None
    image = Image.open(io.BytesIO(message.file))
    assert image.format == "PNG"
    return image


def bot_link(stage: Outside, campaign: Campaign) -> str:
    return f"https://t.me/{stage.api.world.bot.username}?start=r_{campaign.code}"


def handed_out(maria: Registrant, campaign: Campaign) -> None:
    """Assert that the newest messages are a campaign's code as a photo to forward and as a drawing to print."""
    shown, drawing = maria.person.chat[-2:]
    link = bot_link(maria.stage, campaign)
    assert [code.text for code in zxingcpp.read_barcodes(photo(shown))] == [link]
    assert shown.text.startswith(f"{campaign.name}\n\n{link}")
    (share,) = shown.buttons
    assert share.text == maria.label("button-share")
    sharing = urlsplit(str(share.url))
    assert (sharing.netloc, sharing.path, parse_qs(sharing.query)["url"]) == ("t.me", "/share/url", [link])
    assert drawing.content["document"]["file_name"] == f"r_{campaign.code}.svg"
    assert (drawing.file or b"").startswith(b"<svg ")


async def test_a_partner_looks_at_charts_and_hands_out_links(stage: Stage, language: str) -> None:
    maria, (blog, shop) = await partner(stage, language, "Блог", "Магазин")
    ira = stage.someone(language)
    await ira.person.follow_link(f"r_{blog.code}")
    await ira.person.settled()
    await maria.says("/partner")
    table = maria.last()
    await maria.presses(maria.label("button-partner-month"))
    assert maria.last() != table
    await maria.presses(maria.label("button-partner-chart"))
    maria.expects("partner-choose")
    assert maria.person.chat[-1].labels == [maria.label("partner-total"), "Блог", "Магазин"]
    for choice, starts in ((maria.label("partner-total"), 1), ("Блог", 1), ("Магазин", 0)):
        await maria.presses(choice)
        shown = maria.person.chat[-1]
        assert photo(shown).width == 1080
        # The numbers can be read by who sees no picture.
        assert maria.said(shown.text, "partner-title", period=maria.label("partner-period-month"))
        assert maria.said(shown.text, "partner-funnel", name=choice, starts=starts, clicks=0)
    # What is no longer pressed can be typed.
    await maria.says("/partner")
    await maria.says(maria.label("button-partner-link"))
    maria.expects("partner-choose")
    await maria.says("магазин")
    handed_out(maria, shop)
    assert "/r/" not in maria.person.chat[-2].text
    # Who is a partner registers as anybody does.
    await maria.registers()


async def test_with_one_campaign_nothing_is_asked(stage: Stage, language: str) -> None:
    maria, _ = await partner(stage, language)
    await maria.says("/partner new Весна & лето")
    maria.expects("partner-made")
    (spring,) = await stage.app.stores.partners.campaigns.of_partner(
        (await stage.app.stores.partners.campaigns.partners())[0].id
    )
    await maria.presses(maria.label("button-partner-link"))
    handed_out(maria, spring)
    await maria.presses(maria.label("button-partner-chart"))
    assert maria.said(maria.last(), "partner-funnel", name="Весна & лето", starts=0)


async def test_t16_anothers_campaign_is_nobodys_business(stage: Stage) -> None:
    maria, (own,) = await partner(stage, "ru", "Блог")
    _, (others, _) = await partner(stage, "ru", "Тайная", "Вторая")
    stranger = stage.someone()
    await stranger.says("/start")
    await maria.says("/partner")
    crafted = [
        f"partner:link:{others.code}",
        f"partner:chart:week:{others.code}",
        "partner:chart:",
        "partner:chart:x:all",
    ]
    crafted += ["partner:link:00000000", "partner:link:' OR 1=1 --", f"partner:chart:week:{own.code}:x:y", "partner:x"]
    for person in (maria, stranger):
        for data in (*crafted, *([f"partner:link:{own.code}"] if person is stranger else [])):
            before = len(person.person.chat)
            await person.person.press_data(data, person.person.chat[-1])
            await person.person.settled()
            said = person.person.chat[before:]
            assert [message for message in said if message.content or "Тайная" in message.text] == [], data
    await maria.presses(maria.label("button-partner-link"))
    handed_out(maria, own)
    await maria.registers()


async def test_staff_hand_out_a_link_in_one_message(
    database_url: str, redis_url: str, tmp_path: Path, language: str
) -> None:
    chat = -1001234567890
    async with on_stage(
        database_url, redis_url, tmp_path, public_url=BASE, staff_ids="900100", support_chat_id=chat
    ) as stage:
        person = stage.api.person(900100, first_name="Олег", language_code=language)
        oleg = Registrant(stage, person, language)
        await oleg.says("/delete")
        await oleg.says("/link Выставка")
        shown = oleg.person.chat[-1]
        campaign = await stage.app.stores.partners.campaigns.house("Выставка", stage.clock.now())
        link = bot_link(stage, campaign)
        assert [code.text for code in zxingcpp.read_barcodes(photo(shown))] == [link]
        words = TEXTS.plain(language, "staff-link", product="Smarty CRM", link=link)
        assert shown.text == f"{words}\n\n{TEXTS.plain(language, 'link-web', link=f'{BASE}/r/{campaign.code}')}"
        # What is forwarded says nothing of who gave it.
        assert shown.buttons == []
        group = stage.api.group(chat, "Поддержка")
        anna = stage.someone(language)
        await anna.person.send_in(group, "/link Выставка")
        await anna.person.settled()
        (answer,) = group.answers
        assert [code.text for code in zxingcpp.read_barcodes(photo(answer))] == [link]
        await anna.person.send_in(group, f"/link {'x' * 41}")
        await anna.person.settled()
        assert anna.said(group.answers[-1].text, "partner-name")
        await anna.says("/link Выставка")
        assert not any(message.content for message in anna.person.chat)
        await anna.registers()


async def test_t22_a_malicious_payload_is_ignored_and_the_person_goes_on(stage: Stage) -> None:
    _, (blog,) = await partner(stage, "ru", "Блог")
    evil = (
        f"r_{blog.code}x", f"r_{blog.code}-p_" + "A" * 21, "r_" + "A" * 60, "r_0000000", f"R_{blog.code}", "p_",
        "p_" + "A" * 21, f"r_{blog.code}'; DROP TABLE touches; --", "<b>r_</b>", f"r_{blog.code}\n<script>",
        "r_٠١٢٣٤٥٦٧", "r_%00%ff", "x" * 4000,
    )  # fmt: skip
    for payload in evil:
        ira = stage.someone()
        await ira.says(f"/start {payload}")
        assert len(ira.heard()) == 1, payload
        ira.expects("registration-email-prompt")
        assert payload not in ira.last()
    funnel = await stage.app.stores.partners.funnels.of(blog.id, Period.ALL, stage.clock.now())
    assert funnel.starts == 0
    await ira.registers()


async def test_three_click_two_register_and_one_expires(
    database_url: str, redis_url: str, tmp_path: Path, language: str
) -> None:
    """The numbers, the chart and the table say exactly that."""
    async with on_referral_stage(database_url, redis_url, tmp_path) as referrals:
        stage = referrals.stage
        maria, _ = await partner(stage, language)
        await maria.says("/partner new Весна")
        link = re.search(r"start=(r_(\w{8}))", maria.last())
        assert link is not None
        people = [stage.someone(language) for _ in range(3)]
        for number, person in enumerate(people):
            async with Surfer(language, f"{BROWSER} {number}") as surfer:
                await surfer.open(f"{referrals.base}/r/{link[2]}")
                await surfer.open(f"{referrals.base}/r/{link[2]}")
                chat = surfer.link(person.label("page-referral-chat"))
            await person.person.follow_link(parse_qs(urlsplit(chat).query)["start"][0])
            await person.person.settled()
        for person in people[:2]:
            await person.registers()
        await people[2].reaches_phone()
        stage.clock.move(hours=25)
        await stage.app.jobs.cleanup()
        await people[2].is_told("notice-expired")
        told = {"clicks": 3, "starts": 3, "email": 3, "terms": 3, "phone": 2, "confirmed": 2}
        await maria.says("/partner")
        maria.expects("partner-funnel", name="Весна", **told)
        await maria.presses(maria.label("button-partner-chart"))
        maria.expects("partner-funnel", name="Весна", **told)
        assert bars(photo(maria.person.chat[-1])) == [3, 3, 3, 3, 2, 2]
        await maria.presses(maria.label("button-partner-csv"))
        assert (maria.person.chat[-1].file or b"").decode("utf-8-sig").splitlines()[1:] == [
            f"{stage.clock.now().astimezone(stage.settings.time_zone).date() - timedelta(days=1)}"
            f",Весна,{link[1]},3,3,3,3,2,2"
        ]


def bars(chart: Image.Image) -> list[int]:
    """Measure the bars of a chart whose longest stands for three."""
    lengths = []
    for y in range(chart.height):
        line = chart.crop((84, y, 996, y + 1)).convert("RGB").getcolors(1000)
        filled = sum(n for n, colour in line or [] if colour in FILLED)
        lengths.append(filled)
    # Each bar is many lines high: one number for each run of lines that have any.
    runs = [max(run) for has, run in ((has, list(run)) for has, run in groupby(lengths, bool)) if has]
    return [round(3 * length / 912) for length in runs]


async def test_what_cannot_be_drawn_is_said(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    maria, (blog,) = await partner(stage, "ru", "Блог")
    await maria.says("/partner")
    # No program can be started: no memory, no process left.
    monkeypatch.setattr(sys, "executable", str(Path("nowhere", "python")))
    await maria.presses(maria.label("button-partner-chart"))
    maria.expects("partner-funnel", name="Блог", starts=0)
    await maria.presses(maria.label("button-partner-link"))
    words, drawing = maria.person.chat[-2:]
    assert (words.content, bot_link(stage, blog) in words.text) == ({}, True)
    assert drawing.content["document"]["file_name"] == f"r_{blog.code}.svg"
    monkeypatch.undo()
    await maria.presses(maria.label("button-partner-link"))
    handed_out(maria, blog)
