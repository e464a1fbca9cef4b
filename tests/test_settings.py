from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from bot.own_secret import SettingsError, own_secret
from bot.setting_types import read_duration, read_link, read_service_url, read_window, written
from bot.settings import Settings, load
from bot.sms_text import spare
from locales import Texts
from storage.limits import Limits, Window

SECRET = "a text of thirty-two characters!"
NAMES = tuple(name.upper() for name in Settings.model_fields)


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))


def mistakes(monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[str]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load()
    return caught.value.lines


def loaded(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load()


def test_nothing_configured_is_enough() -> None:
    settings = load()
    assert settings.bot_token is None
    assert settings.sms_gateways == ("console",)
    assert settings.countries[0] == "RU"
    assert settings.warnings() == []
    assert settings.limits() == Limits(
        code_length=6,
        code_lifetime=timedelta(minutes=10),
        code_attempts=5,
        wrong_codes=Window(10, timedelta(hours=24)),
        live_codes=3,
        resend_delays=tuple(timedelta(seconds=n) for n in (60, 120, 300, 600)),
        sends_per_challenge=3,
        sends_per_number=(Window(3, timedelta(hours=1)), Window(5, timedelta(hours=24))),
        calls_per_number=Window(1, timedelta(hours=1)),
        sends_per_prefix=Window(10, timedelta(hours=1)),
        prefix_evidence=Window(20, timedelta(hours=24)),
        prefix_confirmed_percent=20,
        prefix_blocked_for=timedelta(hours=12),
        verification_message_ttl=timedelta(seconds=60),
        sends_per_person=(Window(4, timedelta(hours=1)), Window(8, timedelta(hours=24))),
        numbers_per_person=Window(3, timedelta(hours=24)),
        addresses_per_person=Window(5, timedelta(hours=24)),
        challenge_session=timedelta(minutes=10),
        unconfirmed_lifetime=timedelta(hours=24),
        reminder_before=timedelta(hours=4),
        number_recycle_after=timedelta(days=90),
        outbox_lease=timedelta(seconds=60),
        outbox_tries=5,
    )


def test_every_default_can_be_written_and_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Settings()
    for name in NAMES:
        text = written(getattr(defaults, name.lower()))
        if name != "DATA_DIR" and text and not name.startswith("TELEGRAM_API"):
            monkeypatch.setenv(name, text)
    assert Settings() == defaults


def test_an_empty_setting_is_one_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch, BOT_TOKEN="", DATABASE_URL="", HTTP_PORT="", WEBHOOK_URL="")
    assert (settings.bot_token, settings.database_url, settings.http_port) == (None, None, 8080)


def test_the_formats_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(
        monkeypatch,
        CODE_LIFETIME="90s",
        RESEND_DELAYS="1s, 2m,3h",
        SENDS_PER_NUMBER="1/1m,2/1d",
        COUNTRIES=" ru , KZ",
        SMS_GATEWAYS="Console",
        TERMS_STYLE="BUTTON",
        LOG_LEVEL="debug",
        EMAIL_MX_CHECK="True",
        TIME_ZONE="Asia/Almaty",
    )
    assert settings.code_lifetime == timedelta(seconds=90)
    assert settings.resend_delays == (timedelta(seconds=1), timedelta(minutes=2), timedelta(hours=3))
    assert settings.sends_per_number == (Window(1, timedelta(minutes=1)), Window(2, timedelta(days=1)))
    assert settings.countries == ("RU", "KZ")
    assert (settings.terms_style, settings.log_level, settings.email_mx_check) == ("button", "DEBUG", True)
    assert settings.time_zone.key == "Asia/Almaty"


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


def test_a_link_telegram_takes_no_button_to_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = loaded(monkeypatch, VIDEO_URL="https://intranet/video").warnings()
    assert line.startswith("VIDEO_URL: ")
    assert loaded(monkeypatch, VIDEO_URL="https://127.0.0.1/video").warnings() == []


def test_t27_plain_http_to_the_crm_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = f"whsec_{'A' * 32}"
    for url, warned in (
        ("https://crm.example.com/hook?key=1", False),
        ("http://127.0.0.1:8000/hook", False),
        ("http://localhost/hook", False),
        ("http://[::1]/hook", False),
        ("http://crm.internal/hook", True),
        ("http://10.0.0.5/hook", True),
    ):
        settings = loaded(monkeypatch, CRM_WEBHOOK_URL=url, CRM_WEBHOOK_SECRET=secret)
        assert settings.crm_webhook_url == url
        names = [line.split(":")[0] for line in settings.warnings()]
        assert ("CRM_WEBHOOK_URL" in names) == warned, url


def test_both_secrets_of_the_crm_are_kept_out_of_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = f"whsec_{'A' * 32}", f"whsec_{'B' * 43}"
    settings = loaded(monkeypatch, CRM_WEBHOOK_SECRET=f"{one} , {two}")
    assert [secret.get_secret_value() for secret in settings.crm_webhook_secret] == [one, two]
    assert {one, two} <= set(settings.secrets())
    assert one not in repr(settings)


def test_a_short_lifetime_moves_the_reminder_unless_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch).limits().reminder_before == timedelta(hours=4)
    assert loaded(monkeypatch, UNCONFIRMED_LIFETIME="60m").limits().reminder_before == timedelta(minutes=10)
    assert loaded(monkeypatch, REMINDER_BEFORE="30m").limits().reminder_before == timedelta(minutes=30)


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


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache",
        "rediss://:password@cache:6380/1?ssl_cert_reqs=none",
        "unix:///run/valkey.sock",
        "redis+cluster://one",
        "redis+cluster://bot:p%40w@one:7001,two.example.com:7002,[::1]:7003",
        "rediss+cluster://bot:p%40w@one:7001?ssl_ca_certs=ca.pem",
        "redis+sentinel://one/the-master",
        "redis+sentinel://bot:p%40w@one:26379,two.example.com,[::1]:7003/the-master/3?sentinel_password=p",
        "rediss+sentinel://one/the-master/0?ssl_ca_certs=ca.pem",
    ],
)
def test_a_server_and_a_cluster_are_written_like_this(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    redis_url = loaded(monkeypatch, REDIS_URL=url).redis_url
    assert redis_url is not None
    assert redis_url.get_secret_value() == url


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


def test_smsc_takes_one_kind_of_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, SMS_GATEWAYS="smsc", SMSC_API_KEY="key", DAILY_BUDGET="100").sms_gateways == ("smsc",)
    (line,) = mistakes(monkeypatch, SMSC_LOGIN="shop")
    assert line.startswith("SMS_GATEWAYS: ")
    monkeypatch.delenv("SMSC_API_KEY")
    assert loaded(monkeypatch, SMSC_PASSWORD="word").smsc_login == "shop"


def test_http_is_for_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(
        monkeypatch,
        BOT_TOKEN="123456:token",
        TELEGRAM_API_BASE="http://127.0.0.1:8081/",
        WEBHOOK_URL="http://localhost:8080",
        SMSC_BASE_URL="http://[::1]:9000",
    )
    assert settings.telegram_api_base == "http://127.0.0.1:8081"
    assert settings.webhook_url == "http://localhost:8080"


def test_what_is_hardly_meant_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(
        monkeypatch,
        BOT_TOKEN="123456:token",
        SMS_GATEWAYS="smsc",
        SMSC_API_KEY="key",
        DAILY_BUDGET="100000",
        SMS_PAUSED="true",
        TERMS_URL="https://shop.test/terms",
    )
    names = [line.split(":")[0] for line in settings.warnings()]
    assert names[0] == "SMS_PAUSED"
    assert "START_URL" in names
    assert "TERMS_URL" not in names
    assert not any(name.startswith("SMSC") for name in names)
    assert loaded(monkeypatch, SMS_PAUSED="false").warnings() == settings.warnings()[1:]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1s", 1), ("10m", 600), ("24h", 86400), ("90d", 90 * 86400)],
)
def test_durations(text: str, expected: int) -> None:
    assert read_duration(text) == timedelta(seconds=expected)
    assert written(read_duration(text)) == text


@pytest.mark.parametrize("text", ["", "0s", "5", "m", "1.5h", "-1h", "1h30m", "1 h", "١s", "9999999s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        read_duration(text)


@pytest.mark.parametrize("text", ["", "3", "/1h", "0/1h", "3/", "3/1", "3/1h/2", "3-1h"])
def test_no_windows(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        read_window(text)


@pytest.mark.parametrize(
    "text", ["https://", "https://a b", 'https://a"b', "javascript:alert(1)", "https://a:x", "//a"]
)
def test_no_links(text: str) -> None:
    with pytest.raises(ValueError, match="web address"):
        read_link(text)


@pytest.mark.parametrize("text", ["http://10.0.0.1", "http://localhost.example.com", "http://127.0.0.1.example.com"])
def test_no_service_over_plain_http(text: str) -> None:
    with pytest.raises(ValueError, match="plain http"):
        read_service_url(text)


def test_the_sms_has_room_for_a_name_in_every_language() -> None:
    for language, text in Texts().every("sms-code", code="000000", product="Smarty CRM").items():
        assert spare(text) >= 0, language
        assert text.startswith("000000"), "the code comes first, so that a notification shows it"


@pytest.mark.parametrize(
    ("text", "left"),
    [("", 160), ("a" * 160, 0), ("a" * 161, -1), ("[" * 80, 0), ("я" * 70, 0), ("я" * 71, -1), ("😀" * 35, 0)],
)
def test_what_fits_one_segment(text: str, left: int) -> None:
    assert spare(text) == left


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
