"""Receipts of Vonage: what each says of the delivery, and T14: only what it signed lately is believed."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from bot.gateways.vonage import Vonage
from handlers.ports import ForgedReport, Report, ReportRequest
from storage.models import SendState
from tests.bot.gateways.vonage_stage import ID, NOW, REPORTS, gateway, gateway_to, server
from tests.fakes.vonage import FakeVonage

__all__ = ["gateway", "server"]


@pytest.mark.parametrize("kind", ["GET", "form", "JSON"])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *[(status, None) for status in ("accepted", "buffered", "unknown")],
        ("delivered", SendState.DELIVERED),
        *[(status, SendState.UNDELIVERED) for status in ("expired", "failed", "rejected")],
    ],
)
async def test_each_status_of_a_receipt(
    server: FakeVonage,
    gateway: Vonage,
    status: str,
    expected: SendState | None,
    kind: Literal["GET", "form", "JSON"],
) -> None:
    reports = await gateway.read_report(server.report(REPORTS, ID, status, NOW, kind=kind).request())
    assert [(report.provider_id, report.state) for report in reports] == ([(ID, expected)] if expected else [])


async def test_a_failure_says_why_and_of_whom_nothing(server: FakeVonage, gateway: Vonage) -> None:
    (report,) = await gateway.read_report(server.report(REPORTS, ID, "rejected", NOW, err_code=6).request())
    assert report == Report(ID, SendState.UNDELIVERED, "rejected, err-code 6")


async def test_the_signature_is_the_one_of_vonages_own_example(server: FakeVonage) -> None:
    """Vonage's Python library tests its HMAC-SHA256 with these parameters, the secret "secret" and this result."""
    gateway = gateway_to(server, signature_secret="secret", now=datetime.fromtimestamp(1461605396, UTC))
    signature = "a321e824b9b816be7c3f28859a31749a098713d39f613c80d455bbaffae1cd24"
    for given in (signature, signature.upper()):
        query = {"a": "1", "b": "2", "timestamp": "1461605396", "sig": given}
        request = ReportRequest("GET", REPORTS, "", {}, query, b"")
        with pytest.raises(ValueError, match="without a messageId"):
            await gateway.read_report(request)
        with pytest.raises(ForgedReport):
            await gateway.read_report(dataclasses.replace(request, query={**query, "b": "3"}))
    await gateway.close()


async def test_t14_a_forged_receipt_is_refused(server: FakeVonage, gateway: Vonage) -> None:
    form = server.report(REPORTS, ID, "failed", NOW, err_code=1).request()
    said = server.report(REPORTS, ID, "failed", NOW, kind="JSON").request()
    asked = server.report(REPORTS, ID, "failed", NOW, kind="GET").request()
    for real in (form, said, asked):
        assert await gateway.read_report(real)
    plain = json.loads(said.body)
    forged = [
        FakeVonage(signature_secret="another").report(REPORTS, ID, "delivered", NOW).request(),
        dataclasses.replace(form, body=form.body.replace(b"failed", b"delivered")),
        dataclasses.replace(form, body=form.body + b"&status=delivered"),
        dataclasses.replace(form, body=form.body + b"&sig="),
        dataclasses.replace(form, body=form.body.replace(b"sig=", b"sig=%FF%D0%B6")),
        dataclasses.replace(form, body=b""),
        dataclasses.replace(form, body=b"\xff\xfe\x00"),
        dataclasses.replace(form, headers=said.headers),
        dataclasses.replace(said, headers={}),
        dataclasses.replace(said, body=b"[]"),
        dataclasses.replace(said, body=b"[" * 100_000),
        dataclasses.replace(said, body=b'{"status": "delivered"'),
        dataclasses.replace(said, body=json.dumps({**plain, "status": "delivered"}).encode()),
        dataclasses.replace(said, body=json.dumps({**plain, "status": ["failed"]}).encode()),
        dataclasses.replace(said, body=json.dumps({**plain, "err-code": False}).encode()),
        dataclasses.replace(said, body=json.dumps({**plain, "sig": "\udcff"}).encode()),
        dataclasses.replace(asked, query={**asked.query, "status": "delivered"}),
        dataclasses.replace(asked, query={name: value for name, value in asked.query.items() if name != "sig"}),
        dataclasses.replace(asked, query={}),
    ]
    for request in forged:
        with pytest.raises(ForgedReport):
            await gateway.read_report(request)


async def test_t14_without_a_signature_secret_every_receipt_is_refused(server: FakeVonage) -> None:
    gateway = gateway_to(server, signature_secret=None)
    for secret in ("signs-the-receipts", ""):
        with pytest.raises(ForgedReport, match="VONAGE_SIGNATURE_SECRET"):
            await gateway.read_report(FakeVonage(signature_secret=secret).report(REPORTS, ID, "failed", NOW).request())
    await gateway.close()


@pytest.mark.parametrize(("seconds", "fresh"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)])
async def test_t14_a_receipt_signed_at_another_time_is_refused(
    server: FakeVonage, gateway: Vonage, seconds: int, fresh: bool
) -> None:
    request = server.report(REPORTS, ID, "delivered", NOW + timedelta(seconds=seconds)).request()
    if fresh:
        assert await gateway.read_report(request) == [Report(ID, SendState.DELIVERED)]
        return
    with pytest.raises(ForgedReport, match="too long ago"):
        await gateway.read_report(request)


@pytest.mark.parametrize("moment", ["", "soon", "1.5", "-5", "9" * 400])
async def test_t14_a_signed_moment_that_is_none_is_refused(server: FakeVonage, gateway: Vonage, moment: str) -> None:
    raw = server.signed(REPORTS, {"messageId": ID, "status": "delivered"}, NOW, moment=moment)
    with pytest.raises(ForgedReport):
        await gateway.read_report(raw.request())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"messageId": "", "status": "delivered"},
        {"messageId": ID},
        {"messageId": ID, "status": "enchanted"},
        {"message-id": ID, "status": "delivered"},
    ],
)
async def test_t14_garbage_with_a_right_signature_is_a_value_error(
    server: FakeVonage, gateway: Vonage, fields: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="a receipt with"):
        await gateway.read_report(server.signed(REPORTS, fields, NOW).request())
