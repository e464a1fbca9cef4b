from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from bot.gateways import sms_gateways
from bot.gateways.console import Console
from bot.gateways.smsc import Smsc, vendor_id
from bot.settings import Settings
from handlers.ports import (
    Accepted,
    InvalidNumber,
    Misconfigured,
    Refused,
    SendResult,
    SmsGateway,
    Unavailable,
    Unknown,
)
from storage.clock import SystemClock
from tests.fakes.smsc import FakeSmsc, Fault

NUMBER = "+79161234567"
TEXT = "123456 — код подтверждения CRM"
ID = UUID("5f0c3b1e-3c56-4a0b-9f3f-7f6d2f0f9a11")


class FixedClock:
    def now(self) -> datetime:
        return datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
async def server() -> AsyncIterator[FakeSmsc]:
    fake = FakeSmsc()
    await fake.start()
    yield fake
    await fake.stop()


def gateway_to(base_url: str, timeout: float = 5.0, **changes: str) -> Smsc:
    credentials = {"login": "shop", "psw": "secret-word"} | changes
    return Smsc(base_url, credentials, "SHOP", timedelta(seconds=timeout), FixedClock())


@pytest.fixture
async def gateway(server: FakeSmsc) -> AsyncIterator[Smsc]:
    made = gateway_to(server.base_url)
    yield made
    await made.close()


async def test_a_message_is_delivered_with_our_own_id(server: FakeSmsc, gateway: Smsc) -> None:
    result = await gateway.send(NUMBER, TEXT, ID)
    assert result == Accepted(provider_id=str(vendor_id(ID)))
    (sms,) = server.messages
    assert (sms.number, sms.text, sms.id, sms.sender) == (NUMBER, TEXT, vendor_id(ID), "SHOP")
    assert server.code_for("7 916 123-45-67") == "123456"


async def test_an_api_key_serves_instead_of_login_and_password(server: FakeSmsc) -> None:
    gateway = Smsc(server.base_url, {"apikey": server.api_key}, None, timedelta(seconds=5), FixedClock())
    assert isinstance(await gateway.send(NUMBER, TEXT, ID), Accepted)
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
    assert isinstance(await gateway.send(NUMBER, TEXT, ID), expected)


async def test_wrong_credentials_name_the_settings(server: FakeSmsc) -> None:
    gateway = gateway_to(server.base_url, psw="wrong")
    result = await gateway.send(NUMBER, TEXT, ID)
    assert isinstance(result, Misconfigured)
    assert "SMSC_LOGIN" in result.detail
    assert "wrong" not in result.detail.replace("wrong credentials", "")
    await gateway.close()


async def test_a_number_that_is_none_is_invalid(gateway: Smsc) -> None:
    assert isinstance(await gateway.send("+12", TEXT, ID), InvalidNumber)


async def test_a_repeat_within_a_minute_was_taken_the_first_time(server: FakeSmsc, gateway: Smsc) -> None:
    first = await gateway.send(NUMBER, TEXT, ID)
    assert await gateway.send(NUMBER, TEXT, ID) == first
    assert server.inbox(NUMBER) == [TEXT]


async def test_f01_nobody_listens(server: FakeSmsc) -> None:
    gateway = gateway_to(server.base_url)
    await server.stop()
    assert isinstance(await gateway.send(NUMBER, TEXT, ID), Unavailable)
    await gateway.close()


async def test_f01_no_such_host_is_unavailable() -> None:
    gateway = gateway_to("https://nothing.invalid")
    assert isinstance(await gateway.send(NUMBER, TEXT, ID), Unavailable)
    await gateway.close()


async def test_f02_a_timeout_after_it_was_taken_is_unknown(server: FakeSmsc) -> None:
    gateway = gateway_to(server.base_url, timeout=0.3)
    server.faults.append(Fault(takes=True, delay=2))
    assert isinstance(await gateway.send(NUMBER, TEXT, ID), Unknown)
    assert server.inbox(NUMBER) == [TEXT]
    await gateway.close()


@pytest.mark.parametrize("takes", [True, False])
async def test_f02_a_lost_connection_is_unknown(server: FakeSmsc, gateway: Smsc, takes: bool) -> None:
    server.faults.append(Fault(drop=True, takes=takes))
    assert isinstance(await gateway.send(NUMBER, TEXT, ID), Unknown)
    assert server.requests == 1


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (500, {}, Unavailable("HTTP 500")),
        (503, {"Retry-After": "7"}, Unavailable("HTTP 503", 7.0)),
        (429, {}, Unavailable("HTTP 429")),
        (429, {"Retry-After": "Mon, 23 Nov 2026 12:00:30 GMT"}, Unavailable("HTTP 429", 30.0)),
        (429, {"Retry-After": "soon"}, Unavailable("HTTP 429")),
        (429, {"Retry-After": "Mon, 23 Nov 2026 12:00:30"}, Unavailable("HTTP 429")),
    ],
)
async def test_f03_server_errors_are_unavailable(
    server: FakeSmsc, gateway: Smsc, status: int, headers: dict[str, str], expected: Unavailable
) -> None:
    server.faults.append(Fault(status=status, headers=headers))
    assert await gateway.send(NUMBER, TEXT, ID) == expected


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404])
async def test_f03_redirects_and_client_errors_are_for_the_operator(
    server: FakeSmsc, gateway: Smsc, status: int
) -> None:
    server.faults.append(Fault(status=status, headers={"Location": f"{server.base_url}/sys/send.php"}))
    result = await gateway.send(NUMBER, TEXT, ID)
    assert isinstance(result, Misconfigured)
    assert "SMSC_" in result.detail
    assert server.requests == 1
    assert server.messages == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK - 1 SMS, ID - 1",
        b"[1]",
        b"{}",
        b'{"id": true}',
        b'{"id": null}',
        b"\xff\xfe",
        b'{"id": 1, "x": "' + b"x" * 100_000 + b'"}',
        b"[" * 60_000,
    ],
)
async def test_f04_an_unreadable_answer_is_unknown(server: FakeSmsc, gateway: Smsc, body: bytes) -> None:
    server.faults.append(Fault(body=body))
    assert isinstance(await gateway.send(NUMBER, TEXT, ID), Unknown)


async def test_numbers_in_quotes_are_read(server: FakeSmsc, gateway: Smsc) -> None:
    server.faults.append(Fault(body=b'{"id": "41", "cnt": 1}'))
    server.faults.append(Fault(body=b'{"error": "x", "error_code": "7"}'))
    assert await gateway.send(NUMBER, TEXT, ID) == Accepted(provider_id="41")
    assert isinstance(await gateway.send(NUMBER, TEXT, ID), InvalidNumber)


async def test_parallel_messages_do_not_mix(server: FakeSmsc, gateway: Smsc) -> None:
    numbers = [f"+7916000{i:04}" for i in range(30)]
    await asyncio.gather(*(gateway.send(number, f"{i:06} — код", uuid4()) for i, number in enumerate(numbers)))
    assert [server.code_for(number) for number in numbers] == [f"{i:06}" for i in range(30)]


async def test_console_prints_one_framed_line_and_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    out = io.StringIO()
    with caplog.at_level(logging.WARNING):
        gateway = Console(out)
        results = [await gateway.send(NUMBER, f"12345{n}\n— код", ID) for n in (1, 2)]
    assert all(isinstance(result, Accepted) for result in results)
    assert out.getvalue().splitlines() == [f"┃ SMS {NUMBER} ┃ 12345{n} — код ┃" for n in (1, 2)]
    await gateway.close()


async def test_gateways_come_in_the_order_of_the_setting(server: FakeSmsc) -> None:
    settings = Settings(
        sms_gateways=("smsc", "console"),
        smsc_login=server.login,
        smsc_password=SecretStr(server.password),
        smsc_base_url=server.base_url,
    )
    made: list[SmsGateway] = sms_gateways(settings, SystemClock())
    assert [gateway.name for gateway in made] == ["smsc", "console"]
    assert isinstance(await made[0].send(NUMBER, TEXT, ID), Accepted)
    for gateway in made:
        await gateway.close()
