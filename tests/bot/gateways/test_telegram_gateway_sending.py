"""A code by Telegram's gateway: checked first, then sent; what each answer to them means, and what is never said."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from uuid import uuid4

import pytest
from pydantic import SecretStr

from bot.gateways.telegram_gateway import Telegram, make_telegram
from bot.settings import Settings
from handlers.ports import Accepted, CodeMessage, Misconfigured, ReportingGateway, SendResult, Unavailable, Unknown
from storage.models import Channel
from tests.bot.gateways.telegram_gateway_stage import (
    ID,
    NUMBER,
    REPORTS,
    FixedClock,
    gateway,
    gateway_to,
    message,
    server,
)
from tests.fakes.telegram_gateway import FakeTelegramGateway
from tests.fakes.vendor import Fault

__all__ = ["gateway", "server"]

CHECK, SEND = "/checkSendAbility", "/sendVerificationMessage"


async def send_once(gateway: Telegram, what: CodeMessage | None = None) -> SendResult:
    result = await gateway.send(what or message())
    await gateway.close()
    return result


async def test_a_code_arrives_in_telegram_for_the_price_of_one_check(
    server: FakeTelegramGateway, gateway: Telegram
) -> None:
    result = await gateway.send(message())
    (sms,) = server.messages
    assert result == Accepted(provider_id=str(sms.id), price=None)
    assert (sms.number, sms.channel, sms.sender) == (NUMBER, Channel.TELEGRAM, "shop_codes")
    assert server.code_for(NUMBER) == "012345"
    assert (sms.fields["ttl"], sms.fields["payload"], sms.fields["callback_url"]) == ("60", str(ID), REPORTS)
    assert server.balance == 999
    assert server.requests == 2


async def test_the_settings_make_the_gateway(server: FakeTelegramGateway) -> None:
    settings = Settings(
        telegram_gateway_base_url=server.base_url,
        telegram_gateway_token=SecretStr(server.token),
        telegram_gateway_sender=server.channel,
        verification_message_ttl=timedelta(seconds=90),
    )
    gateway: ReportingGateway = make_telegram(settings, FixedClock(), REPORTS)
    assert (gateway.name, gateway.channels) == ("telegram", frozenset({Channel.TELEGRAM}))
    assert isinstance(await gateway.send(message()), Accepted)
    assert server.messages[0].fields["ttl"] == "90"
    assert gateway.report_answer
    await gateway.close()


async def test_without_a_channel_and_a_report_address_neither_is_said(server: FakeTelegramGateway) -> None:
    result = await send_once(gateway_to(server.base_url, sender=None, report_url=None))
    assert isinstance(result, Accepted)
    assert set(server.messages[0].fields) == {"phone_number", "request_id", "code", "ttl", "payload"}


@pytest.mark.parametrize(
    ("ttl", "lifetime", "said"),
    [(60, 600, "60"), (5, 600, "30"), (7200, 86400, "3600"), (600, 120, "120"), (60, 3, "30")],
)
async def test_the_time_to_live_is_within_what_the_vendor_takes(
    server: FakeTelegramGateway, ttl: float, lifetime: float, said: str
) -> None:
    result = await send_once(gateway_to(server.base_url, ttl=ttl), message(lifetime=lifetime))
    assert isinstance(result, Accepted)
    assert server.messages[0].fields["ttl"] == said


async def test_who_is_not_on_telegram_is_left_to_the_next_gateway_for_nothing(
    server: FakeTelegramGateway, gateway: Telegram
) -> None:
    server.strangers.add(NUMBER)
    assert await gateway.send(message()) == Unavailable("PHONE_NUMBER_NOT_FOUND")
    assert server.requests == 1
    assert server.balance == 1000


async def test_no_money_is_left_to_the_next_gateway(server: FakeTelegramGateway, gateway: Telegram) -> None:
    server.balance = 0
    assert await gateway.send(message()) == Unavailable("BALANCE_NOT_ENOUGH")
    assert server.messages == []


@pytest.mark.parametrize("path", [CHECK, SEND])
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ACCESS_TOKEN_INVALID", "TELEGRAM_GATEWAY_TOKEN"),
        ("ACCESS_TOKEN_REQUIRED", "TELEGRAM_GATEWAY_TOKEN"),
        ("SENDER_USERNAME_INVALID", "TELEGRAM_GATEWAY_SENDER"),
        ("SENDER_NOT_VERIFIED", "TELEGRAM_GATEWAY_SENDER"),
        ("SENDER_NOT_OWNED", "TELEGRAM_GATEWAY_SENDER"),
        ("CALLBACK_URL_INVALID", "PUBLIC_URL"),
        ("TTL_INVALID", "VERIFICATION_MESSAGE_TTL"),
        ("UNKNOWN_METHOD", "TELEGRAM_GATEWAY_BASE_URL"),
    ],
)
async def test_f05_what_the_operator_must_mend_names_the_setting(
    server: FakeTelegramGateway, gateway: Telegram, path: str, code: str, expected: str
) -> None:
    server.faults.append(Fault(error_code=code, path=path))
    assert await gateway.send(message()) == Misconfigured(f"{code}: see {expected}")


@pytest.mark.parametrize("path", [CHECK, SEND])
@pytest.mark.parametrize(
    "code",
    [
        "PHONE_NUMBER_NOT_FOUND",
        "PHONE_NUMBER_NOT_AVAILABLE",
        "PHONE_NUMBER_INVALID",
        "PHONE_NUMBER_BLOCKED",
        "BALANCE_NOT_ENOUGH",
        "CODE_INVALID",
        "PAYLOAD_INVALID",
        "REQUEST_ID_INVALID",
        "PHONE_NUMBER_MISMATCH",
        "SOMETHING_NEW",
    ],
)
async def test_f05_every_other_error_sent_nothing(
    server: FakeTelegramGateway, gateway: Telegram, path: str, code: str
) -> None:
    server.faults.append(Fault(error_code=code, path=path))
    assert await gateway.send(message()) == Unavailable(code)


@pytest.mark.parametrize("path", [CHECK, SEND])
async def test_f03_a_flood_wait_says_how_long(server: FakeTelegramGateway, gateway: Telegram, path: str) -> None:
    server.faults.append(Fault(error_code="FLOOD_WAIT_17", path=path))
    assert await gateway.send(message()) == Unavailable("FLOOD_WAIT", 17.0)


async def test_what_was_already_sent_was_sent(server: FakeTelegramGateway, gateway: Telegram) -> None:
    server.faults.append(Fault(error_code="MESSAGE_ALREADY_SENT", path=SEND, takes=True))
    assert await gateway.send(message()) == Accepted(provider_id=str(server.messages[0].id))
    server.faults.append(Fault(error_code="MESSAGE_ALREADY_SENT", path=CHECK))
    assert isinstance(await gateway.send(message()), Unavailable)


async def test_an_error_that_repeats_the_request_is_not_repeated(
    server: FakeTelegramGateway, gateway: Telegram
) -> None:
    server.faults.append(Fault(error_code=f"cannot reach {NUMBER} with 012345"))
    assert await gateway.send(message()) == Unavailable("an error that is no code")


async def test_wrong_credentials_name_the_setting(server: FakeTelegramGateway) -> None:
    result = await send_once(gateway_to(server.base_url, token="other"))
    assert result == Misconfigured("ACCESS_TOKEN_INVALID: see TELEGRAM_GATEWAY_TOKEN")


async def test_f01_nobody_listens(server: FakeTelegramGateway) -> None:
    await server.stop()
    assert isinstance(await send_once(gateway_to(server.base_url)), Unavailable)
    assert isinstance(await send_once(gateway_to("https://nothing.invalid")), Unavailable)


async def test_f01_a_timeout_of_the_check_sent_nothing(server: FakeTelegramGateway) -> None:
    server.faults.append(Fault(path=CHECK, delay=2, takes=True))
    assert isinstance(await send_once(gateway_to(server.base_url, timeout=0.4)), Unavailable)
    assert server.messages == []


async def test_f02_a_timeout_of_the_message_is_unknown(server: FakeTelegramGateway) -> None:
    server.faults.append(Fault(path=SEND, delay=2, takes=True))
    assert isinstance(await send_once(gateway_to(server.base_url, timeout=0.6)), Unknown)
    assert server.code_for(NUMBER) == "012345"


@pytest.mark.parametrize("takes", [True, False])
async def test_f02_a_lost_connection_is_unknown_only_for_the_message(
    server: FakeTelegramGateway, gateway: Telegram, takes: bool
) -> None:
    server.faults.append(Fault(path=CHECK, drop=True, takes=takes))
    assert isinstance(await gateway.send(message()), Unavailable)
    server.faults.append(Fault(path=SEND, drop=True, takes=takes))
    assert isinstance(await gateway.send(message()), Unknown)
    assert len(server.messages) == takes
    assert server.requests == 3


@pytest.mark.parametrize("path", [CHECK, SEND])
@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (500, {}, Unavailable("HTTP 500")),
        (503, {"Retry-After": "7"}, Unavailable("HTTP 503", 7.0)),
        (429, {"Retry-After": "Mon, 23 Nov 2026 12:00:30 GMT"}, Unavailable("HTTP 429", 30.0)),
        (401, {}, Misconfigured("HTTP 401: see TELEGRAM_GATEWAY_TOKEN")),
        (404, {}, Misconfigured("HTTP 404: see TELEGRAM_GATEWAY_BASE_URL")),
        (302, {"Location": "/checkSendAbility"}, Misconfigured("HTTP 302: see TELEGRAM_GATEWAY_BASE_URL")),
    ],
)
async def test_f03_http_statuses(
    server: FakeTelegramGateway,
    gateway: Telegram,
    path: str,
    status: int,
    headers: dict[str, str],
    expected: SendResult,
) -> None:
    server.faults.append(Fault(path=path, status=status, headers=headers))
    assert await gateway.send(message()) == expected
    assert server.requests == (1 if path == CHECK else 2)


async def test_f03_an_error_is_read_whatever_its_status(server: FakeTelegramGateway, gateway: Telegram) -> None:
    server.faults.append(Fault(status=400, body=b'{"ok": false, "error": "PHONE_NUMBER_NOT_FOUND"}'))
    assert await gateway.send(message()) == Unavailable("PHONE_NUMBER_NOT_FOUND")


BODIES = [
    b"<html>",
    b"[1]",
    b"{}",
    b'{"ok": "true", "result": {"request_id": "1"}}',
    b'{"ok": false}',
    b"\xff\xfe",
    b'{"ok": true, "result": "' + b"x" * 100_000 + b'"}',
    b"[" * 60_000,
]


@pytest.mark.parametrize("body", BODIES)
async def test_f04_an_unreadable_answer(server: FakeTelegramGateway, gateway: Telegram, body: bytes) -> None:
    server.faults.append(Fault(path=CHECK, body=body))
    assert isinstance(await gateway.send(message()), Unavailable)
    server.faults.append(Fault(path=SEND, body=body))
    assert isinstance(await gateway.send(message()), Unknown)


@pytest.mark.parametrize("body", [b'{"ok": true}', b'{"ok": true, "result": {"request_id": 5}}'])
async def test_f04_a_yes_without_an_id(server: FakeTelegramGateway, gateway: Telegram, body: bytes) -> None:
    server.faults.append(Fault(path=CHECK, body=body))
    assert isinstance(await gateway.send(message()), Unavailable)
    server.faults.append(Fault(path=SEND, body=body, takes=True))
    assert await gateway.send(message()) == Accepted(provider_id=str(server.messages[0].id))


async def test_parallel_messages_do_not_mix(server: FakeTelegramGateway, gateway: Telegram) -> None:
    numbers = [f"+7916000{i:04}" for i in range(30)]
    results = await asyncio.gather(
        *(gateway.send(message(number, f"{i:06}", send_id=uuid4())) for i, number in enumerate(numbers))
    )
    assert [server.code_for(number) for number in numbers] == [f"{i:06}" for i in range(30)]
    by_id = {str(sms.id): sms.number for sms in server.messages}
    assert [by_id[str(result.provider_id)] for result in results if isinstance(result, Accepted)] == numbers


async def test_nothing_secret_is_shown(
    server: FakeTelegramGateway, gateway: Telegram, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    results = [await gateway.send(message())]
    for fault in (Fault(error_code=NUMBER), Fault(body=b"012345"), Fault(drop=True, path=SEND), Fault(status=500)):
        server.faults.append(fault)
        results.append(await gateway.send(message()))
    shown = f"{results}{gateway!r}{message()!r}{caplog.text}"
    for secret in (NUMBER[1:], "012345", server.token, "код"):
        assert secret not in shown
