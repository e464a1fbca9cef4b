"""Reports of Telegram's gateway: what each says of the delivery, and T14: only what it signed lately is believed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bot.gateways.telegram_gateway import Telegram
from handlers.ports import Accepted, ForgedReport, Report
from storage.models import SendState
from tests.bot.gateways.telegram_gateway_stage import NOW, REPORTS, gateway, gateway_to, message, server
from tests.fakes.telegram_gateway import FakeTelegramGateway

__all__ = ["gateway", "server"]


async def reported(server: FakeTelegramGateway, gateway: Telegram) -> str:
    result = await gateway.send(message())
    assert isinstance(result, Accepted)
    return str(result.provider_id)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("sent", None),
        ("something_new", None),
        ("delivered", SendState.DELIVERED),
        ("read", SendState.DELIVERED),
        ("expired", SendState.UNDELIVERED),
        ("revoked", SendState.UNDELIVERED),
    ],
)
async def test_each_status_of_a_report(
    server: FakeTelegramGateway, gateway: Telegram, status: str, expected: SendState | None
) -> None:
    request_id = await reported(server, gateway)
    reports = await gateway.read_report(server.report(request_id, status).request())
    detail = "" if expected is SendState.DELIVERED else status
    assert reports == ([] if expected is None else [Report(request_id, expected, detail)])


async def test_a_report_of_something_else_says_nothing_of_the_delivery(
    server: FakeTelegramGateway, gateway: Telegram
) -> None:
    request_id = await reported(server, gateway)
    status = {"status": "code_valid", "updated_at": 1, "code_entered": "012345"}
    raw = server.report(request_id, "sent", delivery_status=None, verification_status=status)
    assert await gateway.read_report(raw.request()) == []


async def test_t14_a_replayed_report_says_the_same_until_it_is_too_old(
    server: FakeTelegramGateway, gateway: Telegram
) -> None:
    request_id = await reported(server, gateway)
    raw = server.report(request_id, "delivered").request()
    assert await gateway.read_report(raw) == await gateway.read_report(raw)


@pytest.mark.parametrize(("away", "taken"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)])
async def test_t14_a_stale_report_is_refused(
    server: FakeTelegramGateway, gateway: Telegram, away: int, taken: bool
) -> None:
    request_id = await reported(server, gateway)
    raw = server.report(request_id, "delivered", at=NOW.timestamp() + away).request()
    if taken:
        assert await gateway.read_report(raw)
    else:
        with pytest.raises(ForgedReport):
            await gateway.read_report(raw)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-request-signature", None),
        ("x-request-signature", ""),
        ("x-request-signature", "0" * 64),
        ("x-request-signature", "ü" * 64),
        ("x-request-signature", "\udcff"),
        ("x-request-timestamp", None),
        ("x-request-timestamp", ""),
        ("x-request-timestamp", "now"),
        ("x-request-timestamp", "١٧٣٢٣٦٣٢٠٠"),
        ("x-request-timestamp", "9" * 400),
        ("x-request-timestamp", f"{int(NOW.timestamp()) + 1}"),
        ("x-request-timestamp", f" {int(NOW.timestamp())}"),
    ],
)
async def test_t14_a_forged_header_is_refused(
    server: FakeTelegramGateway, gateway: Telegram, header: str, value: str | None
) -> None:
    raw = server.report(await reported(server, gateway), "delivered").request()
    headers = {name: said for name, said in (dict(raw.headers) | {header: value}).items() if said is not None}
    with pytest.raises(ForgedReport):
        await gateway.read_report(replace(raw, headers=headers))


async def test_t14_a_changed_body_is_refused(server: FakeTelegramGateway, gateway: Telegram) -> None:
    raw = server.report(await reported(server, gateway), "expired").request()
    for body in (raw.body.replace(b"expired", b"delivered"), raw.body + b" ", b""):
        with pytest.raises(ForgedReport):
            await gateway.read_report(replace(raw, body=body))


async def test_t14_another_account_signs_nothing_here(server: FakeTelegramGateway, gateway: Telegram) -> None:
    body = json.dumps({"request_id": "1", "delivery_status": {"status": "delivered"}}).encode()
    for token in ("other", ""):
        with pytest.raises(ForgedReport):
            await gateway.read_report(server.signed(REPORTS, body, NOW.timestamp(), token).request())


async def test_t14_without_a_token_everything_is_refused(server: FakeTelegramGateway) -> None:
    body = json.dumps({"request_id": "1", "delivery_status": {"status": "delivered"}}).encode()
    gateway = gateway_to(server.base_url, token="")
    with pytest.raises(ForgedReport):
        await gateway.read_report(server.signed(REPORTS, body, NOW.timestamp(), "").request())
    await gateway.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"request_id": 5}',
        b'{"request_id": ""}',
        b'{"request_id": "1", "delivery_status": "delivered"}',
        b'{"request_id": "1", "delivery_status": {"status": 1}}',
    ],
)
async def test_t14_an_authentic_malformed_report_is_a_value_error(
    server: FakeTelegramGateway, gateway: Telegram, body: bytes
) -> None:
    with pytest.raises(ValueError, match=r".*"):
        await gateway.read_report(server.signed(REPORTS, body, NOW.timestamp()).request())
