"""Each mistake in the settings is one line that names the setting and says what to write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.configured import loaded, mistakes, nothing_configured

__all__ = ["nothing_configured"]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("BOT_TOKEN", "12345", "@BotFather"),
        ("TELEGRAM_API_BASE", "https://api.example.com", "BOT_TOKEN"),
        ("TELEGRAM_API_BASE", "http://api.example.com", "https://"),
        ("WEBHOOK_URL", "http://bot.example.com", "https://"),
        ("WEBHOOK_URL", "bot.example.com", "web address"),
        ("WEBHOOK_URL", "https://a:b@bot.example.com", "without a name"),
        ("WEBHOOK_SECRET", "short", "32 to 256"),
        ("WEBHOOK_SECRET", "ю" * 40, "32 to 256"),
        ("HTTP_PORT", "http", "0 to 65535"),
        ("HTTP_PORT", "65536", "0 to 65535"),
        ("HTTP_HOST", "two words", "without spaces"),
        ("DATABASE_URL", "mysql://localhost/x", "postgresql://"),
        ("REDIS_URL", "localhost:6379", "redis://"),
        ("REDIS_URL", "redis+cluster://", "redis+cluster://host1:6379,host2:6379"),
        ("REDIS_URL", "redis+cluster://h1,,h2", "redis+cluster://host1:6379,host2:6379"),
        ("REDIS_URL", "redis+sentinel://h1,h2", "redis+sentinel://host1:26379,host2:26379/master/0"),
        ("REDIS_URL", "redis+sentinel://h1//0", "redis+sentinel://host1:26379,host2:26379/master/0"),
        ("REDIS_URL", "redis+sentinel://h1/m/x", "redis+sentinel://host1:26379,host2:26379/master/0"),
        ("REDIS_URL", "redis+cluster://h1/0", "redis+cluster://host1:6379,host2:6379"),
        ("SECRET_KEY", "too short", "32 characters"),
        ("SMSC_BASE_URL", "http://smsc.ru", "https://"),
        ("SMS_GATEWAYS", "smsc", "SMSC_LOGIN and SMSC_PASSWORD"),
        ("SMS_GATEWAYS", "pigeon", "console, smsc"),
        ("SMS_GATEWAYS", "console,console", "once"),
        ("SMS_GATEWAYS", ",", "at least one"),
        ("DAILY_BUDGET", "-1", "whole number"),
        ("CURRENCY", "roubles", "three letters"),
        ("DEFAULT_LANGUAGE", "xx", "ru, en"),
        ("PRODUCT_NAME", "An exceedingly long name of a product that nobody will remember", "shorter"),
        ("PRODUCT_NAME", "two\nlines", "one line"),
        ("TERMS_URL", "example.com/terms", "web address"),
        ("TERMS_URL", "ftp://example.com", "https://"),
        ("TIME_ZONE", "Moscow", "Europe/Moscow"),
        ("TIME_ZONE", "../etc/passwd", "Europe/Moscow"),
        ("TERMS_STYLE", "scroll", "checkbox, button"),
        ("TERMS_VERSION", "a b", "without spaces"),
        ("PHONE_REASON", "x" * 1001, "1000 characters"),
        ("COUNTRIES", "RU,Kazakhstan", "ISO codes"),
        ("COUNTRIES", "RU,ru", "once"),
        ("NUMBER_TYPES", "mobile,landline", "fixed_line"),
        ("CODE_FOR_OWN_CONTACT", "sometimes", "always, never"),
        ("EXISTING_ACCOUNT_NOTICE", "later", "immediately, after_proof"),
        ("EMAIL_MX_CHECK", "1", "true, false"),
        ("LOG_LEVEL", "loud", "DEBUG, INFO"),
        ("CODE_LENGTH", "4", "write 6"),
        ("CODE_LIFETIME", "11m", "10m"),
        ("CODE_LIFETIME", "0s", "10m"),
        ("CODE_LIFETIME", "PT5M", "10m"),
        ("WRONG_CODES", "10", "3/1h"),
        ("SENDS_PER_NUMBER", "3/1h;5/24h", "3/1h"),
        ("RESEND_DELAYS", "60", "60s"),
        ("REMINDER_BEFORE", "24h", "UNCONFIRMED_LIFETIME"),
        ("OUTBOX_LEASE", "15s", "GATEWAY_TIMEOUT"),
        ("CRM_WEBHOOK_URL", "https://crm.example.com/hook", "CRM_WEBHOOK_SECRET"),
        ("CRM_WEBHOOK_URL", "crm.example.com", "web address"),
        ("CRM_WEBHOOK_URL", "https://a:b@crm.example.com/hook", "without"),
        ("CRM_WEBHOOK_URL", "https://169.254.169.254/latest", "link-local"),
        ("CRM_WEBHOOK_URL", "https://[fd00:ec2::254]/latest", "link-local"),
        ("CRM_WEBHOOK_SECRET", "hunter2", "whsec_"),
        ("CRM_WEBHOOK_SECRET", "whsec_c2hvcnQ=", "24 to 64"),
        ("CRM_WEBHOOK_SECRET", f"whsec_{'A' * 120}", "24 to 64"),
        ("CRM_WEBHOOK_SECRET", ",".join([f"whsec_{'A' * 32}"] * 3), "one or two"),
        ("CRM_WEBHOOK_TIMEOUT", "15", "15"),
        ("CRM_WEBHOOK_RETRIES", "5s;5m", "duration"),
        ("MAIL_FROM", "Smarty <invitations@example.com>", "invitations@example.com"),
        ("MAIL_FROM", "invitations@example.com\r\nBcc: x@example.com", "invitations@example.com"),
        ("MAIL_FROM", "invitations@example.com", "SMTP_HOST"),
        ("SMTP_USERNAME", "registration", "SMTP_HOST"),
        ("SMTP_HOST", "two words", "without spaces"),
        ("SMTP_PORT", "0", "1 to 65535"),
        ("SMTP_TLS", "ssl", "starttls, tls, off"),
        ("INVITES_PER_PERSON", "10", "3/1h"),
        ("INVITE_LIFETIME", "a fortnight", "90d"),
    ],
)
def test_each_mistake_is_one_line_that_says_what_to_write(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    (line,) = mistakes(monkeypatch, **{name: value})
    assert line.startswith(f"{name}: ")
    assert says in line
    assert "\n" not in line


def test_all_mistakes_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = mistakes(
        monkeypatch, HTTP_PORT="x", COUNTRIES="ZZ", SMS_GATEWAYS="smsc", REDIS_URL="redis://cache", CODE_LIFETIME="1h"
    )
    assert sorted(line.split(":")[0] for line in lines) == [
        "CODE_LIFETIME",
        "COUNTRIES",
        "HTTP_PORT",
        "SMS_GATEWAYS",
    ]


@pytest.mark.parametrize("arguments", [[], ["migrate"]])
def test_the_process_says_each_mistake_in_one_line_and_exits_with_2(tmp_path: Path, arguments: list[str]) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "DATA_DIR": str(tmp_path),
        "HTTP_PORT": "http",
        "COUNTRIES": "ZZ",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        env=environment,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    lines = ended.stderr.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["HTTP_PORT", "COUNTRIES"]
    assert all(line.startswith("error: ") for line in lines)
    assert ended.stdout == ""


def test_a_paid_gateway_without_a_budget_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = mistakes(monkeypatch, SMS_GATEWAYS="smsc", SMSC_API_KEY="key")
    assert "DAILY_BUDGET" in line


def test_each_gateway_names_the_account_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("smsc", "smsru", "smsaero", "twilio", "vonage", "telegram", "smpp"):
        (line,) = mistakes(monkeypatch, SMS_GATEWAYS=name, DAILY_BUDGET="1")
        assert line.startswith(f"SMS_GATEWAYS: {name} needs ")


def test_test_numbers_need_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = mistakes(monkeypatch, TEST_NUMBERS="+79990000001=123456")
    assert "TEST_NUMBERS_UNTIL" in line
    settings = loaded(monkeypatch, TEST_NUMBERS_UNTIL="2026-12-31")
    assert settings.test_numbers["+79990000001"].get_secret_value() == "123456"
    assert "123456" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TEST_NUMBERS", "+79990000001"),
        ("TEST_NUMBERS", "89990000001=123456"),
        ("TEST_NUMBERS", "+79990000001=12345"),
        ("TEST_NUMBERS", "+79990000001=123456,+79990000001=123457"),
        ("TEST_NUMBERS_UNTIL", "tomorrow"),
        ("GATEWAY_PINS", "RU=pigeon"),
        ("GATEWAY_PINS", "XX=smsc"),
        ("SUPPORT_CHAT_ID", "@support"),
        ("SMS_PAUSED", "perhaps"),
    ],
)
def test_what_is_written_wrong_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("TEST_NUMBERS_UNTIL", "2026-12-31")
    (line,) = mistakes(monkeypatch, **{name: value})
    assert line.startswith(f"{name}: ")
    assert "123456" not in line
