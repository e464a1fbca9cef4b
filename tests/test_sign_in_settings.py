"""The settings of signing in, and of the change of SECRET_KEY."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.own_secret import SettingsError
from bot.settings import load

LONG = "a text of thirty-two characters!"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("START_TOKEN_LIFETIME", "2h", "1h at most"),
        ("START_TOKEN_LIFETIME", "soon", "no duration"),
        ("START_TOKEN_ISSUER", "two words", "without spaces"),
        ("PREVIOUS_SECRET_KEY", "short", "too short"),
        ("START_URL", "https://crm.example/start?token=", "has a token already"),
        ("START_URL", "https://crm.example/start?a=1&token=x", "has a token already"),
    ],
)
def test_a_mistake_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load()
    (line,) = caught.value.lines
    assert line.startswith(f"{name}: ")
    assert words in line


def test_what_may_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", LONG)
    assert load().previous_secret() is None
    monkeypatch.setenv("PREVIOUS_SECRET_KEY", LONG[::-1])
    monkeypatch.setenv("START_TOKEN_LIFETIME", "90s")
    monkeypatch.setenv("START_URL", "https://crm.example/start?tokens=1")
    settings = load()
    assert settings.previous_secret() == LONG[::-1]
    assert LONG[::-1] in settings.secrets()
    assert LONG[::-1] not in repr(settings)
    assert settings.start_token_lifetime == timedelta(seconds=90)
