"""Signing up with an identity that belongs, or is to belong, to an account that exists already."""

from __future__ import annotations

import asyncio

from storage.tables import identities
from tests.journeys.social_stage import (
    SocialStage,
    accepts_terms,
    button_url,
    confirms_number,
    links,
    signs_in,
)


async def test_an_identity_of_somebody_elses_confirmed_account_stays_there(social: SocialStage) -> None:
    """The same human in another Telegram account, or not: nothing of the account shows, and no link signs in."""
    first, second = social.someone(), social.someone()
    google = social.openid.account("shared@gmail.com")
    await first.says("/start")
    await links(first, google)
    await first.presses(first.label("button-create-new"))
    await accepts_terms(first)
    await confirms_number(first)
    await second.says("/start")
    await signs_in(second, google)
    second.expects("social-of-another", provider="Google")
    assert button_url(second, "button-start-work") == social.settings.start_url
    assert await social.linked(google.sub) == first.id
    assert not any(word in second.last() for word in ("shared", first.phone))
    await second.registers()


async def test_link_to_an_existing_account_by_its_number(social: SocialStage, language: str) -> None:
    """The identity joins the account that holds the proven number; nothing of it shows, its person is told."""
    old, new = social.someone(language), social.someone(language)
    google = social.openid.account("owner@gmail.com")
    await old.registers()
    before = await social.account(old)
    await new.says("/start")
    await links(new, google)
    await new.presses(new.label("button-link-existing"))
    new.expects("social-which-number")
    await confirms_number(new, old.phone, count=2)
    new.expects("social-linked-to-existing")
    assert button_url(new, "button-start-work") == social.settings.start_url
    assert await social.linked(google.sub) == old.id
    assert await social.account(new) is None
    assert await social.account(old) == before, "the existing account keeps its person, address and number"
    assert not any(old.email in text for text in new.heard())
    await old.is_told("notice-identity-linked")
    # Its person may undo it.
    await old.says("/settings")
    old.expects("settings-linked")
    await old.presses(old.label("button-unlink", what="Google (ow***@gmail.com)"))
    old.expects("settings-unlink")
    await old.presses(old.label("button-unlink-now"))
    old.expects("settings-nothing-linked")
    assert await social.linked(google.sub) is None


async def test_no_existing_account_has_the_number(social: SocialStage, language: str) -> None:
    """It says so and offers a new one, for which the number need not be proven again."""
    ira, google = social.someone(language), social.openid.account("nobody@gmail.com")
    await ira.says("/start")
    await links(ira, google)
    await ira.presses(ira.label("button-link-existing"))
    await confirms_number(ira)
    ira.expects("social-none-found")
    await ira.presses(ira.label("button-create-new"))
    ira.expects("registration-terms-prompt")
    await ira.presses(ira.label("terms-consent"))
    await ira.presses(ira.label("button-register"))
    ira.expects("registration-done")
    account = await social.account(ira)
    assert (account.status, account.email, account.email_verified) == ("confirmed", "nobody@gmail.com", True)
    assert len(social.smsc.inbox(ira.phone)) == 1


async def test_linking_to_an_account_that_was_never_confirmed_confirms_it(social: SocialStage) -> None:
    """Begun in this chat, with an address and the terms: one proof does both."""
    ira, google = social.someone(), social.openid.account("late@gmail.com")
    await ira.reaches_phone()
    await ira.says("/settings")
    await links(ira, google)
    await ira.presses(ira.label("button-link-existing"))
    await confirms_number(ira)
    ira.expects("registration-done")
    assert await social.linked(google.sub) == ira.id
    # The verified address is the better one.
    assert (await social.account(ira)).email == "late@gmail.com"


async def test_a_way_out_of_linking(social: SocialStage) -> None:
    ira, google = social.someone("en"), social.openid.account("undecided@gmail.com")
    await ira.says("/start")
    await links(ira, google)
    await ira.says("2")
    ira.expects("social-which-number")
    await ira.taps(ira.label("button-create-new"))
    await accepts_terms(ira)
    await ira.shares_contact()
    ira.expects("registration-code-prompt")
    await ira.finishes()


async def test_a_number_confirmed_long_ago_may_be_a_strangers_by_now(social: SocialStage) -> None:
    """Nothing is linked to that account; the new one takes the number over, as any prover of it does."""
    old, new = social.someone(), social.someone()
    google = social.openid.account("stranger@gmail.com")
    await old.registers()
    social.clock.move(days=91)
    await new.says("/start")
    await links(new, google)
    await new.presses(new.label("button-link-existing"))
    await confirms_number(new, old.phone, count=2)
    new.expects("social-none-found")
    assert await social.linked(google.sub) == new.id
    await new.presses(new.label("button-create-new"))
    await new.presses(new.label("terms-consent"))
    await new.presses(new.label("button-register"))
    new.expects("registration-done")
    assert (await social.account(old)).phone is None


async def test_a_verified_address_of_another_account_is_said(social: SocialStage) -> None:
    """Google's address is checked for an existing account; who has one is led to it."""
    first, second = social.someone(), social.someone()
    google, other = social.openid.account("both@gmail.com"), social.openid.account("both@gmail.com")
    await first.says("/start")
    await links(first, google)
    await first.presses(first.label("button-create-new"))
    await accepts_terms(first)
    await confirms_number(first)
    social.openid.accounts.remove(google)
    await second.says("/start")
    await links(second, other)
    second.expects("registration-email-taken")
    assert await social.linked(other.sub) == second.id
    assert (await social.account(first)).email == "both@gmail.com"
    await second.says("another.address@example.org")
    await accepts_terms(second)
    await confirms_number(second)
    second.expects("registration-done")


async def test_one_identity_and_a_dozen_chats(social: SocialStage) -> None:
    """Twelve people prove the same identity at once: it ends with one of them, and nobody's chat breaks."""
    people = [social.someone() for _ in range(12)]
    google = social.openid.account("race@gmail.com")
    for person in people:
        await person.says("/start")
        await signs_in(person, google)
    await asyncio.gather(*(person.presses(person.label("button-yes-link")) for person in people))
    assert await social.linked(google.sub) in {person.id for person in people}
    assert len(await social.rows(identities)) == 1


async def test_an_unfinished_registration_gives_its_identity_up(social: SocialStage) -> None:
    """The same human begins again in another Telegram account: the identity goes with the newer proof."""
    first, second = social.someone(), social.someone()
    google = social.openid.account("again@gmail.com")
    await first.says("/start")
    await links(first, google)
    await first.presses(first.label("button-create-new"))
    await accepts_terms(first)
    await second.says("/start")
    await links(second, google)
    second.expects("social-choose")
    assert await social.linked(google.sub) == second.id
    await first.is_told("notice-identity-moved")
    await second.presses(second.label("button-create-new"))
    await accepts_terms(second)
    await confirms_number(second)
    second.expects("registration-done")
    assert (await social.account(second)).email == "again@gmail.com"
