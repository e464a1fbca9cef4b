"""What the settings of the mail server must have beside each other; every mistake is one line."""

from __future__ import annotations

import pytest

from bot.own_secret import SettingsError
from bot.settings import Settings, load

WHOLE = {
    "SMTP_HOST": "mail.example.com", "MAIL_FROM": "invitations@example.com", "SMTP_USERNAME": "registration",
    "SMTP_PASSWORD": "a secret word", "PUBLIC_URL": "https://registration.example.com",
    "SECRET_KEY": "a text of thirty-two characters!",
}  # fmt: skip


def loaded(monkeypatch: pytest.MonkeyPatch, **changes: str) -> Settings:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in {**WHOLE, **changes}.items():
        monkeypatch.setenv(name, value)
    return load()


def test_a_mail_server_is_named_and_its_password_kept_out_of_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch)
    assert (settings.smtp_port, settings.smtp_tls) == (587, "starttls")
    assert WHOLE["SMTP_PASSWORD"] in settings.secrets()
    assert WHOLE["SMTP_PASSWORD"] not in repr(settings)
    assert loaded(monkeypatch, SMTP_HOST="127.0.0.1", SMTP_TLS="off").smtp_tls == "off"
    assert loaded(monkeypatch, PUBLIC_URL="", WEBHOOK_URL="https://bot.example.com").smtp_host == WHOLE["SMTP_HOST"]


@pytest.mark.parametrize(
    ("changes", "name", "says"),
    [
        ({"MAIL_FROM": ""}, "SMTP_HOST", "MAIL_FROM"),
        ({"SMTP_PASSWORD": ""}, "SMTP_USERNAME", "SMTP_PASSWORD"),
        ({"SMTP_USERNAME": ""}, "SMTP_USERNAME", "SMTP_PASSWORD"),
        ({"SMTP_TLS": "off"}, "SMTP_TLS", "starttls or tls"),
        ({"PUBLIC_URL": ""}, "SMTP_HOST", "PUBLIC_URL or WEBHOOK_URL"),
    ],
)
def test_what_does_not_fit_together_is_one_line(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], name: str, says: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(monkeypatch, **changes)
    (line,) = caught.value.lines
    assert line.startswith(f"{name}: ")
    assert says in line
    assert WHOLE["SMTP_PASSWORD"] not in line
