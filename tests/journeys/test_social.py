"""Signing up with Google or Facebook: what each brings, what is offered, what goes with the account."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.tables import identities
from tests.fakes.surfer import Surfer
from tests.journeys.social_stage import (
    SocialStage,
    accepts_terms,
    button_url,
    confirms_number,
    links,
    on_social_stage,
    signs_in,
)
from tests.journeys.stage import Registrant, on_stage


async def test_google_create_new(social: SocialStage, language: str) -> None:
    """The e-mail step is skipped; refused terms say so and go on; the address is verified."""
    ira, google = social.someone(language), social.openid.account("Ira.New@Gmail.com")
    await ira.says("/start")
    ira.expects("registration-email-prompt")
    await signs_in(ira, google)
    ira.expects("social-question", provider="Google", who="ir***@gmail.com")
    assert await social.linked(google.sub) is None, "nothing is bound before the yes"
    await ira.presses(ira.label("button-yes-link"))
    ira.expects("social-choose")
    await ira.presses(ira.label("button-create-new"))
    ira.expects("registration-terms-prompt")
    await ira.presses(ira.label("button-register"))
    ira.expects("registration-terms-missing")
    await ira.presses(ira.label("button-continue"))
    await accepts_terms(ira)
    await confirms_number(ira)
    ira.expects("registration-done")
    account = await social.account(ira)
    assert (account.status, account.email, account.email_verified) == ("confirmed", "ira.new@gmail.com", True)
    assert await social.linked(google.sub) == ira.id
    assert not ira.was_told("social-none-found")


async def test_the_same_by_words_alone(social: SocialStage, language: str) -> None:
    """Every button has a text equivalent, the link of the provider's button too."""
    ira, google = social.someone(language), social.openid.account("words@gmail.com")
    await ira.says("/start")
    await ira.says(ira.label("button-google"))
    ira.expects("menu-link")
    assert ira.last().startswith(f"{social.base_url}/oauth/google/start?ticket=")
    await signs_in(ira, google, start=ira.last())
    await ira.says("да" if language == "ru" else "yes")
    ira.expects("social-choose")
    await ira.says("1")
    ira.expects("registration-terms-prompt")
    assert await social.linked(google.sub) == ira.id


async def test_facebooks_address_is_only_offered(social: SocialStage, language: str) -> None:
    ira, facebook = social.someone(language), social.graph.user("Ира <b>", "ira.fb@example.org")
    await ira.says("/start")
    await signs_in(ira, facebook)
    ira.expects("social-question", provider="Facebook", who="ir***@example.org")
    await ira.presses(ira.label("button-yes-link"))
    await ira.presses(ira.label("button-create-new"))
    ira.expects("registration-email-prompt")
    assert "ira.fb@example.org" in ira.last()
    await ira.presses("ira.fb@example.org")
    await accepts_terms(ira)
    await confirms_number(ira)
    ira.expects("registration-done")
    account = await social.account(ira)
    assert (account.email, account.email_verified) == ("ira.fb@example.org", False)
    # Its address changes there: nothing changes here, and the identity is still the same one.
    facebook.email = "another@example.org"
    await ira.says("/settings")
    await signs_in(ira, facebook)
    assert ira.was_told("social-already", provider="Facebook")
    ira.expects("registration-done")
    assert (await social.account(ira)).email == "ira.fb@example.org"


async def test_facebook_without_an_address(social: SocialStage) -> None:
    """The question names the person, whatever they call themselves; the address is asked as usual."""
    ira, facebook = social.someone("en"), social.graph.user("Ann & <i>Co", None)
    await ira.says("/start")
    await signs_in(ira, facebook)
    ira.expects("social-question", provider="Facebook")
    assert ira.last().endswith("Ann & <i>Co?")
    await ira.says("yes")
    await ira.presses(ira.label("button-create-new"))
    ira.expects("registration-email-prompt")
    await ira.says(ira.email)
    await accepts_terms(ira)
    await confirms_number(ira)
    ira.expects("registration-done")


async def test_an_identity_of_a_confirmed_account_says_so(social: SocialStage) -> None:
    ira, google = social.someone(), social.openid.account("known@gmail.com")
    await ira.says("/start")
    await links(ira, google)
    await ira.presses(ira.label("button-create-new"))
    await accepts_terms(ira)
    await confirms_number(ira)
    google.email = "changed@gmail.com"
    await ira.says("/settings")
    await signs_in(ira, google)
    assert ira.was_told("social-already", provider="Google")
    ira.expects("registration-done")
    assert "token=" in button_url(ira, "button-start-work")
    assert (await social.account(ira)).email == "known@gmail.com"


async def test_google_brings_an_unverified_address(social: SocialStage) -> None:
    """Then it is worth what a typed one is: offered, never believed."""
    ira, google = social.someone(), social.openid.account("unverified@gmail.com", verified=False)
    await ira.says("/start")
    await links(ira, google)
    await ira.presses(ira.label("button-create-new"))
    ira.expects("registration-email-prompt")
    await ira.presses("unverified@gmail.com")
    await accepts_terms(ira)
    assert (await social.account(ira)).email_verified is False


@pytest.mark.parametrize("address", ["no address", "ira@mailinator.com", "a@b"])
async def test_an_address_that_is_none_is_asked_again(social: SocialStage, address: str) -> None:
    ira, google = social.someone(), social.openid.account(address)
    await ira.says("/start")
    await links(ira, google)
    await ira.presses(ira.label("button-create-new"))
    ira.expects("registration-email-prompt")
    assert await social.linked(google.sub) == ira.id
    await ira.says(ira.email)
    await accepts_terms(ira)
    assert (await social.account(ira)).email_verified is False


async def test_the_conversation_is_lost_before_the_terms(social: SocialStage) -> None:
    """What Google vouched for is in SQL: no address is asked again."""
    ira, google = social.someone(), social.openid.account("lost@gmail.com")
    await ira.says("/start")
    await links(ira, google)
    await social.app.stores.redis.flushall()
    await ira.says("hello")
    await accepts_terms(ira)
    account = await social.account(ira)
    assert (account.email, account.email_verified) == ("lost@gmail.com", True)


async def test_deleting_and_expiring_take_identities_along(social: SocialStage) -> None:
    ira, anna, eva = social.someone(), social.someone(), social.someone()
    for person in (ira, anna, eva):
        await person.says("/start")
        await links(person, social.openid.account(f"gone{person.id}@gmail.com"))
    await ira.says("/delete")
    await ira.presses(ira.label("button-delete"))
    await anna.presses(anna.label("button-create-new"))
    await accepts_terms(anna)
    assert {row.telegram_id for row in await social.rows(identities)} == {anna.id, eva.id}
    social.clock.move(hours=25)
    await social.app.jobs.cleanup()
    assert await social.rows(identities) == []
    await ira.registers()


async def test_settings_show_link_and_unlink(social: SocialStage, language: str) -> None:
    ira = social.someone(language)
    await ira.registers()
    await ira.says("/settings")
    ira.expects("settings-nothing-linked")
    google = social.openid.account("settings@gmail.com")
    await links(ira, google)
    assert ira.was_told("social-bound")
    ira.expects("registration-done")
    await ira.says("/settings")
    ira.expects("settings-linked", names="Google (se***@gmail.com)")
    await ira.presses(ira.label("button-unlink", what="Google (se***@gmail.com)"))
    question, asked = ira.person.button(ira.label("button-unlink-now"))
    await ira.presses(ira.label("button-keep-linked"))
    ira.expects("settings-linked")
    # An old button asks nothing any more, so it answers nothing either.
    assert asked.callback_data is not None
    await ira.person.press_data(asked.callback_data, question)
    await ira.person.settled()
    assert await social.linked(google.sub) == ira.id
    await ira.says("/settings")
    await ira.presses(ira.label("button-unlink", what="Google (se***@gmail.com)"))
    await ira.says(ira.label("button-unlink-now"))
    ira.expects("settings-nothing-linked")
    assert await social.linked(google.sub) is None
    await ira.presses(ira.label("button-language"))
    ira.expects("menu-language")


def labels_of(ira: Registrant) -> list[str]:
    return [button.text for button in ira.person.chat[-1].buttons]


async def test_only_configured_providers_have_a_button(social: SocialStage) -> None:
    ira = social.someone()
    await ira.says("/start")
    assert labels_of(ira) == [ira.label("button-google"), ira.label("button-facebook")]


async def test_one_provider_alone(sqlite_url: str, redis_url: str, tmp_path: Path) -> None:
    nothing = {"facebook_app_id": None, "facebook_app_secret": None}
    async with on_social_stage(sqlite_url, redis_url, tmp_path, **nothing) as stage:
        ira = stage.someone()
        await ira.says("/start")
        assert labels_of(ira) == [ira.label("button-google")]
        async with Surfer() as surfer:
            for path in ("start", "deletion/x"):
                await surfer.open(f"{stage.base_url}/oauth/facebook/{path}")
                assert surfer.status == 404


async def test_no_provider_no_button_and_no_page(sqlite_url: str, redis_url: str, tmp_path: Path) -> None:
    async with on_stage(sqlite_url, redis_url, tmp_path) as stage:
        ira = stage.someone()
        await ira.says("/start")
        assert labels_of(ira) == []
        await ira.says("/settings")
        assert labels_of(ira) == [ira.label("button-language"), ira.label("button-continue")]
        async with Surfer() as surfer:
            await surfer.open(f"http://127.0.0.1:{stage.app.port}/oauth/google/start")
            assert surfer.status == 404
        await ira.registers()
