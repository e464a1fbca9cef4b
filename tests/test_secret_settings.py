"""The secrets among the settings: told to nobody, and the one that is made where none is given."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bot.own_secret import own_secret
from bot.settings import load
from tests.configured import loaded, mistakes, nothing_configured

__all__ = ["nothing_configured"]

SECRET = "a text of thirty-two characters!"


def test_both_secrets_of_the_crm_are_kept_out_of_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = f"whsec_{'A' * 32}", f"whsec_{'B' * 43}"
    settings = loaded(monkeypatch, CRM_WEBHOOK_SECRET=f"{one} , {two}")
    assert [secret.get_secret_value() for secret in settings.crm_webhook_secret] == [one, two]
    assert {one, two} <= set(settings.secrets())
    assert one not in repr(settings)


def test_a_mistake_never_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = mistakes(
        monkeypatch,
        BOT_TOKEN="hunter2-token",
        SECRET_KEY="hunter2-key",
        WEBHOOK_SECRET="hunter2-hook",
        DATABASE_URL="mysql://hunter2",
        REDIS_URL="hunter2",
        SMSC_PASSWORD="hunter2",
        CRM_WEBHOOK_SECRET="hunter2-crm",
    )
    assert len(lines) == 6
    assert "hunter2" not in "".join(lines)


def test_secrets_are_absent_from_reprs(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(
        monkeypatch,
        BOT_TOKEN="123456:hunter2",
        SECRET_KEY="hunter2" * 8,
        WEBHOOK_SECRET="hunter2" * 8,
        DATABASE_URL="postgresql://bot:hunter2@db/bot",
        REDIS_URL="redis://:hunter2@cache/0",
        SMSC_PASSWORD="hunter2",
        SMSC_API_KEY="hunter2",
    )
    assert "hunter2" not in repr(settings) + str(settings)
    assert settings.secret() == "hunter2" * 8


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_a_replica_is_told_that_it_needs_the_same_secret_key(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    url = {"DATABASE_URL": "postgresql://db/bot", "REDIS_URL": "redis://cache/0"}[name]
    (line,) = loaded(monkeypatch, **{name: url}).warnings()
    assert line.startswith("SECRET_KEY: ")
    assert "replica" in line
    settings = loaded(monkeypatch, SECRET_KEY=SECRET)
    assert settings.secret() == SECRET
    assert settings.warnings() == []


def test_the_secret_key_is_made_once_and_for_this_user_only(tmp_path: Path) -> None:
    first = load().secret()
    path = tmp_path / "data" / "secret_key"
    assert len(first) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load().secret() == first
    assert os.listdir(path.parent) == ["secret_key"]


def test_processes_starting_at_once_get_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(12) as pool:
        keys = set(pool.map(lambda _: own_secret(tmp_path / "new"), range(12)))
    assert len(keys) == 1


def test_a_damaged_key_or_folder_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret_key").write_text("half")
    (line,) = mistakes(monkeypatch)
    assert line.startswith("SECRET_KEY: ")
    (line,) = mistakes(monkeypatch, DATA_DIR=str(tmp_path / "data" / "secret_key"))
    assert line.startswith("DATA_DIR: ")
