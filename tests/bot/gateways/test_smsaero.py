from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from bot.gateways.smsaero import SmsAero, make_smsaero
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
from tests.bot.gateways.cases import MESSAGE, NUMBER, TEXT, message, of_smsaero
from tests.fakes.clock import MovableClock
from tests.fakes.smsaero import FakeSmsAero
from tests.fakes.vendor import Fault, RawReport

BASE = "https://bot.example.com/reports/smsaero"
REPORTS = f"{BASE}/{'5ec2e7' * 8}"
FIRST = "381000000"


@pytest.fixture
async def server() -> AsyncIterator[FakeSmsAero]:
    fake = FakeSmsAero()
    await fake.start()
    yield fake
    await fake.stop()


def gateway_to(server: FakeSmsAero, report_url: str | None = REPORTS, **changes: Any) -> SmsAero:
    account = of_smsaero().account | {"smsaero_base_url": server.base_url} | changes
    return make_smsaero(Settings(**account), MovableClock(), report_url)


@pytest.fixture
async def gateway(server: FakeSmsAero) -> AsyncIterator[SmsAero]:
    made = gateway_to(server)
    yield made
    await made.close()


def test_it_is_a_reporting_gateway(gateway: SmsAero) -> None:
    reporting: ReportingGateway = gateway
    assert (reporting.name, reporting.channels) == ("smsaero", frozenset({Channel.SMS}))


async def test_a_message_goes_with_the_sign_and_where_to_report(server: FakeSmsAero, gateway: SmsAero) -> None:
    assert await gateway.send(MESSAGE) == Accepted(provider_id=FIRST, price=549)
    (sms,) = server.messages
    assert sms.fields == {"number": NUMBER[1:], "sign": "SMS Aero", "text": TEXT, "callbackUrl": REPORTS}


@pytest.mark.parametrize("report_url", [None, BASE, BASE + "/", BASE + "/short"])
async def test_without_a_secret_address_nothing_is_reported(server: FakeSmsAero, report_url: str | None) -> None:
    gateway = gateway_to(server, report_url)
    assert isinstance(await gateway.send(MESSAGE), Accepted)
    assert "callbackUrl" not in server.messages[0].fields
    await gateway.close()


async def test_a_cyrillic_sign_is_sent_as_it_is(server: FakeSmsAero) -> None:
    server.sign = "Ромашка"
    gateway = gateway_to(server, smsaero_sign="Ромашка")
    assert isinstance(await gateway.send(MESSAGE), Accepted)
    await gateway.close()


@pytest.mark.parametrize("cost", [None, "free", True, [], -1])
async def test_a_price_that_is_none_is_unknown(server: FakeSmsAero, gateway: SmsAero, cost: object) -> None:
    server.cost = cost
    assert await gateway.send(MESSAGE) == Accepted(provider_id=FIRST)


async def test_roubles_are_no_price_in_another_currency(server: FakeSmsAero) -> None:
    gateway = gateway_to(server, currency="EUR")
    assert await gateway.send(MESSAGE) == Accepted(provider_id=FIRST)
    await gateway.close()


@pytest.mark.parametrize(
    ("code", "expected", "setting"),
    [
        ("number", InvalidNumber, ""),
        ("number: in blacklist", Refused, ""),
        ("sign", Misconfigured, "SMSAERO_SIGN"),
        ("text", Refused, ""),
        ("callbackUrl", Misconfigured, "PUBLIC_URL"),
        ("something", Unavailable, ""),
        ("no credits", Unavailable, ""),
        ("no money", Unavailable, ""),
        ("black list", Refused, ""),
        ("sender", Misconfigured, "SMSAERO_SIGN"),
        ("destination", InvalidNumber, ""),
        ("user", Misconfigured, "SMSAERO_API_KEY"),
        ("rejected", Refused, ""),
        ("new", Unavailable, ""),
    ],
)
async def test_f05_each_refusal_of_the_vendor_has_its_class(
    server: FakeSmsAero, gateway: SmsAero, code: str, expected: type[SendResult], setting: str
) -> None:
    server.faults.append(Fault(error_code=code))
    result = await gateway.send(MESSAGE)
    assert type(result) is expected
    assert setting in getattr(result, "detail", "")
    assert server.messages == []


@pytest.mark.parametrize(
    ("state", "expected"),
    [(0, Accepted), (1, Accepted), (2, Refused), (3, Accepted), (4, Accepted), (6, Refused), (8, Accepted)],
)
async def test_f05_each_first_state_of_a_message(
    server: FakeSmsAero, gateway: SmsAero, state: int, expected: type[SendResult]
) -> None:
    server.first_state = state
    assert isinstance(await gateway.send(MESSAGE), expected)


@pytest.mark.parametrize("body", [b'{"success": 1, "data": {"id": 1}}', b'{"success": "true", "data": {"id": 1}}'])
async def test_only_a_plain_true_is_success(server: FakeSmsAero, gateway: SmsAero, body: bytes) -> None:
    server.faults.append(Fault(body=body))
    assert not isinstance(await gateway.send(MESSAGE), Accepted)


async def test_an_answer_that_is_none_of_its_kinds_is_unknown(server: FakeSmsAero, gateway: SmsAero) -> None:
    server.faults.append(Fault(body=b'{"id": 1, "status": 0}'))
    assert isinstance(await gateway.send(MESSAGE), Unknown)


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"smsaero_api_key": SecretStr("not-this-one")}, "SMSAERO_API_KEY"),
        ({"smsaero_email": "other@example.com"}, "SMSAERO_EMAIL"),
        ({"smsaero_sign": "Somebody"}, "SMSAERO_SIGN"),
    ],
)
async def test_what_the_vendor_does_not_know_names_the_setting(
    server: FakeSmsAero, change: dict[str, Any], setting: str
) -> None:
    gateway = gateway_to(server, **change)
    result = await gateway.send(MESSAGE)
    assert isinstance(result, Misconfigured)
    assert setting in result.detail
    assert "not-this-one" not in result.detail
    await gateway.close()


async def test_a_number_that_is_none_is_invalid(gateway: SmsAero) -> None:
    assert isinstance(await gateway.send(message(number="+12")), InvalidNumber)


async def sent(server: FakeSmsAero, gateway: SmsAero, status: int, *, as_json: bool = False) -> RawReport:
    assert isinstance(await gateway.send(MESSAGE), Accepted)
    return server.report(server.messages[-1], status, as_json=as_json)


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0, None),
        (1, SendState.DELIVERED),
        (2, SendState.UNDELIVERED),
        (3, None),
        (4, None),
        (6, SendState.UNDELIVERED),
        (8, None),
    ],
)
async def test_each_status_of_a_report(
    server: FakeSmsAero, gateway: SmsAero, status: int, expected: SendState | None, as_json: bool
) -> None:
    report = await sent(server, gateway, status, as_json=as_json)
    found = await gateway.read_report(report.request())
    assert [(told.provider_id, told.state) for told in found] == ([(FIRST, expected)] if expected else [])
    assert all(f"status {status}" in told.detail for told in found if expected is SendState.UNDELIVERED)


async def test_t14_the_status_is_the_vendors_whatever_the_report_says(server: FakeSmsAero, gateway: SmsAero) -> None:
    report = await sent(server, gateway, 1)
    lie = dataclasses.replace(report, body=report.body.replace(b"status=1", b"status=2"))
    assert lie != report
    assert await gateway.read_report(lie.request()) == [Report(FIRST, SendState.DELIVERED)]


async def test_t14_an_old_report_tells_what_is_so_now(server: FakeSmsAero, gateway: SmsAero) -> None:
    old = await sent(server, gateway, 2)
    server.states[int(FIRST)] = 1
    found = [await gateway.read_report(old.request()) for _ in range(3)]
    assert found == [[Report(FIRST, SendState.DELIVERED)]] * 3


@pytest.mark.parametrize("secret", ["", "/", "/wrong", "/" + "0" * 64, "/" + "ё" * 64])
async def test_t14_a_report_without_the_secret_is_refused(server: FakeSmsAero, gateway: SmsAero, secret: str) -> None:
    report = await sent(server, gateway, 1)
    asked = server.requests
    with pytest.raises(ForgedReport):
        await gateway.read_report(dataclasses.replace(report, url=BASE + secret).request())
    # Strangers cannot make the bot call anybody.
    assert server.requests == asked


@pytest.mark.parametrize("report_url", [None, BASE, BASE + "/", BASE + "/short"])
async def test_t14_where_nothing_can_be_proven_every_report_is_refused(
    server: FakeSmsAero, gateway: SmsAero, report_url: str | None
) -> None:
    report = await sent(server, gateway, 1)
    other = gateway_to(server, report_url)
    for url in (BASE, BASE + "/smsaero", BASE + "/short", REPORTS):
        with pytest.raises(ForgedReport, match="no address"):
            await other.read_report(dataclasses.replace(report, url=url).request())
    await other.close()


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"{}", b"[1]", b"id=abc", b'{"id": true}', b"id=" + b"9" * 5000])
async def test_t14_garbage_is_no_report(server: FakeSmsAero, gateway: SmsAero, body: bytes) -> None:
    report = await sent(server, gateway, 1)
    with pytest.raises(ValueError, match="without the id"):
        await gateway.read_report(dataclasses.replace(report, body=body).request())


async def test_t14_a_message_that_the_vendor_does_not_know_says_nothing(server: FakeSmsAero, gateway: SmsAero) -> None:
    report = await sent(server, gateway, 1)
    unknown = dataclasses.replace(report, body=b"id=17&status=1")
    assert await gateway.read_report(unknown.request()) == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(drop=True),
        Fault(body=b""),
        Fault(body=b'{"success": true, "data": null}'),
        Fault(body=b'{"success": true, "data": {"id": 17, "status": 1}}'),
        Fault(body=b'{"success": false, "data": {"id": 381000000, "status": 1}}'),
    ],
)
async def test_a_status_that_cannot_be_asked_says_nothing(server: FakeSmsAero, gateway: SmsAero, fault: Fault) -> None:
    report = await sent(server, gateway, 1)
    server.faults.append(fault)
    assert await gateway.read_report(report.request()) == []
