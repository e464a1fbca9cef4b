"""What the operator's settings put before people: links, the reason, the first country, the check of mail domains."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from handlers.registration import numbers
from storage.tables import sends
from tests.journeys.stage import Registrant, on_stage
from tests.ports import free_port
from tests.sql import connected

LINKS = {
    "help_url": "https://crm.example/help",
    "video_url": "https://crm.example/video",
    "privacy_url": "https://crm.example/privacy",
    "support_url": "https://crm.example/support",
    "start_url": "https://crm.example/start",
    "restore_password_url": "https://crm.example/restore",
}


def links(ira: Registrant) -> dict[str, str | None]:
    """Return the link buttons of the newest message by label."""
    return {button.text: button.url for button in ira.person.chat[-1].buttons if button.url}


async def test_every_link_leads_where_the_operator_says(
    database_url: str, redis_url: str, tmp_path: Path, language: str
) -> None:
    async with on_stage(database_url, redis_url, tmp_path, **LINKS) as stage:
        ira = stage.someone(language)
        await ira.says("/help")
        assert links(ira) == {
            ira.label("button-help-article"): LINKS["help_url"],
            ira.label("button-video"): LINKS["video_url"],
            ira.label("button-support"): LINKS["support_url"],
        }
        await ira.says("/privacy")
        assert links(ira) == {ira.label("button-privacy"): LINKS["privacy_url"]}
        await ira.says("/support")
        assert links(ira) == {ira.label("button-support"): LINKS["support_url"]}
        await ira.registers()
        (button,) = ira.person.chat[-1].buttons
        assert button.text == ira.label("button-start-work")
        assert str(button.url).startswith(f"{LINKS['start_url']}?token=")
        oleg = stage.someone(language)
        await oleg.reaches_phone()
        await oleg.says(ira.phone)
        assert links(oleg)[oleg.label("button-restore-password")] == LINKS["restore_password_url"]


async def test_the_phone_prompt_gives_the_reason_and_names_the_first_country(
    database_url: str, redis_url: str, tmp_path: Path, language: str
) -> None:
    async with on_stage(database_url, redis_url, tmp_path) as stage:
        ira = stage.someone(language)
        await ira.reaches_phone()
        ira.expects("registration-phone-reason")
        assert "241" in ira.last()
        assert ("Россия" if language == "ru" else "Russia") in ira.last()
        await ira.taps(ira.label("button-country"))
        first, second, *_ = ira.person.chat[-1].labels
        assert ("🇷🇺" in first, "🇧🇾" in second) == (True, True), "the operator's order, not the alphabet's"
    own = {"phone_reason": "Номер <нужен> курьеру", "countries": "KZ,RU"}
    async with on_stage(database_url, redis_url, tmp_path, **own) as stage:
        ira = stage.someone(language)
        await ira.reaches_phone()
        assert "Номер <нужен> курьеру" in ira.last()
        assert not ira.said(ira.last(), "registration-phone-reason")
        ira.expects("registration-phone-prompt", flag="🇰🇿", calling_code="+7", example=numbers.example("KZ"))
        await ira.says("8 701 234 56 78")
        assert "+7 701 234 5678" in ira.last()
        async with connected(stage.app.stores.database) as connection:
            countries = await connection.execute(select(sends.c.country).order_by(sends.c.at.desc()).limit(1))
            assert countries.scalar_one() == "KZ", "the ledger counts by the number's country"


class Domains:
    """Knows what it is told; writes down what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def accepts_mail(self, domain: str) -> bool | None:
        self.asked.append(domain)
        return {"takes.example.org": True, "takes-none.example.org": False}.get(domain)


@pytest.mark.parametrize("checked", [True, False])
async def test_only_a_domain_that_certainly_takes_no_mail_is_refused_and_only_when_asked_to(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checked: bool
) -> None:
    domains = Domains()
    monkeypatch.setattr("bot.app.DnsMailDomains", lambda: domains)
    async with on_stage(database_url, redis_url, tmp_path, email_mx_check=checked) as stage:
        for domain in ("takes.example.org", "unknown.example.org", "takes-none.example.org"):
            ira = stage.someone()
            await ira.says("/start")
            await ira.says(f"ira@{domain}")
            if checked and domain == "takes-none.example.org":
                ira.expects("registration-email-domain", domain=domain)
                await ira.says(ira.email)
            ira.expects("registration-terms-prompt")
    assert domains.asked[:3] == (["takes.example.org", "unknown.example.org", "takes-none.example.org"] * checked)


async def test_prompts_travel_in_the_webhook_response_and_the_end_by_http(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    port = free_port()
    hook = {"webhook_url": f"http://127.0.0.1:{port}", "http_port": port}
    async with on_stage(database_url, redis_url, tmp_path, **hook) as stage:
        ira = stage.someone()
        await ira.registers()
        via = {
            key: {call.via for call in stage.api.calls if ira.said(str(call.parameters.get("text", "")), key)}
            for key in ("registration-email-prompt", "registration-code-prompt", "registration-done")
        }
        assert via == {
            "registration-email-prompt": {"webhook"},
            "registration-code-prompt": {"webhook"},
            "registration-done": {"http"},
        }
