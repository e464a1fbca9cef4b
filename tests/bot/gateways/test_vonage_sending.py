"""A message by Vonage: what is asked of it, what each of its answers means, and what may not be said."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from bot.gateways.vonage import Vonage, make_vonage
from bot.settings import Settings
from handlers.ports import (
    Accepted,
    CodeMessage,
    InvalidNumber,
    Misconfigured,
    Refused,
    ReportingGateway,
    SendResult,
    Unavailable,
    Unknown,
)
from storage.models import Channel
from tests.bot.gateways.vonage_stage import (
    ID,
    MESSAGE,
    NOW,
    NUMBER,
    REPORTS,
    SEND_ID,
    TEXT,
    gateway,
    gateway_to,
    server,
)
from tests.fakes.clock import MovableClock
from tests.fakes.vendor import Fault
from tests.fakes.vonage import FakeVonage

__all__ = ["gateway", "server"]


async def test_a_message_is_delivered_and_its_id_names_it(server: FakeVonage, gateway: Vonage) -> None:
    result = await gateway.send(MESSAGE)
    (sms,) = server.messages
    assert result == Accepted(provider_id=str(sms.id))
    assert (sms.number, sms.text, sms.sender, sms.channel) == (NUMBER, TEXT, "SHOP", Channel.SMS)
    assert sms.fields["callback"] == REPORTS
    assert (sms.fields["client-ref"], sms.fields["ttl"]) == (str(SEND_ID), "600000")
    assert server.code_for("7 916 123-45-67") == "012345"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("012345 – код CRM", "unicode"),
        ("012345 – your code", "unicode"),
        ("012345 is your `CRM` code", "unicode"),
        ("012345 is your CRM code", None),
        ("012345: €5 {each} ~ ÄÖÜ àéß Ω", None),
        ("012345 is " + "x" * 150, None),
    ],
)
async def test_only_what_gsm_7_cannot_say_is_sent_as_unicode(
    server: FakeVonage, gateway: Vonage, text: str, kind: str | None
) -> None:
    assert isinstance(await gateway.send(dataclasses.replace(MESSAGE, text=text)), Accepted)
    assert server.inbox(NUMBER) == [text]
    assert server.messages[0].fields.get("type") == kind


@pytest.mark.parametrize(("seconds", "ttl"), [(1, "20000"), (90, "90000"), (864_000, "604800000")])
async def test_a_message_lives_as_long_as_its_code(server: FakeVonage, gateway: Vonage, seconds: int, ttl: str) -> None:
    message = dataclasses.replace(MESSAGE, lifetime=timedelta(seconds=seconds))
    assert isinstance(await gateway.send(message), Accepted)
    assert server.messages[0].fields["ttl"] == ttl


@pytest.mark.parametrize(("currency", "price"), [("EUR", 4), ("RUB", None)])
async def test_the_price_is_told_in_euros_and_rounded_up(server: FakeVonage, currency: str, price: int | None) -> None:
    gateway = gateway_to(server, currency=currency)
    result = await gateway.send(MESSAGE)
    assert isinstance(result, Accepted)
    assert result.price == price
    await gateway.close()


async def test_the_settings_make_the_gateway(server: FakeVonage) -> None:
    settings = Settings(
        vonage_base_url=server.base_url,
        vonage_api_key=server.key,
        vonage_api_secret=SecretStr(server.secret),
        vonage_sender="SHOP",
    )
    gateway: ReportingGateway = make_vonage(settings, MovableClock(NOW), REPORTS)
    assert (gateway.name, gateway.channels, gateway.report_answer) == ("vonage", frozenset({Channel.SMS}), "")
    assert isinstance(await gateway.send(MESSAGE), Accepted)
    # Reports that cannot be proven are not asked for.
    assert "callback" not in server.messages[0].fields
    await gateway.close()
    signed = settings.model_copy(update={"vonage_signature_secret": SecretStr(server.signature_secret)})
    reporting = make_vonage(signed, MovableClock(NOW), REPORTS)
    assert isinstance(await reporting.send(MESSAGE), Accepted)
    assert server.messages[1].fields["callback"] == REPORTS
    assert await reporting.read_report(server.report(REPORTS, ID, "delivered", NOW).request())
    await reporting.close()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *[(status, Misconfigured) for status in (2, 3, 4, 8, 11, 14, 15, 23, 29, 32)],
        *[(status, Unavailable) for status in (1, 5, 9, 10, 22, 99)],
        *[(status, Refused) for status in (6, 7, 12)],
        (33, InvalidNumber),
    ],
)
async def test_f05_each_status_of_the_vendor_has_its_class(
    server: FakeVonage, gateway: Vonage, status: int, expected: type[SendResult]
) -> None:
    server.faults.append(Fault(error_code=status))
    result = await gateway.send(MESSAGE)
    assert isinstance(result, expected)
    if isinstance(result, Misconfigured):
        assert "VONAGE_" in result.detail or "PUBLIC_URL" in result.detail


async def test_wrong_credentials_in_a_200_name_the_settings(server: FakeVonage) -> None:
    gateway = gateway_to(server, secret="mistaken")
    result = await gateway.send(MESSAGE)
    assert isinstance(result, Misconfigured)
    assert "VONAGE_API_SECRET" in result.detail
    assert "mistaken" not in result.detail
    await gateway.close()


async def test_a_sender_that_is_not_ours_names_its_setting(server: FakeVonage) -> None:
    gateway = gateway_to(server, sender="OTHER")
    result = await gateway.send(MESSAGE)
    assert isinstance(result, Misconfigured)
    assert "VONAGE_SENDER" in result.detail
    await gateway.close()


@pytest.mark.parametrize("text", ["", "012345" * 12 + " код"])
async def test_f08_an_empty_or_too_long_text_costs_nothing(server: FakeVonage, gateway: Vonage, text: str) -> None:
    """The catalogue's texts fit one segment (a test holds it), so neither is ever sent; the vendor refuses both."""
    assert not isinstance(await gateway.send(dataclasses.replace(MESSAGE, text=text)), Accepted | Unknown)
    assert server.messages == []


async def test_f01_nobody_listens(server: FakeVonage, gateway: Vonage) -> None:
    await server.stop()
    assert isinstance(await gateway.send(MESSAGE), Unavailable)


async def test_f02_a_timeout_after_it_was_taken_is_unknown(server: FakeVonage) -> None:
    gateway = gateway_to(server, timeout=0.3)
    server.faults.append(Fault(takes=True, delay=2))
    assert isinstance(await gateway.send(MESSAGE), Unknown)
    assert server.inbox(NUMBER) == [TEXT]
    await gateway.close()


@pytest.mark.parametrize("takes", [True, False])
async def test_f02_a_lost_connection_is_unknown(server: FakeVonage, gateway: Vonage, takes: bool) -> None:
    server.faults.append(Fault(drop=True, takes=takes))
    assert isinstance(await gateway.send(MESSAGE), Unknown)
    assert server.requests == 1


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (500, {}, Unavailable("HTTP 500")),
        (503, {"Retry-After": "7"}, Unavailable("HTTP 503", 7.0)),
        (429, {}, Unavailable("HTTP 429")),
        (429, {"Retry-After": "Mon, 23 Nov 2026 12:00:30 GMT"}, Unavailable("HTTP 429", 30.0)),
        (429, {"Retry-After": "soon"}, Unavailable("HTTP 429")),
    ],
)
async def test_f03_server_errors_are_unavailable(
    server: FakeVonage, gateway: Vonage, status: int, headers: dict[str, str], expected: Unavailable
) -> None:
    server.faults.append(Fault(status=status, headers=headers))
    assert await gateway.send(MESSAGE) == expected


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 403, 404])
async def test_f03_redirects_and_client_errors_are_for_the_operator(
    server: FakeVonage, gateway: Vonage, status: int
) -> None:
    server.faults.append(Fault(status=status, headers={"Location": f"{server.base_url}/sms/json"}))
    result = await gateway.send(MESSAGE)
    assert isinstance(result, Misconfigured)
    assert "VONAGE_" in result.detail
    assert (server.requests, server.messages) == (1, [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<xml/>",
        b"[1]",
        b"{}",
        b'{"messages": []}',
        b'{"messages": {}}',
        b'{"messages": ["0"]}',
        b'{"messages": [{}]}',
        b'{"messages": [{"status": null}]}',
        b'{"messages": [{"status": "zero"}]}',
        b'{"messages": [{"status": true}]}',
        b"\xff\xfe",
        b'{"messages": [{"status": "0"}], "x": "' + b"x" * 100_000 + b'"}',
        b"[" * 60_000,
    ],
)
async def test_f04_an_unreadable_answer_is_unknown(server: FakeVonage, gateway: Vonage, body: bytes) -> None:
    server.faults.append(Fault(body=body))
    assert isinstance(await gateway.send(MESSAGE), Unknown)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([{"status": "0", "message-id": ID}, {"status": "0", "message-id": "B"}], Accepted(ID)),
        ([{"status": 0}], Accepted(None)),
        ([{"status": "0", "message-id": ID, "message-price": "free"}], Accepted(ID)),
        ([{"status": "0", "message-id": ID, "message-price": "0.05"}], Accepted(ID, 5)),
        (
            [{"status": "0", "message-id": ID, "message-price": "0.051"}, {"status": "0", "message-price": "1"}],
            Accepted(ID, 106),
        ),
        ([{"status": "0", "message-id": ID}, {"status": "9"}], Unknown("an answer that takes only a part")),
        ([{"status": "9"}, {"status": "0", "message-id": ID}], Unknown("an answer that takes only a part")),
        ([{"status": "0", "message-id": ID}, {}], Unknown("an answer that takes only a part")),
        ([{"status": "9"}, {"status": "9"}], Unavailable("status 9")),
    ],
)
async def test_every_part_must_have_status_0(
    server: FakeVonage, parts: list[dict[str, Any]], expected: SendResult
) -> None:
    gateway = gateway_to(server, currency="EUR")
    server.faults.append(Fault(body=json.dumps({"message-count": str(len(parts)), "messages": parts}).encode()))
    assert await gateway.send(MESSAGE) == expected
    await gateway.close()


async def test_parallel_messages_do_not_mix(server: FakeVonage, gateway: Vonage) -> None:
    numbers = [f"+7916000{i:04}" for i in range(20)]
    messages = [
        CodeMessage(number, f"{i:06} – код", f"{i:06}", "ru", Channel.SMS, uuid4(), timedelta(minutes=1))
        for i, number in enumerate(numbers)
    ]
    await asyncio.gather(*(gateway.send(message) for message in messages))
    assert [server.code_for(number) for number in numbers] == [f"{i:06}" for i in range(20)]


async def test_t25_nothing_secret_is_said(
    server: FakeVonage, gateway: Vonage, caplog: pytest.LogCaptureFixture
) -> None:
    said = repr(gateway) + repr(MESSAGE)
    with caplog.at_level(logging.DEBUG):
        for fault in (None, Fault(error_code=3), Fault(drop=True), Fault(status=500), Fault(body=b"?")):
            if fault:
                server.faults.append(fault)
            said += repr(await gateway.send(MESSAGE))
    said += caplog.text
    secrets = (NUMBER[1:], "012345", server.secret, server.signature_secret)
    assert [secret for secret in secrets if secret in said] == []
