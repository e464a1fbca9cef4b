"""Reports of Twilio: what each says of a message or a call, and T14: only what it signed is believed."""

from __future__ import annotations

import dataclasses

import pytest

from bot.gateways.twilio import Twilio
from handlers.ports import ForgedReport, Report, ReportRequest
from storage.models import SendState
from tests.bot.gateways.twilio_stage import REPORTS, SID, gateway, gateway_to, server
from tests.fakes.twilio import FakeTwilio

__all__ = ["gateway", "server"]

CALL = "CA" + "0a" * 16


def with_header(request: ReportRequest, value: str) -> ReportRequest:
    return dataclasses.replace(request, headers={**request.headers, "x-twilio-signature": value})


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *[(status, None) for status in ("queued", "accepted", "scheduled", "sending", "sent")],
        ("delivered", SendState.DELIVERED),
        ("read", SendState.DELIVERED),
        ("undelivered", SendState.UNDELIVERED),
        ("failed", SendState.UNDELIVERED),
        ("canceled", SendState.UNDELIVERED),
    ],
)
async def test_each_status_of_a_message(
    server: FakeTwilio, gateway: Twilio, status: str, expected: SendState | None
) -> None:
    reports = await gateway.read_report(server.report(REPORTS, SID, status).request())
    assert [(report.provider_id, report.state) for report in reports] == ([(SID, expected)] if expected else [])


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *[(status, None) for status in ("queued", "initiated", "ringing", "answered", "in-progress")],
        ("completed", SendState.DELIVERED),
        *[(status, SendState.UNDELIVERED) for status in ("busy", "failed", "no-answer", "canceled")],
    ],
)
async def test_each_status_of_a_call(
    server: FakeTwilio, gateway: Twilio, status: str, expected: SendState | None
) -> None:
    reports = await gateway.read_report(server.report(REPORTS, CALL, status).request())
    assert [(report.provider_id, report.state) for report in reports] == ([(CALL, expected)] if expected else [])


async def test_a_failure_says_why_and_of_whom_nothing(server: FakeTwilio, gateway: Twilio) -> None:
    (report,) = await gateway.read_report(server.report(REPORTS, SID, "undelivered", 30006).request())
    assert report == Report(SID, SendState.UNDELIVERED, "undelivered, code 30006")


async def test_the_signature_is_the_one_of_twilios_own_example(server: FakeTwilio) -> None:
    """Twilio's documentation of its signature gives address, fields, token ("12345") and result."""
    gateway = gateway_to(server, token="12345")
    body = b"CallSid=CA1234567890ABCDE&Caller=%2B12349013030&Digits=1234&From=%2B12349013030&To=%2B18005551212"
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    request = ReportRequest("POST", url, "", {"x-twilio-signature": "0/KCTR6DLpKmkAf8muzZqo1nDgQ="}, {}, body)
    with pytest.raises(ValueError, match="without a sid"):
        await gateway.read_report(request)
    with pytest.raises(ForgedReport):
        await gateway.read_report(dataclasses.replace(request, body=body + b"5"))
    await gateway.close()


@pytest.mark.parametrize(
    ("told", "signed"),
    [
        ("https://bot.example.com/reports/twilio?a=1", "https://bot.example.com:443/reports/twilio?a=1"),
        ("https://bot.example.com:8443/reports/twilio", "https://bot.example.com/reports/twilio"),
        ("http://bot.example.com/reports/twilio", "http://bot.example.com:80/reports/twilio"),
    ],
)
async def test_twilio_may_sign_the_address_with_its_port_or_without(
    server: FakeTwilio, gateway: Twilio, told: str, signed: str
) -> None:
    fields = {"MessageSid": SID, "MessageStatus": "delivered"}
    assert await gateway.read_report(server.signed(told, fields, over=signed).request())
    with pytest.raises(ForgedReport):
        await gateway.read_report(server.signed(told, fields, over="https://other.example.com/").request())


async def test_t14_a_forged_report_is_refused(server: FakeTwilio, gateway: Twilio) -> None:
    raw = server.report(REPORTS, SID, "failed", 30003)
    real = raw.request()
    assert await gateway.read_report(real)
    foreign = FakeTwilio("another-token").report(REPORTS, SID, "delivered").request()
    forged = [
        foreign,
        with_header(real, ""),
        with_header(real, "\udcff?"),
        with_header(real, real.headers["x-twilio-signature"].lower()),
        dataclasses.replace(real, headers={}),
        dataclasses.replace(real, body=real.body.replace(b"failed", b"delivered")),
        dataclasses.replace(real, body=real.body + b"&ErrorCode=30004"),
        dataclasses.replace(real, body=b"\xff\xfe\x00"),
        dataclasses.replace(real, body=b""),
        dataclasses.replace(real, url=real.url + "?a=1"),
        dataclasses.replace(real, url=real.url.replace("bot.", "bat.")),
        dataclasses.replace(real, method="GET"),
    ]
    for request in forged:
        with pytest.raises(ForgedReport):
            await gateway.read_report(request)


async def test_t14_without_a_token_every_report_is_refused(server: FakeTwilio) -> None:
    gateway = gateway_to(server, token="")
    with pytest.raises(ForgedReport):
        await gateway.read_report(FakeTwilio("").report(REPORTS, SID, "delivered").request())
    await gateway.close()


async def test_t14_a_repeated_report_says_the_same_again(server: FakeTwilio, gateway: Twilio) -> None:
    """Twilio signs no moment, so the same report is read each time; that it changes nothing is the ledger's part."""
    request = server.report(REPORTS, SID, "delivered").request()
    assert await gateway.read_report(request) == await gateway.read_report(request) == [
        Report(SID, SendState.DELIVERED)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"MessageSid": "", "MessageStatus": "delivered"},
        {"MessageSid": "SM1; DROP", "MessageStatus": "delivered"},
        {"MessageSid": SID},
        {"MessageSid": SID, "MessageStatus": "enchanted"},
        {"MessageSid": SID, "CallStatus": "completed"},
        {"CallSid": CALL, "MessageStatus": "delivered"},
    ],
)
async def test_t14_garbage_with_a_right_signature_is_a_value_error(
    server: FakeTwilio, gateway: Twilio, fields: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="a report with"):
        await gateway.read_report(server.signed(REPORTS, fields).request())
