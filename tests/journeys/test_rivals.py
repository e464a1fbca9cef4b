"""Whose number, whose address (product text, section 7): rivals, claims, notices."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import func, select

from handlers.registration import numbers
from storage.tables import accounts
from tests.journeys.stage import Registrant, Stage, on_stage
from tests.sql import connected


async def confirmed(stage: Stage) -> int:
    async with connected(stage.app.stores.database) as connection:
        query = select(func.count()).select_from(accounts).where(accounts.c.status == "confirmed")
        return int((await connection.execute(query)).scalar_one())


async def test_a_registered_address_is_named_at_the_step(stage: Stage, language: str) -> None:
    ira, oleg = stage.someone(), stage.someone(language)
    await ira.registers()
    await oleg.says("/start")
    await oleg.says(ira.email)
    oleg.expects("registration-email-taken")
    labels = [(button.text, button.url) for button in oleg.person.chat[-1].buttons]
    assert (oleg.label("button-restore-password"), stage.settings.restore_password_url) in labels
    assert (oleg.label("button-support"), stage.settings.support_url) in labels
    await oleg.says(oleg.email)
    oleg.expects("registration-terms-prompt")


async def test_a_registered_number_is_named_and_can_be_claimed(stage: Stage, language: str) -> None:
    ira, oleg = stage.someone(), stage.someone(language)
    await ira.registers()
    await oleg.reaches_phone()
    await oleg.says(ira.phone)
    oleg.expects("registration-phone-taken")
    await oleg.presses(oleg.label("button-my-number"))
    oleg.expects("registration-code-prompt")
    await oleg.says(await oleg.code(ira.phone, count=2))
    assert oleg.was_told("registration-phone-taken")
    oleg.expects("registration-phone-prompt")
    assert oleg.label("button-my-number") not in oleg.person.chat[-2].labels
    await oleg.says(oleg.phone)
    await oleg.finishes()
    await ira.says("/start")
    ira.expects("registration-done")


async def test_a_registered_number_shared_as_a_contact_can_be_claimed_too(stage: Stage) -> None:
    ira, oleg = stage.someone(), stage.someone(phone="+79165550001")
    ira.phone = oleg.phone
    await ira.registers()
    stage.clock.move(days=91)
    await oleg.reaches_phone()
    await oleg.taps(oleg.label("button-share-contact"))
    oleg.expects("registration-phone-taken")
    await oleg.says(oleg.label("button-my-number"))
    oleg.expects("registration-code-prompt")
    await oleg.finishes(count=2)


async def test_t28_a_number_confirmed_long_ago_moves_to_who_proves_it(stage: Stage) -> None:
    ira, oleg = stage.someone(), stage.someone()
    await ira.registers()
    stage.clock.move(days=91)
    await oleg.reaches_phone()
    await oleg.says(ira.phone)
    await oleg.presses(oleg.label("button-my-number"))
    await oleg.says(await oleg.code(ira.phone, count=2))
    oleg.expects("registration-done")
    assert not any(ira.email in text for text in oleg.heard())
    await ira.is_told("notice-number-moved")
    await ira.says("/start")
    ira.expects("registration-phone-prompt")
    await ira.says("+79035557788")
    await ira.says(await ira.code("+79035557788"))
    ira.expects("registration-done")


async def test_t15_after_proof_says_nothing_before_it(database_url: str, redis_url: str, tmp_path: Path) -> None:
    async with on_stage(database_url, redis_url, tmp_path, existing_account_notice="after_proof") as stage:
        ira, oleg, free = stage.someone(), stage.someone(), stage.someone()
        await ira.registers()
        oleg.email = ira.email
        for person in (oleg, free):
            await person.reaches_phone()
        await oleg.says(ira.phone)
        await free.says(free.phone)
        for person in (oleg, free):
            await person.says("/back")
            await person.says("продолжить")
        assert shown(oleg, ira.phone) == shown(free, free.phone)
        await oleg.says(await oleg.code(ira.phone, count=2))
        assert oleg.was_told("registration-phone-taken")
        await oleg.says(oleg.phone)
        await oleg.says(await oleg.code())
        assert oleg.was_told("registration-email-taken")
        oleg.expects("registration-email-prompt")
        await oleg.says("oleg@example.org")
        oleg.expects("registration-done")


def shown(person: Registrant, number: str) -> list[tuple[str, list[str]]]:
    """Every message with its buttons, but for what the person gave."""
    return [
        (message.text.replace(person.email, "E").replace(numbers.pretty(number), "N"), message.labels)
        for message in person.person.answers
    ]


async def race(stage: Stage, people: list[Registrant], phones: list[str]) -> None:
    """Send the right codes of all at once."""
    codes = [await person.code(phone, count=phones[: index + 1].count(phone))
             for index, (person, phone) in enumerate(zip(people, phones, strict=True))]  # fmt: skip
    await asyncio.gather(*(person.person.send(code) for person, code in zip(people, codes, strict=True)))
    await asyncio.gather(*(person.person.settled() for person in people))


async def test_two_race_with_one_address_and_the_other_finishes_without_a_second_sms(stage: Stage) -> None:
    people = [stage.someone(), stage.someone("en")]
    people[1].email = people[0].email
    for person in people:
        await person.reaches_code()
    await race(stage, people, [person.phone for person in people])
    assert await confirmed(stage) == 1
    (loser,) = [p for p in people if not p.said(p.last(), "registration-done")]
    await loser.says("/start")
    assert loser.was_told("registration-email-prompt")
    await stage.api.until(
        lambda: loser.was_told("notice-address-lost") or loser.was_told("registration-email-taken"), 10
    )
    await loser.says("loser@example.org")
    loser_needs_code = not loser.said(loser.last(), "registration-done")
    assert not loser_needs_code, "a proven number needs no second SMS"
    assert len(stage.smsc.messages) == 2


async def test_two_race_with_one_number_and_the_other_finishes_with_another(stage: Stage) -> None:
    people = [stage.someone(), stage.someone("en")]
    shared = people[0].phone
    codes: list[str] = []
    for count, person in enumerate(people, start=1):
        await person.reaches_phone()
        await person.says(shared)
        codes.append(await person.code(shared, count))
    await asyncio.gather(*(person.person.send(code) for person, code in zip(people, codes, strict=True)))
    await asyncio.gather(*(person.person.settled() for person in people))
    assert await confirmed(stage) == 1
    (loser,) = [p for p in people if not p.said(p.last(), "registration-done")]
    await loser.says("/start")
    assert loser.was_told("registration-phone-prompt")
    await stage.api.until(
        lambda: loser.was_told("notice-number-lost") or loser.was_told("registration-phone-taken"), 10
    )
    await loser.says("+79037654321")
    await loser.says(await loser.code("+79037654321"))
    loser.expects("registration-done")
    assert await confirmed(stage) == 2


@pytest.mark.parametrize("step", ["terms", "phone", "code"])
async def test_a_rival_who_waits_loses_the_address_is_told_and_goes_on(stage: Stage, step: str) -> None:
    ira, rival = stage.someone(), stage.someone()
    rival.email = ira.email
    await {"terms": rival.reaches_terms, "phone": rival.reaches_phone, "code": rival.reaches_code}[step]()
    await ira.registers()
    if step == "terms":
        await rival.presses(rival.label("terms-consent"))
        await rival.presses(rival.label("button-register"))
    else:
        await rival.is_told("notice-address-lost")
        assert not rival.has_keyboard()
    await rival.says("rival@example.org")
    if step == "code":
        rival.expects("registration-code-prompt")
    elif step == "phone":
        rival.expects("registration-phone-prompt")
        await rival.says(rival.phone)
    else:
        rival.expects("registration-phone-invalid")
        await rival.says(rival.phone)
        await rival.says(await rival.code())
        assert rival.was_told("registration-email-taken")
        await rival.says("rival@example.org")
        rival.expects("registration-done")
        return
    await rival.finishes()
