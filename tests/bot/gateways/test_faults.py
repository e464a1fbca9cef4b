"""What may happen to any call over HTTP, for each vendor with the same words for the same need."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from bot.gateways.http import same
from handlers.ports import Accepted, CodeMessage, Gateway, Misconfigured, SendResult, Unavailable, Unknown
from tests.bot.gateways.cases import CODE, MESSAGE, NUMBER, TEXT, VENDORS, Vendor, message
from tests.fakes.clock import MovableClock
from tests.fakes.vendor import Fault

CLOCK = MovableClock()
# What any of them would take for success.
ACCEPTED = (
    b'{"id": 1, "cnt": 1, "status_code": 100, "sms": {"79161234567": {"status_code": 100, "sms_id": "1-1"}},'
    b' "success": true, "data": {"id": 1, "status": 0}}'
)


@pytest.fixture(params=list(VENDORS))
async def vendor(request: pytest.FixtureRequest) -> AsyncIterator[Vendor]:
    made = VENDORS[request.param]()
    await made.fake.start()
    yield made
    await made.fake.stop()


@pytest.fixture
async def gateway(vendor: Vendor) -> AsyncIterator[Gateway]:
    made = vendor.gateway(CLOCK)
    yield made
    await made.close()


async def send(gateway: Gateway, given: CodeMessage = MESSAGE) -> SendResult:
    result = await gateway.send(given)
    await gateway.close()
    return result


async def test_f01_nobody_listens(vendor: Vendor) -> None:
    await vendor.fake.stop()
    assert isinstance(await send(vendor.gateway(CLOCK)), Unavailable)


async def test_f01_no_such_host(vendor: Vendor) -> None:
    assert isinstance(await send(vendor.gateway(CLOCK, "https://nothing.invalid")), Unavailable)


async def test_f01_who_never_finishes_tls_got_nothing(vendor: Vendor) -> None:
    async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(stay_silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        result = await send(vendor.gateway(CLOCK, f"https://127.0.0.1:{port}", timeout=0.6))
        assert isinstance(result, Unavailable), result


@pytest.mark.parametrize("takes", [True, False])
async def test_f02_a_timeout_after_the_request_left_is_unknown(vendor: Vendor, takes: bool) -> None:
    vendor.fake.faults.append(Fault(takes=takes, delay=2))
    assert isinstance(await send(vendor.gateway(CLOCK, timeout=0.3)), Unknown)
    assert vendor.fake.inbox(NUMBER) == [TEXT] * takes
    assert vendor.fake.requests == 1


@pytest.mark.parametrize("takes", [True, False])
async def test_f02_a_lost_connection_is_unknown(vendor: Vendor, gateway: Gateway, takes: bool) -> None:
    vendor.fake.faults.append(Fault(drop=True, takes=takes))
    assert isinstance(await gateway.send(MESSAGE), Unknown)
    assert vendor.fake.requests == 1


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (500, {}, Unavailable("HTTP 500")),
        (502, {"Content-Type": "text/html"}, Unavailable("HTTP 502")),
        (503, {"Retry-After": "7"}, Unavailable("HTTP 503", 7.0)),
        (429, {}, Unavailable("HTTP 429")),
        (429, {"Retry-After": "Mon, 23 Nov 2026 12:00:30 GMT"}, Unavailable("HTTP 429", 30.0)),
        (429, {"Retry-After": "Mon, 23 Nov 2026 11:00:00 GMT"}, Unavailable("HTTP 429", 0.0)),
        (429, {"Retry-After": "soon"}, Unavailable("HTTP 429")),
        (429, {"Retry-After": "-5"}, Unavailable("HTTP 429")),
        (429, {"Retry-After": "Mon, 23 Nov 2026 12:00:30"}, Unavailable("HTTP 429")),
        (429, {"Retry-After": "Mon, 23 Nov 99999 12:00:30 GMT"}, Unavailable("HTTP 429")),
    ],
)
async def test_f03_server_errors_and_throttling(
    vendor: Vendor, gateway: Gateway, status: int, headers: dict[str, str], expected: Unavailable
) -> None:
    vendor.fake.faults.append(Fault(status=status, headers=headers))
    assert await gateway.send(MESSAGE) == expected


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 403, 404])
async def test_f03_redirects_and_client_errors_are_for_the_operator(
    vendor: Vendor, gateway: Gateway, status: int
) -> None:
    vendor.fake.faults.append(Fault(status=status, headers={"Location": vendor.fake.base_url + vendor.fake.paths[0]}))
    result = await gateway.send(MESSAGE)
    assert isinstance(result, Misconfigured)
    assert vendor.setting in result.detail
    assert (vendor.fake.requests, vendor.fake.messages) == (1, [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK - 1 SMS, ID - 1",
        b"<html>503</html>",
        b"[1]",
        b'"OK"',
        b"null",
        b"{}",
        b'{"id": true}',
        b'{"id": null, "status_code": null, "data": null}',
        b'{"status": "OK", "status_code": 100}',
        b'{"status": "OK", "status_code": 100, "sms": []}',
        b'{"status": "OK", "status_code": 100, "sms": {"70000000000": {"status_code": 100, "sms_id": "1-1"}}}',
        b'{"status": "OK", "status_code": 100, "sms": {"79161234567": {"status": "OK", "status_code": 100}}}',
        b'{"status": "OK", "status_code": 100, "sms": {"79161234567": "OK"}}',
        b'{"success": true}',
        b'{"success": true, "data": null}',
        b'{"success": true, "data": [{"id": 1}]}',
        b'{"success": true, "data": {"id": "abc", "status": 0}}',
        b"\xff\xfe",
        b'{"id": ' + b"9" * 5000 + b"}",
        b'{"id": "' + b"9" * 5000 + b'", "error_code": "' + b"9" * 5000 + b'"}',
        b"[" * 60_000,
    ],
)
async def test_f04_an_unreadable_answer_is_unknown(vendor: Vendor, gateway: Gateway, body: bytes) -> None:
    vendor.fake.faults.append(Fault(body=body, headers={"Content-Type": "application/json"}))
    assert isinstance(await gateway.send(MESSAGE), Unknown)


async def test_f04_a_huge_answer_is_not_read_to_its_end(vendor: Vendor, gateway: Gateway) -> None:
    vendor.fake.faults += [Fault(body=ACCEPTED), Fault(body=ACCEPTED + b" " * 200_000)]
    assert [type(await gateway.send(MESSAGE)) for _ in range(2)] == [Accepted, Unknown]


async def test_f02_each_message_has_a_connection_of_its_own(vendor: Vendor) -> None:
    """One kept open may be closed by the vendor just as a message is written into it, and nobody could say more."""
    connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        gateway = vendor.gateway(CLOCK, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        for _ in range(2):
            assert await gateway.send(MESSAGE) == Unavailable("HTTP 500")
        await gateway.close()
    assert connections == 2


async def test_f04_an_answer_packed_wrongly_is_unknown(vendor: Vendor, gateway: Gateway) -> None:
    vendor.fake.faults.append(Fault(body=b"not packed at all", headers={"Content-Encoding": "gzip"}))
    assert isinstance(await gateway.send(MESSAGE), Unknown)


async def test_a_message_arrives_with_its_text(vendor: Vendor, gateway: Gateway) -> None:
    result = await gateway.send(MESSAGE)
    (sms,) = vendor.fake.messages
    assert isinstance(result, Accepted)
    assert (sms.number, sms.text, result.provider_id) == (NUMBER, TEXT, str(sms.id))
    assert vendor.fake.code_for("7 916 123-45-67") == CODE


async def test_parallel_messages_do_not_mix(vendor: Vendor, gateway: Gateway) -> None:
    numbers = [f"+7916000{i:04}" for i in range(30)]
    results = await asyncio.gather(
        *(
            gateway.send(message(number=number, text=f"{i:06} – код", code=f"{i:06}", send_id=uuid4()))
            for i, number in enumerate(numbers)
        )
    )
    assert [vendor.fake.code_for(number) for number in numbers] == [f"{i:06}" for i in range(30)]
    ids = {sms.number: str(sms.id) for sms in vendor.fake.messages}
    assert [r.provider_id for r in results if isinstance(r, Accepted)] == [ids[number] for number in numbers]


@pytest.mark.parametrize(("given", "right"), [("", ""), ("", "a"), ("a", ""), ("a", "b"), ("ё", "a"), ("\udcff", "a")])
def test_t14_nothing_but_the_same_is_the_same(given: str, right: str) -> None:
    assert not same(given, right)
    assert same(right + "x", right + "x")


async def test_nothing_is_left_open(vendor: Vendor) -> None:
    # Warnings are errors: a session that is not closed would say so when it is collected.
    await send(vendor.gateway(CLOCK))
    gc.collect()


async def test_nothing_secret_is_said(vendor: Vendor, gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    hidden = [NUMBER, NUMBER[1:], CODE, "код CRM", *vendor.secrets()]
    faults = [Fault(), Fault(drop=True), Fault(status=403, body=NUMBER.encode()), Fault(status=500), Fault(body=b"{")]
    faults += [Fault(body=b'{"error": "' + TEXT.encode() + b'", "error_code": 6, "status_code": 216}')]
    vendor.fake.faults.extend(faults)
    with caplog.at_level(logging.DEBUG):
        results = [await gateway.send(MESSAGE) for _ in range(len(faults) + 1)]
    # An id that the vendor made up is no secret, and may hold any digits.
    said = [repr(result) for result in results if not isinstance(result, Accepted)]
    said += [caplog.text, repr(gateway), repr(vars(gateway).get("_http")), repr(MESSAGE)]
    assert len(results) - sum(isinstance(result, Accepted) for result in results) >= 5
    assert [word for word in hidden if any(word in text for text in said)] == []
