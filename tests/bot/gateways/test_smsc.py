from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import pytest
from pydantic import SecretStr

from bot.gateways.smsc import Smsc, make_smsc, vendor_id
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
from tests.bot.gateways.cases import CODE, ID, MESSAGE, NUMBER, TEXT, message, of_smsc
from tests.fakes.clock import MovableClock
from tests.fakes.smsc import FakeSmsc, Fault
from tests.fakes.vendor import RawReport, Sms

REPORTS = "https://bot.example.com/reports/smsc"
SENT = Sms(NUMBER, TEXT, vendor_id(ID), "SHOP")
OWN = str(vendor_id(ID))


@pytest.fixture
async def server() -> AsyncIterator[FakeSmsc]:
    fake = FakeSmsc()
    await fake.start()
    yield fake
    await fake.stop()


def gateway_to(server: FakeSmsc, **changes: Any) -> Smsc:
    account = of_smsc().account | {"smsc_base_url": server.base_url} | changes
    return make_smsc(Settings(**account), MovableClock(), None)


@pytest.fixture
async def gateway(server: FakeSmsc) -> AsyncIterator[Smsc]:
    made = gateway_to(server)
    yield made
    await made.close()


def test_it_is_a_reporting_gateway(gateway: Smsc) -> None:
    reporting: ReportingGateway = gateway
    assert (reporting.name, reporting.channels) == ("smsc", frozenset({Channel.SMS, Channel.VOICE}))


async def test_a_message_goes_with_our_own_id_sender_and_lifetime(server: FakeSmsc, gateway: Smsc) -> None:
    assert await gateway.send(MESSAGE) == Accepted(provider_id=OWN, price=410)
    (sms,) = server.messages
    assert (sms.id, sms.sender, sms.channel) == (vendor_id(ID), "SHOP", Channel.SMS)
    assert (sms.fields["valid"], sms.fields["phones"]) == ("00:10", NUMBER)


@pytest.mark.parametrize(
    ("lifetime", "valid"),
    [
        (timedelta(seconds=1), "00:01"),
        (timedelta(minutes=9, seconds=59), "00:09"),
        (timedelta(minutes=60), "01:00"),
        (timedelta(hours=23, minutes=59, seconds=59), "23:59"),
        (timedelta(days=3), "24:00"),
        (timedelta(0), "00:01"),
    ],
)
async def test_the_lifetime_is_hours_and_minutes(
    server: FakeSmsc, gateway: Smsc, lifetime: timedelta, valid: str
) -> None:
    assert isinstance(await gateway.send(message(lifetime=lifetime)), Accepted)
    assert server.messages[0].fields["valid"] == valid


async def test_a_call_spells_the_code_twice_and_names_no_sender(server: FakeSmsc, gateway: Smsc) -> None:
    assert await gateway.send(message(channel=Channel.VOICE)) == Accepted(provider_id=OWN, price=410)
    (call,) = server.messages
    assert (call.channel, call.sender) == (Channel.VOICE, None)
    assert call.text == "1, 2, 3, 4, 5, 6 – код CRM. 1, 2, 3, 4, 5, 6."
    assert server.code_for(NUMBER) == CODE
    # It rings twice at most: whoever does not want it is not called eight times.
    assert call.fields["param"] == "25,10,2"


async def test_a_call_without_the_code_in_its_text_says_it_all_the_same(server: FakeSmsc, gateway: Smsc) -> None:
    await gateway.send(message(channel=Channel.VOICE, text="Your code", code="000017"))
    assert server.inbox(NUMBER) == ["Your code. 0, 0, 0, 0, 1, 7."]


async def test_an_api_key_serves_instead_of_login_and_password(server: FakeSmsc) -> None:
    key = SecretStr(server.api_key)
    gateway = gateway_to(server, smsc_login=None, smsc_password=None, smsc_sender=None, smsc_api_key=key)
    assert isinstance(await gateway.send(MESSAGE), Accepted)
    await gateway.close()


@pytest.mark.parametrize("seed", [0, 1, 2**128 - 1, 2**31 - 1, 2**31 - 2])
def test_the_vendors_id_is_a_positive_31_bit_number(seed: int) -> None:
    assert 1 <= vendor_id(UUID(int=seed)) <= 2**31 - 1


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1, Misconfigured),
        (2, Misconfigured),
        (3, Unavailable),
        (4, Unavailable),
        (5, Misconfigured),
        (6, Refused),
        (7, InvalidNumber),
        (8, InvalidNumber),
        (9, Accepted),
        (77, Unavailable),
    ],
)
async def test_f05_each_error_of_the_vendor_has_its_class(
    server: FakeSmsc, gateway: Smsc, code: int, expected: type[SendResult]
) -> None:
    server.faults.append(Fault(error_code=code))
    assert type(await gateway.send(MESSAGE)) is expected


async def test_f05_too_many_calls_at_once_share_a_code_with_a_repeat(server: FakeSmsc, gateway: Smsc) -> None:
    server.faults.append(Fault(body=b'{"error": "too many concurrent requests", "error_code": 9}'))
    assert isinstance(await gateway.send(MESSAGE), Unavailable)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"id": null}'])
async def test_f02_what_nobody_knows_of_still_has_its_id(server: FakeSmsc, gateway: Smsc, body: bytes) -> None:
    server.faults += [Fault(body=body), Fault(drop=True)]
    for _ in range(2):
        result = await gateway.send(MESSAGE)
        assert isinstance(result, Unknown)
        assert result.provider_id == OWN


async def test_wrong_credentials_name_the_settings(server: FakeSmsc) -> None:
    gateway = gateway_to(server, smsc_password=SecretStr("not-this-one"))
    result = await gateway.send(MESSAGE)
    assert isinstance(result, Misconfigured)
    assert "SMSC_LOGIN" in result.detail
    assert "not-this-one" not in result.detail
    await gateway.close()


async def test_a_number_that_is_none_is_invalid(gateway: Smsc) -> None:
    assert isinstance(await gateway.send(message(number="+12")), InvalidNumber)


async def test_a_repeat_within_a_minute_was_taken_the_first_time(server: FakeSmsc, gateway: Smsc) -> None:
    first, second = [await gateway.send(MESSAGE) for _ in range(2)]
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert first.provider_id == second.provider_id
    assert server.inbox(NUMBER) == [TEXT]


async def test_numbers_in_quotes_are_read(server: FakeSmsc, gateway: Smsc) -> None:
    server.faults.append(Fault(body=b'{"id": "41", "cnt": 1, "cost": 3.001}'))
    server.faults.append(Fault(body=b'{"error": "x", "error_code": "7"}'))
    assert await gateway.send(MESSAGE) == Accepted(provider_id="41", price=301)
    assert isinstance(await gateway.send(MESSAGE), InvalidNumber)


@pytest.mark.parametrize("cost", ["", "free", "-1", "NaN", "1e99", "9" * 40, "Infinity"])
async def test_a_price_that_is_none_is_unknown(server: FakeSmsc, gateway: Smsc, cost: str) -> None:
    server.cost = cost
    assert await gateway.send(MESSAGE) == Accepted(provider_id=OWN)


async def test_roubles_are_no_price_in_another_currency(server: FakeSmsc) -> None:
    gateway = gateway_to(server, currency="KZT")
    assert await gateway.send(MESSAGE) == Accepted(provider_id=OWN)
    await gateway.close()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (-3, None),
        (-2, SendState.UNDELIVERED),
        (-1, None),
        (0, None),
        (1, SendState.DELIVERED),
        (2, SendState.DELIVERED),
        (4, SendState.DELIVERED),
        (3, SendState.UNDELIVERED),
        (6, SendState.UNDELIVERED),
        (20, SendState.UNDELIVERED),
        (22, SendState.UNDELIVERED),
        (23, SendState.UNDELIVERED),
        (24, SendState.UNDELIVERED),
        (25, SendState.UNDELIVERED),
        (99, None),
    ],
)
async def test_each_status_of_a_report(
    server: FakeSmsc, gateway: Smsc, status: int, expected: SendState | None
) -> None:
    found = await gateway.read_report(server.report(REPORTS, SENT, status).request())
    assert [(report.provider_id, report.state) for report in found] == ([(OWN, expected)] if expected else [])
    assert all(f"status {status}" in report.detail for report in found if expected is SendState.UNDELIVERED)


async def test_t14_a_repeated_report_says_the_same(server: FakeSmsc, gateway: Smsc) -> None:
    request = server.report(REPORTS, SENT, 1).request()
    assert [await gateway.read_report(request) for _ in range(3)] == [[Report(OWN, SendState.DELIVERED)]] * 3


def forged(report: RawReport, **changes: str | None) -> RawReport:
    form = dict(parse_qsl(report.body.decode())) | changes
    body = urlencode({name: value for name, value in form.items() if value is not None})
    return dataclasses.replace(report, body=body.encode())


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "20"},
        {"id": "7"},
        {"phone": "79160000000"},
        {"md5": None},
        {"md5": ""},
        {"md5": "0" * 32},
        {"md5": "ё" * 32},
        {"id": None},
        {"id": f"{OWN}:{NUMBER[1:]}", "phone": ""},
    ],
)
async def test_t14_a_forged_report_is_refused(server: FakeSmsc, gateway: Smsc, changes: dict[str, str | None]) -> None:
    report = forged(server.report(REPORTS, SENT, 1), **changes)
    with pytest.raises(ForgedReport):
        await gateway.read_report(report.request())


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe\x00", b"{}", b"&" * 5000, b"a=1&" * 5000, b"id=%FF&phone=%FF&status=%FF&md5=%FF"]
)
async def test_t14_garbage_is_refused(server: FakeSmsc, gateway: Smsc, body: bytes) -> None:
    with pytest.raises(ForgedReport):
        await gateway.read_report(dataclasses.replace(server.report(REPORTS, SENT, 1), body=body).request())


async def test_t14_a_report_of_hundreds_of_fields_is_not_read(server: FakeSmsc, gateway: Smsc) -> None:
    report = server.report(REPORTS, SENT, 1)
    with pytest.raises(ForgedReport):
        await gateway.read_report(dataclasses.replace(report, body=report.body + b"&a=1" * 600).request())


async def test_t14_a_report_with_another_secret_is_refused(server: FakeSmsc, gateway: Smsc) -> None:
    server.secret = "somebody-else's"
    with pytest.raises(ForgedReport):
        await gateway.read_report(server.report(REPORTS, SENT, 1).request())


async def test_t14_without_a_secret_every_report_is_refused(server: FakeSmsc) -> None:
    gateway = gateway_to(server, smsc_report_secret=None)
    server.secret = ""
    with pytest.raises(ForgedReport, match="SMSC_REPORT_SECRET"):
        await gateway.read_report(server.report(REPORTS, SENT, 1).request())
    await gateway.close()


async def test_a_proven_report_that_means_nothing_is_no_report(server: FakeSmsc, gateway: Smsc) -> None:
    for sms in (dataclasses.replace(SENT, id="abc"), dataclasses.replace(SENT, id="")):
        with pytest.raises(ValueError, match="without an id"):
            await gateway.read_report(server.report(REPORTS, sms, 1).request())
