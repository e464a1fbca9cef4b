from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from pydantic import SecretStr

from bot.gateways.smsru import SmsRu, make_smsru
from bot.settings import Settings
from handlers.ports import (
    Accepted,
    ForgedReport,
    InvalidNumber,
    Misconfigured,
    Refused,
    Report,
    ReportingGateway,
    SendResult,
    Unavailable,
    Unknown,
)
from storage.models import Channel, SendState
from tests.bot.gateways.cases import MESSAGE, NUMBER, TEXT, message, of_smsru
from tests.fakes.clock import MovableClock
from tests.fakes.smsru import FakeSmsRu, status
from tests.fakes.vendor import Fault, RawReport

REPORTS = "https://bot.example.com/reports/smsru"
CLOCK = MovableClock()
NOW = CLOCK.now().timestamp()
SMS_ID = "202648-1000007"


@pytest.fixture
async def server() -> AsyncIterator[FakeSmsRu]:
    fake = FakeSmsRu()
    await fake.start()
    yield fake
    await fake.stop()


def gateway_to(server: FakeSmsRu, **changes: Any) -> SmsRu:
    account = of_smsru().account | {"smsru_base_url": server.base_url} | changes
    return make_smsru(Settings(**account), CLOCK, None)


@pytest.fixture
async def gateway(server: FakeSmsRu) -> AsyncIterator[SmsRu]:
    made = gateway_to(server)
    yield made
    await made.close()


def test_it_is_a_reporting_gateway(gateway: SmsRu) -> None:
    reporting: ReportingGateway = gateway
    # SMS.ru wants to read exactly this.
    assert (reporting.name, reporting.channels, reporting.report_answer) == ("smsru", frozenset({Channel.SMS}), "100")


async def test_a_message_goes_with_sender_and_lifetime(server: FakeSmsRu, gateway: SmsRu) -> None:
    assert await gateway.send(MESSAGE) == Accepted(provider_id="202648-1000000")
    (sms,) = server.messages
    fixed = {"api_id": server.api_id, "json": "1", "from": "SHOP"}
    assert sms.fields == fixed | {"to": NUMBER[1:], "msg": TEXT, "ttl": "10"}


async def test_without_a_sender_none_is_named(server: FakeSmsRu) -> None:
    gateway = gateway_to(server, smsru_sender=None)
    assert isinstance(await gateway.send(MESSAGE), Accepted)
    assert server.messages[0].sender is None
    await gateway.close()


@pytest.mark.parametrize(
    ("lifetime", "ttl"),
    [(timedelta(seconds=1), "1"), (timedelta(minutes=9, seconds=59), "9"), (timedelta(days=3), "1440")],
)
async def test_the_lifetime_is_minutes(server: FakeSmsRu, gateway: SmsRu, lifetime: timedelta, ttl: str) -> None:
    assert isinstance(await gateway.send(message(lifetime=lifetime)), Accepted)
    assert server.messages[0].fields["ttl"] == ttl


@pytest.mark.parametrize(
    ("code", "expected", "setting"),
    [
        (200, Misconfigured, "SMSRU_API_ID"),
        (201, Unavailable, ""),
        (202, InvalidNumber, ""),
        (203, Refused, ""),
        (204, Misconfigured, "SMSRU_SENDER"),
        (205, Refused, ""),
        (206, Unavailable, ""),
        (207, InvalidNumber, ""),
        (208, Misconfigured, "SMSRU_BASE_URL"),
        (209, Refused, ""),
        (210, Misconfigured, "SMSRU_BASE_URL"),
        (211, Misconfigured, "SMSRU_BASE_URL"),
        (212, Misconfigured, "SMSRU_BASE_URL"),
        (213, Misconfigured, "SMSRU_BASE_URL"),
        (214, Refused, ""),
        (215, Refused, ""),
        (216, Refused, ""),
        (217, Refused, ""),
        (220, Unavailable, ""),
        (221, Misconfigured, "SMSRU_SENDER"),
        (230, Refused, ""),
        (231, Accepted, ""),
        (232, Accepted, ""),
        (233, Refused, ""),
        (300, Misconfigured, "SMSRU_API_ID"),
        (301, Misconfigured, "SMSRU_API_ID"),
        (302, Misconfigured, "SMSRU_API_ID"),
        (500, Unavailable, ""),
        (999, Unavailable, ""),
    ],
)
async def test_f05_each_code_of_the_vendor_has_its_class(
    server: FakeSmsRu, gateway: SmsRu, code: int, expected: type[SendResult], setting: str
) -> None:
    server.faults.append(Fault(error_code=code))
    result = await gateway.send(MESSAGE)
    assert type(result) is expected
    assert setting in getattr(result, "detail", "")
    assert server.messages == []


async def test_a_number_refused_inside_an_answer_that_says_ok_was_not_sent(server: FakeSmsRu, gateway: SmsRu) -> None:
    server.faults.append(
        Fault(
            body=b'{"status": "OK", "status_code": 100, "balance": 1000.0, "sms": {"79161234567":'
            b' {"status": "ERROR", "status_code": "207", "status_text": "no", "sms_id": "202626-1000002"}}}'
        )
    )
    assert isinstance(await gateway.send(MESSAGE), InvalidNumber)


async def test_an_id_that_is_none_leaves_it_unknown(server: FakeSmsRu, gateway: SmsRu) -> None:
    body = '{"status_code": 100, "sms": {"79161234567": {"status_code": 100, "sms_id": %s}}}'
    server.faults.extend(Fault(body=(body % given).encode()) for given in ("null", '""', "[]", "17"))
    assert [type(await gateway.send(MESSAGE)) for _ in range(4)] == [Unknown] * 4


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"smsru_api_id": SecretStr("not-this-one")}, "SMSRU_API_ID"),
        ({"smsru_sender": "UNKNOWN"}, "SMSRU_SENDER"),
    ],
)
async def test_what_the_vendor_does_not_know_names_the_setting(
    server: FakeSmsRu, change: dict[str, Any], expected: str
) -> None:
    gateway = gateway_to(server, **change)
    result = await gateway.send(MESSAGE)
    assert isinstance(result, Misconfigured)
    assert expected in result.detail
    assert "not-this-one" not in result.detail
    await gateway.close()


async def test_a_repeat_within_a_minute_was_taken_the_first_time(server: FakeSmsRu, gateway: SmsRu) -> None:
    assert [type(await gateway.send(MESSAGE)) for _ in range(2)] == [Accepted, Accepted]
    assert server.inbox(NUMBER) == [TEXT]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (-1, None),
        (100, None),
        (101, None),
        (102, None),
        (103, SendState.DELIVERED),
        (104, SendState.UNDELIVERED),
        (105, SendState.UNDELIVERED),
        (106, SendState.UNDELIVERED),
        (107, SendState.UNDELIVERED),
        (108, SendState.UNDELIVERED),
        (110, SendState.DELIVERED),
        (130, None),
        (150, SendState.UNDELIVERED),
    ],
)
async def test_each_status_of_a_report(
    server: FakeSmsRu, gateway: SmsRu, code: int, expected: SendState | None
) -> None:
    found = await gateway.read_report(server.report(REPORTS, status(SMS_ID, code, NOW)).request())
    assert [(report.provider_id, report.state) for report in found] == ([(SMS_ID, expected)] if expected else [])
    assert all(f"status {code}" in report.detail for report in found if expected is SendState.UNDELIVERED)


async def test_a_report_tells_of_many_messages_in_the_order_of_their_numbers(server: FakeSmsRu, gateway: SmsRu) -> None:
    entries = [status(f"1-{n}", 103, NOW) for n in range(12)]
    report = server.report(REPORTS, *entries)
    parts = report.body.split(b"&")
    shuffled = dataclasses.replace(report, body=b"&".join(reversed(parts)))
    found = await gateway.read_report(shuffled.request())
    assert found == [Report(f"1-{n}", SendState.DELIVERED) for n in range(12)]


async def test_other_news_is_left_out(server: FakeSmsRu, gateway: SmsRu) -> None:
    call = f"callcheck_status\n202648-17\n401\n{int(NOW)}"
    request = server.report(REPORTS, f"test\n{int(NOW)}", call, status(SMS_ID, 103, NOW)).request()
    assert await gateway.read_report(request) == [Report(SMS_ID, SendState.DELIVERED)]
    assert await gateway.read_report(server.report(REPORTS, f"test\n{int(NOW)}").request()) == []


async def test_t14_a_repeated_report_says_the_same(server: FakeSmsRu, gateway: SmsRu) -> None:
    request = server.report(REPORTS, status(SMS_ID, 103, NOW)).request()
    assert [await gateway.read_report(request) for _ in range(3)] == [[Report(SMS_ID, SendState.DELIVERED)]] * 3


@pytest.mark.parametrize("seconds", [-301, 301, -86_400])
async def test_t14_a_stale_report_is_refused(server: FakeSmsRu, gateway: SmsRu, seconds: int) -> None:
    stale = status(SMS_ID, 104, NOW + seconds)
    with pytest.raises(ForgedReport):
        await gateway.read_report(server.report(REPORTS, stale).request())
    fresh = status("1-1", 103, NOW - 299)
    found = await gateway.read_report(server.report(REPORTS, stale, fresh).request())
    assert found == [Report("1-1", SendState.DELIVERED)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"103", b"104"),
        (b"1000007", b"1000008"),
        (b"hash=", b"hash=0"),
        (b"hash=", b"other="),
        (b"data%5B0%5D", b"data"),
        (b"data%5B0%5D", b"data%5B99999%5D"),
    ],
)
async def test_t14_a_forged_report_is_refused(server: FakeSmsRu, gateway: SmsRu, old: bytes, new: bytes) -> None:
    report = server.report(REPORTS, status(SMS_ID, 103, NOW))
    assert old in report.body
    with pytest.raises(ForgedReport):
        await gateway.read_report(dataclasses.replace(report, body=report.body.replace(old, new)).request())


@pytest.mark.parametrize("body", [b"", b"\xff\xfe\x00", b"{}", b"data%5B0%5D=%FF&hash=%FF", b"a=1&" * 5000])
async def test_t14_garbage_is_refused(server: FakeSmsRu, gateway: SmsRu, body: bytes) -> None:
    with pytest.raises(ForgedReport):
        await gateway.read_report(dataclasses.replace(server.report(REPORTS), body=body).request())


async def test_t14_a_report_of_nothing_is_refused(server: FakeSmsRu, gateway: SmsRu) -> None:
    with pytest.raises(ForgedReport):
        await gateway.read_report(server.report(REPORTS).request())


async def test_t14_a_hash_carried_on_to_a_longer_report_is_refused(server: FakeSmsRu, gateway: SmsRu) -> None:
    """SHA-256 of a secret and a known text gives that of the text, padding and more: the padding gives it away."""
    known = status("1-1", 103, NOW)
    padding = b"\x80" + b"\x00" * 40 + (8 * len(server.api_id + known)).to_bytes(8, "big")
    entries = [known.encode(), padding, status("1-2", 104, NOW).encode()]
    digest = hashlib.sha256(server.api_id.encode() + b"".join(entries)).hexdigest()
    body = "&".join(f"data[{n}]={quote_from_bytes(entry)}" for n, entry in enumerate(entries))
    with pytest.raises(ForgedReport, match="does not write"):
        await gateway.read_report(RawReport("POST", REPORTS, {}, f"{body}&hash={digest}".encode()).request())


async def test_t14_a_status_cut_from_its_moment_is_no_report(server: FakeSmsRu, gateway: SmsRu) -> None:
    """The hash covers the entries in a row, so an old report can be cut elsewhere, and stays right."""
    whole = status(SMS_ID, 103, NOW - 86_400)
    head, _, moment = whole.rpartition("\n")
    with pytest.raises(ValueError, match="not of the documented form"):
        await gateway.read_report(server.report(REPORTS, head, "\n" + moment).request())


@pytest.mark.parametrize(
    "entry",
    [
        "sms_status\n",
        "sms_status\n1-1\nabc\n1",
        "sms_status\n\n103\n1",
        "sms_status\n1-1\n103\n1\n1",
        "sms_status\n1\n9",
    ],
)
async def test_a_proven_report_that_means_nothing_is_no_report(server: FakeSmsRu, gateway: SmsRu, entry: str) -> None:
    with pytest.raises(ValueError, match="not of the documented form"):
        await gateway.read_report(server.report(REPORTS, entry).request())


async def test_t14_without_a_key_every_report_is_refused(server: FakeSmsRu) -> None:
    gateway = gateway_to(server, smsru_api_id=None)
    server.api_id = ""
    with pytest.raises(ForgedReport, match="SMSRU_API_ID"):
        await gateway.read_report(server.report(REPORTS, status(SMS_ID, 103, NOW)).request())
    await gateway.close()
