"""A message or a call by Twilio: what is asked of it, what each of its answers means, and what may not be said."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from datetime import timedelta
from uuid import uuid4

import pytest
from pydantic import SecretStr

from bot.gateways.twilio import Twilio, make_twilio
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
from tests.bot.gateways.twilio_stage import (
    CLOCK,
    MESSAGE,
    NUMBER,
    REPORTS,
    SID,
    SPOKEN,
    TEXT,
    gateway,
    gateway_to,
    server,
)
from tests.fakes.twilio import SERVICE, FakeTwilio
from tests.fakes.vendor import Fault

__all__ = ["gateway", "server"]


async def test_a_message_is_delivered_and_its_sid_names_it(server: FakeTwilio, gateway: Twilio) -> None:
    result = await gateway.send(MESSAGE)
    (sms,) = server.messages
    assert result == Accepted(provider_id=str(sms.id))
    assert (sms.number, sms.text, sms.sender, sms.channel) == (NUMBER, TEXT, "SHOP", Channel.SMS)
    assert (sms.fields["StatusCallback"], sms.fields["ValidityPeriod"]) == (REPORTS, "600")
    assert server.code_for("7 916 123-45-67") == "012345"


@pytest.mark.parametrize(("lifetime", "seconds"), [(0.2, "1"), (90, "90"), (36_000, "36000"), (90_000, "36000")])
async def test_a_message_lives_as_long_as_its_code(
    server: FakeTwilio, gateway: Twilio, lifetime: float, seconds: str
) -> None:
    message = dataclasses.replace(MESSAGE, lifetime=timedelta(seconds=lifetime))
    assert isinstance(await gateway.send(message), Accepted)
    assert server.messages[0].fields["ValidityPeriod"] == seconds


@pytest.mark.parametrize("sender", ["SHOP", "+15005550006", SERVICE])
async def test_a_name_a_number_and_a_messaging_service_send(server: FakeTwilio, sender: str) -> None:
    gateway = gateway_to(server, sender=sender, report_url=None)
    assert isinstance(await gateway.send(MESSAGE), Accepted)
    assert server.messages[0].sender == sender
    assert "StatusCallback" not in server.messages[0].fields
    await gateway.close()


async def test_the_settings_make_the_gateway(server: FakeTwilio) -> None:
    settings = Settings(
        twilio_base_url=server.base_url,
        twilio_account_sid=server.account,
        twilio_auth_token=SecretStr(server.token),
        twilio_sender="SHOP",
    )
    gateway: ReportingGateway = make_twilio(settings, CLOCK, REPORTS)
    assert (gateway.name, gateway.channels, gateway.report_answer) == ("twilio", frozenset({Channel.SMS}), "")
    assert isinstance(await gateway.send(MESSAGE), Accepted)
    assert isinstance(await gateway.send(SPOKEN), Misconfigured)
    await gateway.close()
    calling = make_twilio(settings.model_copy(update={"twilio_voice_number": server.voice_number}), CLOCK, None)
    assert calling.channels == {Channel.SMS, Channel.VOICE}
    assert isinstance(await calling.send(SPOKEN), Accepted)
    await calling.close()


@pytest.mark.parametrize(
    ("language", "text", "voice", "said"),
    [
        ("ru", TEXT, "ru-RU", "0, 1, 2, 3, 4, 5 – код CRM"),
        ("en", "012345 is your <A&B> code", "en-US", "0, 1, 2, 3, 4, 5 is your <A&B> code"),
        ("kk", "012345 – CRM коды", "en-US", "0, 1, 2, 3, 4, 5"),
    ],
)
async def test_a_call_says_the_code_twice_digit_by_digit(
    server: FakeTwilio, gateway: Twilio, language: str, text: str, voice: str, said: str
) -> None:
    message = dataclasses.replace(SPOKEN, language=language, text=text)
    result = await gateway.send(message)
    (call,) = server.messages
    assert result == Accepted(provider_id=str(call.id))
    assert (call.channel, call.sender, call.text) == (Channel.VOICE, server.voice_number, f"{said} … {said}")
    assert (server.language, call.fields["StatusCallback"]) == (voice, REPORTS)
    assert server.code_for(NUMBER) == "012345"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *[(code, InvalidNumber) for code in (21211, 21217, 21265, 21614, 21635)],
        *[(code, Refused) for code in (13224, 13227, 21214, 21215, 21216, 21408, 21610, 21612, 30450, 30453)],
        *[(code, Misconfigured) for code in (20003, 20008, 20403, 20404, 10002, 21219, 21267, 21608, 21205, 21609)],
        *[(code, Misconfigured) for code in (21210, 21212, 21213, 21401, 21601, 21603, 21606, 21659, 21660, 21661)],
        *[(code, Misconfigured) for code in (21701, 21702, 21703, 21704, 21705)],
        *[(code, Unavailable) for code in (10001, 14107, 20005, 20429, 20500, 20503, 21611, 63038, 99999)],
    ],
)
async def test_f05_each_error_of_the_vendor_has_its_class(
    server: FakeTwilio, gateway: Twilio, code: int, expected: type[SendResult]
) -> None:
    for message in (MESSAGE, SPOKEN):
        server.faults.append(Fault(error_code=code))
        result = await gateway.send(message)
        assert isinstance(result, expected)
        assert "number that the request named" not in repr(result)
        if isinstance(result, Misconfigured):
            assert "TWILIO_" in result.detail or "PUBLIC_URL" in result.detail


async def test_a_sender_that_is_not_ours_names_its_setting(server: FakeTwilio) -> None:
    gateway = gateway_to(server, sender="OTHER", voice="+15005550011")
    assert await gateway.send(MESSAGE) == Misconfigured(
        "code 21659: this account cannot send from there; see TWILIO_SENDER"
    )
    assert await gateway.send(SPOKEN) == Misconfigured(
        "code 21210: this account cannot send from there; see TWILIO_VOICE_NUMBER"
    )
    await gateway.close()


async def test_wrong_credentials_name_the_settings(server: FakeTwilio) -> None:
    gateway = gateway_to(server, token="a-mistaken-token-ключ")
    result = await gateway.send(MESSAGE)
    assert isinstance(result, Misconfigured)
    assert "TWILIO_AUTH_TOKEN" in result.detail
    assert "mistaken" not in result.detail
    await gateway.close()


async def test_a_number_that_is_none_is_invalid(gateway: Twilio) -> None:
    assert isinstance(await gateway.send(dataclasses.replace(MESSAGE, number="+12")), InvalidNumber)


@pytest.mark.parametrize("text", ["", "012345" * 12 + " код"])
async def test_f08_an_empty_or_too_long_text_costs_nothing(server: FakeTwilio, gateway: Twilio, text: str) -> None:
    """The catalogue's texts fit one segment (a test holds it), so neither is ever sent; the vendor refuses both."""
    assert isinstance(await gateway.send(dataclasses.replace(MESSAGE, text=text)), Unavailable)
    assert server.messages == []


async def test_f01_nobody_listens(server: FakeTwilio, gateway: Twilio) -> None:
    await server.stop()
    assert isinstance(await gateway.send(MESSAGE), Unavailable)


@pytest.mark.parametrize("message", [MESSAGE, SPOKEN])
async def test_f02_a_timeout_after_it_was_taken_is_unknown(server: FakeTwilio, message: CodeMessage) -> None:
    gateway = gateway_to(server, timeout=0.3)
    server.faults.append(Fault(takes=True, delay=2))
    assert isinstance(await gateway.send(message), Unknown)
    assert len(server.inbox(NUMBER)) == 1
    await gateway.close()


@pytest.mark.parametrize("takes", [True, False])
async def test_f02_a_lost_connection_is_unknown(server: FakeTwilio, gateway: Twilio, takes: bool) -> None:
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
        (400, {"Retry-After": "9"}, Unavailable("code 63038", 9.0)),
    ],
)
async def test_f03_what_passes_is_unavailable(
    server: FakeTwilio, gateway: Twilio, status: int, headers: dict[str, str], expected: Unavailable
) -> None:
    body = json.dumps({"code": 63038, "status": status}).encode()
    server.faults.append(Fault(status=status, headers=headers, body=body))
    assert await gateway.send(MESSAGE) == expected


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 403, 404])
async def test_f03_redirects_and_client_errors_are_for_the_operator(
    server: FakeTwilio, gateway: Twilio, status: int
) -> None:
    target = f"{server.base_url}/2010-04-01/Accounts/{server.account}/Messages.json"
    server.faults.append(Fault(status=status, headers={"Location": target}))
    result = await gateway.send(MESSAGE)
    assert isinstance(result, Misconfigured)
    assert "TWILIO_" in result.detail
    assert (server.requests, server.messages) == (1, [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<xml/>",
        b"[1]",
        b"{}",
        b'{"sid": null}',
        b'{"sid": 7}',
        b'{"sid": "SM12"}',
        b"\xff\xfe",
        b'{"sid": "' + SID.encode() + b'", "x": "' + b"x" * 100_000 + b'"}',
        b"[" * 60_000,
    ],
)
async def test_f04_an_unreadable_answer_is_unknown(server: FakeTwilio, gateway: Twilio, body: bytes) -> None:
    server.faults.append(Fault(body=body, status=201))
    assert isinstance(await gateway.send(MESSAGE), Unknown)


async def test_parallel_messages_do_not_mix(server: FakeTwilio, gateway: Twilio) -> None:
    numbers = [f"+7916000{i:04}" for i in range(20)]
    messages = [
        CodeMessage(number, f"{i:06} – код", f"{i:06}", "ru", Channel.SMS, uuid4(), timedelta(minutes=1))
        for i, number in enumerate(numbers)
    ]
    await asyncio.gather(*(gateway.send(message) for message in messages))
    assert [server.code_for(number) for number in numbers] == [f"{i:06}" for i in range(20)]


async def test_t25_nothing_secret_is_said(
    server: FakeTwilio, gateway: Twilio, caplog: pytest.LogCaptureFixture
) -> None:
    said = repr(gateway) + repr(MESSAGE)
    with caplog.at_level(logging.DEBUG):
        for fault in (None, Fault(error_code=21211), Fault(drop=True), Fault(status=500), Fault(body=b"?")):
            if fault:
                server.faults.append(fault)
            said += repr(await gateway.send(MESSAGE))
    said += caplog.text
    assert [secret for secret in (NUMBER[1:], "012345", server.token) if secret in said] == []
