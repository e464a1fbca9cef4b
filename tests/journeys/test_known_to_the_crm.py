"""Who exists is the CRM's truth: it is asked at the steps, and nobody is in the way of anybody while it is away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from storage.known_accounts import KnownAccounts
from storage.tables import LookupKind
from tests.fakes.crm import SECRET, Answer, FakeCrm
from tests.journeys.stage import MovableClock, Registrant, Stage, on_stage
from tests.waiting import until

TAKEN = {
    "ru": ("Пользователь с таким номером уже зарегистрирован", "Пользователь с таким адресом уже зарегистрирован"),
    "en": ("A user with this number is already registered", "A user with this address is already registered"),
}
Open = Callable[..., AbstractAsyncContextManager[Stage]]


@pytest.fixture
def opened(database_url: str, redis_url: str, tmp_path: Path, crm: FakeCrm, clock: MovableClock) -> Open:
    """Return what opens the stage, beside a CRM that is asked."""
    given: dict[str, Any] = {"crm_lookup_url": crm.lookup_url, "crm_webhook_secret": SECRET}
    return lambda **other: on_stage(database_url, redis_url, tmp_path, clock, **given | other)


@pytest.fixture
async def stage(opened: Open) -> AsyncIterator[Stage]:
    async with opened() as stage:
        yield stage


def labels(ira: Registrant, *keys: str) -> list[str]:
    return [ira.label(key) for key in keys]


async def test_a_number_the_crm_knows_is_told_with_its_ways_out(stage: Stage, crm: FakeCrm, language: str) -> None:
    ira = stage.someone(language)
    crm.known = {"+79169990001"}
    await ira.reaches_phone()
    await ira.says("+7 916 999-00-01")
    assert ira.last().startswith(TAKEN[language][0])
    buttons = labels(ira, "button-restore-password", "button-support", "button-my-number")
    assert sorted(ira.person.chat[-1].labels) == sorted(buttons)
    assert crm.looked_up == [ira.email, "+79169990001"]
    assert stage.smsc.messages == []
    await ira.says(ira.phone)
    await ira.finishes()


async def test_an_address_the_crm_knows_is_told_with_its_ways_out(stage: Stage, crm: FakeCrm, language: str) -> None:
    ira = stage.someone(language)
    crm.known = {"known@example.org"}
    await ira.says("/start")
    await ira.says("Known@Example.org")
    assert ira.last().startswith(TAKEN[language][1])
    assert ira.person.chat[-1].labels == labels(ira, "button-restore-password", "button-support")
    await ira.says(ira.email)
    ira.expects("registration-terms-prompt")
    assert crm.looked_up == ["known@example.org", ira.email]


async def test_an_address_said_to_be_meant_is_asked_for_too(stage: Stage, crm: FakeCrm) -> None:
    ira = stage.someone()
    crm.known = {"ira@gmail.com", "ira@gmial.com"}
    await ira.says("/start")
    await ira.says("ira@gmial.com")
    assert crm.looked_up == []
    await ira.presses("gmail.com")
    ira.expects("registration-email-taken")
    assert crm.looked_up == ["ira@gmail.com"]


async def test_an_own_contact_is_asked_for_and_never_counts(stage: Stage, crm: FakeCrm) -> None:
    ira = stage.someone()
    crm.known = {ira.phone}
    await ira.reaches_phone()
    for _ in range(5):
        await ira.shares_contact()
        ira.expects("registration-phone-taken")
    assert crm.looked_up == [ira.email, *[ira.phone] * 5]
    crm.known = set()
    await ira.shares_contact()
    await ira.finishes()


async def test_the_crm_is_asked_before_any_code_leaves(stage: Stage, crm: FakeCrm) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    crm.known = {ira.phone}
    crm.looking_up.clear()
    await ira.person.send(ira.phone)
    await until(lambda: crm.looked_up[-1:] == [ira.phone])
    ira.expects("registration-phone-prompt")
    crm.looking_up.set()
    await ira.person.settled()
    ira.expects("registration-phone-taken")
    assert stage.smsc.messages == []


async def test_t15_after_three_numbers_the_crm_is_asked_no_more(stage: Stage, crm: FakeCrm) -> None:
    prober, numbers = stage.someone(), [f"+7916777{n}001" for n in range(4)]
    crm.known = set(numbers)
    await prober.reaches_phone()
    for number in numbers[:3]:
        await prober.says(number)
        prober.expects("registration-phone-taken")
    await prober.says(numbers[3])
    prober.expects("registration-phone-limit")
    # What was tried before is free, and says nothing new.
    await prober.says(numbers[0])
    prober.expects("registration-phone-taken")
    assert crm.looked_up[1:] == [*numbers[:3], numbers[0]]
    # Own contacts do not count: the honest way stays open.
    await prober.shares_contact()
    await prober.finishes()


async def test_t15_after_five_addresses_the_crm_is_asked_no_more(stage: Stage, crm: FakeCrm) -> None:
    prober, guesses = stage.someone(), [f"guess{n}@example.org" for n in range(6)]
    crm.known = {guesses[0], guesses[5]}
    await prober.says("/start")
    for guess in guesses[:5]:
        await prober.says(guess)
        await prober.says("/back")
    await prober.says(guesses[5])
    prober.expects("registration-email-limit")
    assert crm.looked_up == guesses[:5]
    await prober.says(guesses[1])
    prober.expects("registration-terms-prompt")


async def test_t15_with_after_proof_nobody_is_asked(opened: Open, crm: FakeCrm) -> None:
    crm.always = Answer(409)
    async with opened(existing_account_notice="after_proof", crm_webhook_url=crm.url) as stage:
        ira = stage.someone()
        crm.known = {ira.phone, ira.email}
        await ira.registers()
        assert crm.looked_up == []
        # The CRM says it itself, once the number is proven.
        await ira.is_told("notice-conflict")


@pytest.mark.parametrize("answer", [Answer(503), Answer(200, body=b"<html>"), Answer(drop=True), None])
async def test_f41_while_the_crm_is_away_everybody_registers(opened: Open, crm: FakeCrm, answer: Answer | None) -> None:
    """None: no answer at all."""
    async with opened(crm_lookup_timeout="1s") as stage:
        ira = stage.someone()
        crm.known = {ira.phone, ira.email}
        if answer is None:
            crm.looking_up.clear()
        else:
            crm.lookup_answers.append(answer)
        await ira.registers()
        # Whoever comes within seconds after it does not wait either.
        assert crm.looked_up == [ira.email]


async def test_a_number_claimed_from_the_crm_is_proven_and_the_crm_has_the_last_word(
    opened: Open, crm: FakeCrm
) -> None:
    crm.always = Answer(409)
    async with opened(crm_webhook_url=crm.url, support_chat_id=-1001) as stage:
        stage.api.group(-1001, "Support")
        ira = stage.someone()
        crm.known = {ira.phone}
        await ira.reaches_phone()
        await ira.says(ira.phone)
        await ira.presses(ira.label("button-my-number"))
        ira.expects("registration-code-prompt")
        await ira.finishes()
        await ira.is_told("notice-conflict")
        notice = next(m for m in reversed(ira.person.chat) if ira.said(m.text, "notice-conflict"))
        assert notice.text.startswith(TAKEN["ru"][0])
        assert notice.labels == labels(ira, "button-restore-password", "button-support")
        await until(lambda: any(str(call.parameters.get("chat_id")) == "-1001" for call in stage.api.calls))


async def test_who_is_registered_or_gives_the_same_again_is_not_asked_for(stage: Stage, crm: FakeCrm) -> None:
    ira = stage.someone()
    await ira.registers()
    asked = list(crm.looked_up)
    assert asked == [ira.email, ira.phone]
    crm.known = {ira.email, ira.phone}
    await ira.says(ira.email)
    await ira.says(ira.phone)
    await ira.shares_contact()
    ira.expects("registration-done")
    assert crm.looked_up == asked


async def test_what_was_imported_is_registered_already_and_whoever_leaves_comes_back(
    database_url: str, redis_url: str, tmp_path: Path, language: str
) -> None:
    """Nobody is asked: the CRM gave its list."""
    async with on_stage(database_url, redis_url, tmp_path) as stage:
        ira, oleg = stage.someone(language), stage.someone()
        known = KnownAccounts(stage.app.stores.database, stage.app.stores.keys)
        theirs = [(LookupKind.NUMBER, "+79169990002"), (LookupKind.ADDRESS, "known@example.org")]
        await known.add(theirs, stage.clock.now())
        await ira.says("/start")
        await ira.says("KNOWN@example.org")
        assert ira.last().startswith(TAKEN[language][1])
        await ira.says(ira.email)
        await ira.says("да" if language == "ru" else "yes")
        await ira.presses(ira.label("button-register"))
        await ira.says("8 916 999-00-02")
        assert ira.last().startswith(TAKEN[language][0])
        buttons = labels(ira, "button-restore-password", "button-support", "button-my-number")
        assert ira.person.chat[-1].labels == buttons
        # Proven or not, a number that the CRM alone knows is not moved.
        await ira.presses(ira.label("button-my-number"))
        await ira.says(await ira.code("+79169990002"))
        assert ira.was_told("registration-phone-taken")
        await ira.says(ira.phone)
        await ira.finishes()
        # The CRM's next list has them, too; that is no reason not to come back.
        await oleg.registers()
        await known.add([(LookupKind.NUMBER, oleg.phone), (LookupKind.ADDRESS, oleg.email)], stage.clock.now())
        await oleg.says("/start")
        oleg.expects("registration-done")
        await oleg.says("/delete")
        await oleg.presses(oleg.label("button-delete"))
        await oleg.reaches_phone()
        await oleg.shares_contact()
        await oleg.finishes(count=2)
        assert await known.count() == 2
