"""The e-mail step: what is taken, what is said about the rest."""

from __future__ import annotations

import pytest

from tests.journeys.stage import Stage


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("ira.example.org", "registration-email-no-at"),
        ("ira@localhost", "registration-email-domain"),
        ("ira@mailinator.com", "registration-email-disposable"),
        ("ira ira@example.org", "registration-email-impossible"),
    ],
)
async def test_a_bad_address_is_named_and_the_person_stays_and_finishes(
    stage: Stage, language: str, typed: str, key: str
) -> None:
    ira = stage.someone(language)
    await ira.says("/start")
    await ira.says(typed)
    ira.expects(key)
    await ira.says(ira.email)
    ira.expects("registration-terms-prompt")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("press hint", "gmail.com"),
        ("press keep", "gmial.com"),
        ("gmail.com", "gmail.com"),
        ("Оставить как есть", "gmial.com"),
        ("leave as typed", "gmial.com"),
        ("да", "gmail.com"),
        ("no", "gmial.com"),
        ("1", "gmail.com"),
        ("2", "gmial.com"),
    ],
)
async def test_a_slip_is_said_back_and_either_answer_is_taken(stage: Stage, answer: str, expected: str) -> None:
    ira = stage.someone()
    await ira.says("/start")
    await ira.says("ira@gmial.com")
    ira.expects("registration-email-hint")
    assert "gmail.com" in ira.person.chat[-1].labels
    if answer.startswith("press"):
        await ira.presses("gmail.com" if answer == "press hint" else ira.label("button-as-typed"))
    else:
        await ira.says(answer)
    ira.expects("registration-terms-prompt")
    await ira.says("/back")
    assert f"ira@{expected}" in ira.last()


async def test_another_address_instead_of_an_answer_to_the_hint(stage: Stage) -> None:
    ira = stage.someone()
    await ira.says("/start")
    await ira.says("ira@gmial.com")
    await ira.says("ira@example.org")
    ira.expects("registration-terms-prompt")


async def test_an_international_domain_is_taken(stage: Stage) -> None:
    ira = stage.someone()
    await ira.says("/start")
    await ira.says("Ира@Почта.РФ")
    ira.expects("registration-email-impossible")
    await ira.says("ira@Почта.РФ")
    ira.expects("registration-terms-prompt")
    await ira.says("/back")
    assert "ira@почта.рф" in ira.last()


async def test_back_keeps_the_address_until_another_is_accepted(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_terms()
    await ira.presses(ira.label("button-back"))
    ira.expects("registration-email-given", email=ira.email)
    await ira.says("nonsense")
    ira.expects("registration-email-no-at")
    await ira.says("/start")
    ira.expects("registration-terms-prompt")
    await ira.says("/back")
    await ira.presses(ira.label("button-continue"))
    ira.expects("registration-terms-prompt")


async def test_t15_after_five_addresses_nothing_is_looked_up(stage: Stage) -> None:
    holder = stage.someone()
    await holder.registers()
    prober = stage.someone()
    await prober.says("/start")
    await prober.says(holder.email)
    prober.expects("registration-email-taken")
    for number in range(4):
        await prober.says(f"guess{number}@example.org")
        await prober.says("/back")
    await prober.says(f"x{holder.email}")
    prober.expects("registration-email-limit")
    await prober.says("guess0@example.org")
    prober.expects("registration-terms-prompt")
    stage.clock.move(hours=25)
    await prober.says("/back")
    await prober.says("another@example.org")
    prober.expects("registration-terms-prompt")
