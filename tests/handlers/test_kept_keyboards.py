"""Everybody's keyboards are made once; of what is one person's own nothing is kept in memory."""

from __future__ import annotations

from markupsafe import Markup

from handlers import meaning, screens
from handlers.screens import Button, Screen, inline_markup

ADDRESS = "ira.petrova@example.org"
EVERYBODYS = Button({"ru": "Назад", "en": "Back"}, action="back")


def test_everybodys_keyboard_is_made_once() -> None:
    assert inline_markup(((EVERYBODYS,),), "ru") is inline_markup(((EVERYBODYS,),), "ru")


def test_one_persons_own_label_is_kept_nowhere() -> None:
    rows = ((Button({"ru": ADDRESS, "en": ADDRESS}, action="email:suggested", own=True), EVERYBODYS),)
    kept = screens._kept_keyboard.cache_info().currsize
    shown = inline_markup(rows, "ru")
    assert shown is not None
    assert [button.text for button in shown.inline_keyboard[0]] == [ADDRESS, "Назад"]
    meaning._label(EVERYBODYS.labels["ru"])
    meaning._label(EVERYBODYS.labels["en"])
    known = meaning._label.cache_info().currsize
    (offer, _) = meaning.offers_of([Screen(Markup(), rows)])
    assert offer.labels == (ADDRESS,)
    assert screens._kept_keyboard.cache_info().currsize == kept
    assert meaning._label.cache_info().currsize == known


def test_one_persons_own_address_is_kept_nowhere() -> None:
    rows = ((Button({"ru": "Начать"}, url="https://crm.example/?token=t"),),)
    kept = screens._kept_keyboard.cache_info().currsize
    assert inline_markup(rows, "ru") is not inline_markup(rows, "ru")
    assert screens._kept_keyboard.cache_info().currsize == kept
