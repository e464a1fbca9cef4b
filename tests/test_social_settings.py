"""The settings of signing up with Google or Facebook: what does not fit together is one line."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bot.own_secret import SettingsError
from bot.settings import Settings, load
from storage.limits import Window

NAMES = tuple(name.upper() for name in Settings.model_fields)


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))


def loaded(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load()


def mistakes(monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        loaded(monkeypatch, **environment)
    return caught.value.lines


GOOGLE = {"GOOGLE_CLIENT_ID": "id", "GOOGLE_CLIENT_SECRET": "hunter2"}
FACEBOOK = {"FACEBOOK_APP_ID": "12345", "FACEBOOK_APP_SECRET": "hunter2"}


def test_nothing_is_offered_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch)
    assert (settings.google_client_id, settings.facebook_app_id, settings.trusted_proxies) == (None, None, 0)
    assert (settings.oauth_state, settings.web_per_ip) == (timedelta(minutes=10), Window(30, timedelta(minutes=5)))


@pytest.mark.parametrize("base", ["PUBLIC_URL", "WEBHOOK_URL"])
@pytest.mark.parametrize("account", [GOOGLE, FACEBOOK], ids=["google", "facebook"])
def test_browsers_must_reach_the_bot(monkeypatch: pytest.MonkeyPatch, account: dict[str, str], base: str) -> None:
    (line,) = mistakes(monkeypatch, **account)
    assert line.startswith(f"{next(iter(account))}: ")
    assert "PUBLIC_URL or WEBHOOK_URL" in line
    settings = loaded(monkeypatch, **{base: "https://bot.example.org/"})
    assert settings.base_url() == "https://bot.example.org"
    assert "hunter2" not in repr(settings)


def test_both_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = mistakes(monkeypatch, **GOOGLE, **FACEBOOK)
    assert [line.split(":")[0] for line in lines] == ["GOOGLE_CLIENT_ID", "FACEBOOK_APP_ID"]


@pytest.mark.parametrize("name", [*GOOGLE, *FACEBOOK])
def test_half_an_account_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    account = GOOGLE if name in GOOGLE else FACEBOOK
    (line,) = mistakes(monkeypatch, PUBLIC_URL="https://bot.example.org", **{name: account[name]})
    (other,) = set(account) - {name}
    assert line == f"{name}: is of no use without {other}; write both or neither"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("GOOGLE_ISSUER", "http://id.example.org", "https://"),
        ("GOOGLE_CLIENT_ID", "two words", "without spaces"),
        ("FACEBOOK_BASE_URL", "www.facebook.com", "web address"),
        ("FACEBOOK_APP_ID", "app", "digits"),
        ("OAUTH_STATE", "11m", "10m"),
        ("WEB_PER_IP", "30", "3/1h"),
        ("TRUSTED_PROXIES", "-1", "0 to 10"),
    ],
)
def test_each_mistake_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str) -> None:
    (line,) = mistakes(monkeypatch, **{name: value})
    assert line.startswith(f"{name}: ")
    assert says in line
