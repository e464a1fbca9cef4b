"""The phone step: contact, country, number, and what is said about the rest."""

from __future__ import annotations

import itertools

import phonenumbers
import pytest

from tests.journeys.stage import Registrant, Stage


@pytest.mark.parametrize("typed", ["12345", "+7 916 12", "my number", "8 916 123 45 67 89 00"])
async def test_a_bad_number_is_refused_with_an_example(stage: Stage, language: str, typed: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_phone()
    await ira.says(typed)
    ira.expects("registration-phone-invalid")
    assert ira.has_keyboard()
    await ira.says(ira.phone)
    await ira.finishes()


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("+49 1512 3456789", "registration-phone-country"),
        ("+888 0123 4567", "registration-phone-anonymous"),
        ("8 809 505 12 34", "registration-phone-type"),
    ],
)
async def test_t02_t11_a_number_that_gets_no_sms_is_refused_with_the_reason(
    stage: Stage, language: str, typed: str, key: str
) -> None:
    ira = stage.someone(language)
    await ira.reaches_phone()
    await ira.says(typed)
    ira.expects(key)
    assert stage.smsc.requests == 0
    await ira.says(ira.phone)
    await ira.finishes()


async def test_t10_only_the_own_contact_counts(stage: Stage) -> None:
    ira, other = stage.someone(), stage.someone()
    await ira.reaches_phone()
    await ira.shares_contact(of=other.person)
    ira.expects("registration-phone-foreign-contact")
    await ira.shares_contact(forwarded=True)
    ira.expects("registration-phone-foreign-contact")
    await ira.shares_contact(of={"phone_number": ira.phone, "first_name": "Ира"})
    ira.expects("registration-phone-foreign-contact")
    assert stage.smsc.requests == 0
    await ira.taps(ira.label("button-share-contact"))
    await ira.finishes()


async def test_the_label_of_the_contact_button_explains_it(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_phone()
    await ira.says("поделиться контактом" if language == "ru" else "share my contact")
    ira.expects("registration-phone-how-to-share")


async def test_the_country_is_chosen_by_button_page_name_and_code(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_phone()
    await ira.taps(ira.label("button-country"))
    ira.expects("registration-country-prompt")
    assert any("+7" in label and ("Россия" in label or "Russia" in label) for label in ira.person.chat[-1].labels)
    await ira.presses(ira.label("button-page-after"))
    assert ira.person.chat[-1].edited
    await ira.says("+7")
    labels = " ".join(ira.person.chat[-1].labels)
    assert ("Россия" in labels and "Казахстан" in labels) or ("Russia" in labels and "Kazakhstan" in labels)
    await ira.says("каз")
    (label,) = ira.person.chat[-1].labels
    await ira.presses(label)
    ira.expects("registration-country-chosen", flag="🇰🇿")
    await ira.says("8 701 234 56 78")
    assert "+7 701 234 5678" in ira.last()
    ira.expects("registration-code-prompt")


@pytest.mark.parametrize("typed", ["Belarus", "беларусь", "🇧🇾 Беларусь +375"])
async def test_a_countrys_whole_name_chooses_it(stage: Stage, typed: str) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    await ira.says(ira.label("button-country"))
    await ira.says(typed)
    ira.expects("registration-country-chosen", flag="🇧🇾")


async def test_an_unknown_country_and_a_whole_number_inside_the_picker(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    await ira.taps(ira.label("button-country"))
    await ira.says("Атлантида")
    ira.expects("registration-country-none", text="Атлантида")
    await ira.says("да")
    ira.expects("registration-country-none", text="да")
    await ira.says("+375 29 491 19 11")
    ira.expects("registration-code-prompt")
    assert not ira.has_keyboard()


async def test_t16_a_country_that_is_not_allowed_cannot_be_crafted(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    await ira.taps(ira.label("button-country"))
    for data in ("country:choose:US", "country:choose:", "country:page:99", "country:page:-1", "country:page:x"):
        await ira.person.press_data(data, ira.person.chat[-1])
        await ira.person.settled()
        ira.expects("registration-phone-prompt")
    await ira.says(ira.phone)
    await ira.finishes()


async def test_every_way_out_of_the_step_takes_the_keyboard_away(stage: Stage) -> None:
    for way in ("number", "contact", "/back", "/cancel"):
        ira = stage.someone()
        await ira.reaches_phone()
        assert ira.has_keyboard()
        await (ira.says(ira.phone) if way == "number" else
               ira.taps(ira.label("button-share-contact")) if way == "contact" else ira.says(way))  # fmt: skip
        assert not ira.has_keyboard(), way
        assert ira.person.chat[-1].buttons, way


async def test_change_number_and_the_old_code_no_longer_counts(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_code()
    old = await ira.code()
    await ira.presses(ira.label("button-change-number"))
    ira.expects("registration-phone-given")
    other = "+79031234567"
    await ira.says(other)
    ira.expects("registration-code-prompt")
    code = await ira.code(other)
    if old != code:
        await ira.says(old)
        ira.expects("registration-code-wrong", 4)
    await ira.says(code)
    ira.expects("registration-done")


async def test_the_old_number_stays_until_another_is_accepted(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_code()
    await ira.says("/back")
    ira.expects("registration-phone-prompt")
    await ira.says("12")
    ira.expects("registration-phone-invalid")
    await ira.taps(ira.label("button-continue"))
    ira.expects("registration-code-prompt")
    await ira.finishes()


async def test_four_different_numbers_a_day_are_too_many_but_the_own_contact_goes_on(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    for number in ("+79031230001", "+79031230002", "+79031230003"):
        await ira.says(number)
        ira.expects("registration-code-prompt")
        await ira.says("/back")
        stage.clock.move(minutes=61)
    await ira.says("+79031230004")
    ira.expects("registration-phone-limit")
    assert stage.smsc.inbox("+79031230004") == []
    await ira.taps(ira.label("button-share-contact"))
    await ira.finishes()


async def test_t04_t05_an_attacked_number_gets_three_sms_an_hour_and_its_owner_registers(stage: Stage) -> None:
    victim = stage.someone()
    for _ in range(4):
        attacker = stage.someone()
        await attacker.reaches_phone()
        await attacker.says(victim.phone)
    attacker.expects("registration-phone-limit")
    await victim.reaches_phone()
    await victim.says(victim.phone)
    victim.expects("registration-phone-limit")
    await victim.taps(victim.label("button-share-contact"))
    victim.expects("registration-done")
    assert len(stage.smsc.inbox(victim.phone)) == 3


@pytest.mark.parametrize("country", ["RU", "BY", "KZ", "AM", "KG", "UZ", "AZ", "GE", "MD", "TJ"])
async def test_every_allowed_countrys_example_number_is_taken(stage: Stage, country: str) -> None:
    example = phonenumbers.example_number_for_type(country, phonenumbers.PhoneNumberType.MOBILE)
    assert example is not None
    forms = [
        phonenumbers.format_number(example, form)
        for form in (phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.NATIONAL)
    ]
    for typed, chosen in itertools.zip_longest(forms, [None, country]):
        ira: Registrant = stage.someone()
        await ira.reaches_phone()
        if chosen:
            await ira.says(ira.label("button-country"))
            await ira.person.press_data(f"country:choose:{chosen}", ira.person.chat[-1])
            await ira.person.settled()
        await ira.says(typed)
        ira.expects("registration-code-prompt")
