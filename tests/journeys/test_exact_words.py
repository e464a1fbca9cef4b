"""The sentences the customer gave, to the letter, in both languages (product text, section 1)."""

from __future__ import annotations

import re

import pytest

from locales import Texts

PAIRS = [
    ("button-register", "Регистрация", "Register"),
    ("button-continue", "Продолжить", "Continue"),
    (
        "terms-consent",
        "☐ Я ознакомлен и согласен с условиями использования",
        "☐ I have read and accept the terms of use",
    ),
    (
        "registration-terms-missing",
        "Чтобы продолжить регистрацию, необходимо принять Условия использования",
        "To continue, you need to accept the terms of use",
    ),
    ("registration-phone-invalid", "Некорректный номер телефона", "Invalid phone number"),
    (
        "registration-phone-taken",
        "Пользователь с таким номером уже зарегистрирован",
        "A user with this number is already registered",
    ),
    (
        "registration-email-taken",
        "Пользователь с таким адресом уже зарегистрирован",
        "A user with this address is already registered",
    ),
    ("registration-code-wrong", "Неверный код", "Wrong code"),
    ("registration-code-wrong-last", "Неверный код", "Wrong code"),
    ("registration-done", "Регистрация завершена", "Registration complete"),
    ("button-start-work", "Начать работу", "Get started"),
    ("button-restore-password", "Восстановить пароль", "Restore password"),
    ("button-support", "Поддержка", "Support"),
    ("button-my-number", "Это мой номер", "This is my number"),
    ("button-create-new", "Создать новый", "Create new"),
    ("button-link-existing", "Привязать к существующему", "Link to an existing one"),
    ("button-google", "Продолжить с Google", "Continue with Google"),
]
CONSENT = {
    "ru": "☐ Я ознакомлен и согласен с условиями использования",
    "en": "☐ I have read and accept the terms of use",
}


class _Any(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return key


@pytest.mark.parametrize(("key", "russian", "english"), PAIRS)
def test_a_given_sentence_stands_at_the_beginning_of_its_message(key: str, russian: str, english: str) -> None:
    texts = Texts()
    for language, sentence in (("ru", russian), ("en", english)):
        n = 3 if key == "registration-code-wrong" else None
        shown = texts.template(language, key, n).format_map(_Any())
        is_button = key.startswith(("button-", "terms-consent"))
        assert shown == sentence if is_button else shown.startswith(sentence)


@pytest.mark.parametrize("language", ["ru", "en"])
def test_the_consent_sentence_stands_in_the_message_and_on_the_toggle(language: str) -> None:
    texts = Texts()
    assert re.sub(r"<[^>]+>", "", texts.html(language, "terms-sentence", url="https://x.y")) == CONSENT[language]
    assert texts.plain(language, "terms-consent") == CONSENT[language]


def test_the_sentence_of_the_button_style() -> None:
    shown = re.sub(r"<[^>]+>", "", Texts().html("ru", "terms-sentence-button", url="https://x.y"))
    assert shown == "Нажимая кнопку Регистрация, вы соглашаетесь с нашими Условиями использования"
