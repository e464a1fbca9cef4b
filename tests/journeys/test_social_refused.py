"""Signing up where it fails or is abused: each has its words and a way on, and nothing is bound to anybody else."""

from __future__ import annotations

import asyncio

import pytest

from storage.conversations import Conversation
from storage.errors import LockLost
from storage.tables import identities
from tests.fakes.surfer import Surfer
from tests.journeys.social_stage import (
    SocialStage,
    accepts_terms,
    arrives,
    button_url,
    confirms_number,
    follows,
    links,
    page_says,
    signs_in,
)


async def test_the_way_back_taken_twice_binds_once(social: SocialStage) -> None:
    """The link is pressed again, or its update comes again: it says what is."""
    ira, google = social.someone(), social.openid.account("twice@gmail.com")
    await ira.says("/start")
    async with Surfer() as surfer:
        payload = await arrives(ira, google, surfer)
    await follows(ira, payload)
    await ira.presses(ira.label("button-yes-link"))
    await follows(ira, payload)
    ira.expects("social-already")
    await ira.presses(ira.label("button-create-new"))
    ira.expects("registration-terms-prompt")
    assert len(await social.rows(identities)) == 1


async def test_f40_what_was_committed_and_not_saved_says_the_same_again(
    social: SocialStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between SQL and Redis: Telegram brings the update again."""
    save, lost = Conversation.save, [0]

    async def losing(conversation: Conversation, reply: str | None) -> None:
        if lost[0]:
            lost[0] -= 1
            raise LockLost
        await save(conversation, reply)

    monkeypatch.setattr(Conversation, "save", losing)
    old, ira, google = social.someone(), social.someone(), social.openid.account("crash@gmail.com")
    await old.registers()
    await ira.says("/start")
    await signs_in(ira, google)
    lost[0] = 1
    await ira.presses(ira.label("button-yes-link"))
    ira.expects("social-choose")
    assert not ira.was_told("social-expired")
    lost[0] = 1
    await ira.presses(ira.label("button-link-existing"))
    ira.expects("social-which-number")
    await ira.says(old.phone)
    code = await ira.code(old.phone, count=2)
    lost[0] = 1
    await ira.says(code)
    ira.expects("social-linked-to-existing")
    assert lost == [0]
    assert await social.linked(google.sub) == old.id
    # The presses were answered before the process died, and once more after it.
    for _ in range(2):
        social.forgive("query")


async def test_a_no_links_nothing(social: SocialStage) -> None:
    ira, google = social.someone(), social.openid.account("no@gmail.com")
    await ira.says("/start")
    await signs_in(ira, google)
    await ira.says("нет")
    assert ira.was_told("social-declined")
    ira.expects("registration-email-prompt")
    assert await social.linked(google.sub) is None
    await ira.registers()


async def test_a_yes_after_something_else_is_asked_again(social: SocialStage, language: str) -> None:
    """It must not be taken for an address, and binds only right after the question."""
    ira, google = social.someone(language), social.openid.account("again@gmail.com")
    await ira.says("/start")
    await signs_in(ira, google)
    await ira.says("?")
    ira.expects("registration-email-no-at")
    await ira.says("да")
    ira.expects("social-question")
    assert await social.linked(google.sub) is None
    await ira.says("да")
    ira.expects("social-choose")
    assert await social.linked(google.sub) == ira.id
    second = social.openid.account("second@gmail.com")
    await ira.says("/settings")
    await signs_in(ira, second)
    await ira.says("/help")
    social.clock.move(minutes=11)
    await ira.presses(ira.label("button-continue"))
    await ira.says("/back")
    await ira.says("нет")
    assert ira.was_told("social-expired")
    ira.expects("registration-email-prompt")


async def test_denied_consent_and_a_closed_window_have_a_way_on(social: SocialStage, language: str) -> None:
    ira, google = social.someone(language), social.openid.account("denied@gmail.com")
    await ira.says("/start")
    async with Surfer(language) as surfer:
        await surfer.open(button_url(ira, "button-google"))
        await surfer.click(ira.label("button-google"))
        await surfer.choose("Cancel")
        assert page_says(ira, surfer, "page-denied")
        await surfer.click(ira.label("page-again"))
        await surfer.click(ira.label("button-google"))
        # The window is closed here. The chat's button is good again.
    async with Surfer(language) as surfer:
        await follows(ira, await arrives(ira, google, surfer))
    ira.expects("social-question")


async def test_the_provider_is_down(social: SocialStage, language: str) -> None:
    ira, google = social.someone(language), social.openid.account("down@gmail.com")
    await ira.says("/start")
    social.openid.faults["token"] = (503, "", {})
    async with Surfer(language) as surfer:
        await surfer.open(button_url(ira, "button-google"))
        await surfer.click(ira.label("button-google"))
        await surfer.choose(google.email)
        assert surfer.status == 503
        assert page_says(ira, surfer, "page-away")
        del social.openid.faults["token"]
        await surfer.click(ira.label("page-again"))
        await follows(ira, await arrives(ira, google, surfer, start=surfer.url))
    ira.expects("social-question")


async def test_links_that_are_too_old(social: SocialStage, language: str) -> None:
    """The ticket, the state and the way back end after ten minutes, each with words and a way on."""
    ira, google = social.someone(language), social.openid.account("old@gmail.com")
    await ira.says("/start")
    url = button_url(ira, "button-google")
    async with Surfer(language) as surfer, Surfer(language) as other:
        payload = await arrives(ira, google, other)
        await surfer.open(url)
        await surfer.click(ira.label("button-google"))
        social.clock.move(minutes=11)
        await surfer.choose(google.email)
        assert page_says(ira, surfer, "page-used")
        await surfer.open(url)
        assert page_says(ira, surfer, "page-expired")
        assert surfer.link(ira.label("page-back")).endswith("?start=go")
        await follows(ira, payload)
        assert ira.was_told("social-expired")
        await ira.says("/start go")
        await follows(ira, await arrives(ira, google, surfer))
    ira.expects("social-question")


async def test_a_yes_that_comes_too_late(social: SocialStage) -> None:
    ira, google = social.someone(), social.openid.account("slow@gmail.com")
    await ira.says("/start")
    await signs_in(ira, google)
    social.clock.move(minutes=11)
    await ira.presses(ira.label("button-yes-link"))
    assert ira.was_told("social-expired")
    assert await social.linked(google.sub) is None


async def test_t16_crafted_and_old_presses_bind_nothing(social: SocialStage) -> None:
    ira, first = social.someone(), social.openid.account("first@gmail.com")
    second = social.openid.account("second@gmail.com")
    await ira.says("/start")
    message = ira.person.chat[-1]
    for data in ("social:yes:", "social:yes:000000000000", "social:no", "social:with:evil", "email:suggested"):
        await ira.person.press_data(data, message)
        await ira.person.settled()
        ira.expects("registration-email-prompt")
    await ira.person.press_data("social:existing", message)
    await ira.person.settled()
    ira.expects("registration-email-prompt")
    await ira.person.press_data("settings:unlink-now:00000000000000000000000000000000", message)
    await ira.person.settled()
    ira.expects("registration-email-prompt")
    await signs_in(ira, first)
    question, _ = ira.person.button(ira.label("button-yes-link"))
    old = question.buttons[0].callback_data
    assert old is not None
    await ira.says("/start go")
    await signs_in(ira, second)
    # The answer to the first question is none to the second.
    await ira.person.press_data(old, question)
    await ira.person.settled()
    assert await social.rows(identities) == []
    await ira.registers()


async def test_t17_a_squatted_address_never_captures_a_google_sign_up(social: SocialStage) -> None:
    """Whoever typed the victim's address, pending or confirmed, loses it to who proves it, and gets nothing."""
    confirmed, pending, victim = social.someone(), social.someone(), social.someone()
    confirmed.email = pending.email = "victim@gmail.com"
    await confirmed.registers()
    google = social.openid.account("victim@gmail.com")
    await victim.says("/start")
    await links(victim, google)
    victim.expects("social-choose")
    assert await social.linked(google.sub) == victim.id
    await victim.presses(victim.label("button-create-new"))
    await accepts_terms(victim)
    await confirms_number(victim)
    victim.expects("registration-done")
    account = await social.account(victim)
    assert (account.email, account.email_verified, account.phone) == ("victim@gmail.com", True, victim.phone)
    squatter = await social.account(confirmed)
    assert (squatter.status, squatter.email) == ("confirmed", None)
    await confirmed.is_told("notice-address-lost")
    # And afterwards nobody can claim it again.
    await pending.says("/start")
    await pending.says("victim@gmail.com")
    pending.expects("registration-email-taken")
    assert await social.rows(identities, identities.c.telegram_id != victim.id) == []


async def test_t17_an_unverified_address_merges_nothing(social: SocialStage) -> None:
    """Somebody's Facebook or unverified Google says the victim's address: the victim's account stays the victim's."""
    victim, attacker = social.someone(), social.someone()
    await victim.registers()
    for who in (social.graph.user("Mallory", victim.email), social.openid.account(victim.email, verified=False)):
        await attacker.says("/start")
        await links(attacker, who)
        attacker.expects("social-choose")
        assert (await social.account(victim)).email == victim.email
    await attacker.presses(attacker.label("button-create-new"))
    await attacker.presses(victim.email)
    attacker.expects("registration-email-taken")
    assert {row.telegram_id for row in await social.rows(identities)} == {attacker.id}


async def test_t18_the_way_back_is_for_the_same_telegram_id_alone(social: SocialStage) -> None:
    """An attacker's link is sent to a victim, who signs in and goes to the chat: nothing is bound to anybody."""
    attacker, victim = social.someone(), social.someone()
    google = social.openid.account("victims@gmail.com")
    await attacker.says("/start")
    await victim.says("/start")
    async with Surfer() as surfer:
        payload = await arrives(attacker, google, surfer)
    await follows(victim, payload)
    assert victim.was_told("social-foreign")
    victim.expects("registration-email-prompt")
    # It is destroyed: the attacker, were they to learn of it, would have nothing either.
    await follows(attacker, payload)
    assert attacker.was_told("social-expired")
    assert await social.rows(identities) == []
    await victim.registers()


async def test_t18_a_state_works_once_and_in_the_browser_that_made_it(social: SocialStage) -> None:
    attacker, victim = social.someone(), social.someone()
    google = social.openid.account("once@gmail.com")
    await attacker.says("/start")
    async with Surfer() as own, Surfer() as others:
        await own.open(button_url(attacker, "button-google"))
        await own.click(attacker.label("button-google"))
        consent = own.url
        # The victim is sent the provider's page itself.
        await others.open(consent)
        await others.choose(google.email)
        assert page_says(victim, others, "page-other-browser")
        # And with that the attacker's state is gone too.
        await own.choose(google.email)
        assert page_says(attacker, own, "page-used")
    async with Surfer() as surfer:
        payload = await arrives(attacker, google, surfer)
        await surfer.open(surfer.url)
        assert page_says(attacker, surfer, "page-used")
    await follows(attacker, payload)
    attacker.expects("social-question")
    assert await social.rows(identities) == []


async def test_t18_two_callbacks_at_once(social: SocialStage) -> None:
    ira, google = social.someone(), social.openid.account("twice@gmail.com")
    await ira.says("/start")
    async with Surfer() as surfer:
        await surfer.open(button_url(ira, "button-google"))
        await surfer.open(surfer.link(ira.label("button-google")), follow=False)
        query = social.openid.authorizations
        await surfer.open(surfer.headers["Location"])
        code, state = social.openid.grant(google, query[-1]), query[-1]["state"]
        callback = f"{social.base_url}/oauth/google/callback?code={code}&state={state}"
        cookies = surfer._session.cookie_jar.filter_cookies(surfer._session._build_url(callback))
        header = {"Cookie": "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())}
        statuses = []

        async def come_back() -> None:
            async with Surfer() as other:
                await other.open(callback, headers=header)
                statuses.append(other.status)

        await asyncio.gather(*(come_back() for _ in range(8)))
    assert sorted(statuses) == [200] + [400] * 7
