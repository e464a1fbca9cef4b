"""How long secrets must be: 32 characters are taken, 31 are not."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from bot.settings import Settings


@pytest.mark.parametrize(("name", "advice"), [("secret_key", "too short"), ("webhook_secret", "32 to 256")])
def test_32_characters_are_the_fewest(name: str, advice: str) -> None:
    assert "k" * 32 in Settings.model_validate({name: "k" * 32}).secrets()
    with pytest.raises(ValidationError, match=advice):
        Settings.model_validate({name: "k" * 31})


def test_256_characters_are_the_most_telegram_takes() -> None:
    Settings(webhook_secret=SecretStr("k" * 256))
    with pytest.raises(ValidationError, match="32 to 256"):
        Settings(webhook_secret=SecretStr("k" * 257))
