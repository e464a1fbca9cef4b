"""What the settings are when nothing is configured, how each is written, and what is warned of."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.setting_types import read_duration, read_link, read_service_url, read_window, written
from bot.settings import Settings, load
from storage.limits import Limits, Window
from tests.configured import NAMES, loaded, mistakes, nothing_configured

__all__ = ["nothing_configured"]


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


def test_a_short_lifetime_moves_the_reminder_unless_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch).limits().reminder_before == timedelta(hours=4)
    assert loaded(monkeypatch, UNCONFIRMED_LIFETIME="60m").limits().reminder_before == timedelta(minutes=10)
    assert loaded(monkeypatch, REMINDER_BEFORE="30m").limits().reminder_before == timedelta(minutes=30)


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
