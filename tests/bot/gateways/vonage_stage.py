"""A server of Vonage and a gateway to it, for the tests of sending and of reports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from bot.gateways.vonage import Vonage
from handlers.ports import CodeMessage
from storage.models import Channel
from tests.fakes.clock import MovableClock
from tests.fakes.vonage import FakeVonage

NUMBER = "+79161234567"
TEXT = "012345 – код CRM"
REPORTS = "https://bot.example.com/reports/vonage"
ID = "0A0000001234567B"
SEND_ID = UUID("5f0c3b1e-3c56-4a0b-9f3f-7f6d2f0f9a11")
MESSAGE = CodeMessage(NUMBER, TEXT, "012345", "ru", Channel.SMS, SEND_ID, timedelta(minutes=10))
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
async def server() -> AsyncIterator[FakeVonage]:
    fake = FakeVonage()
    await fake.start()
    yield fake
    await fake.stop()


def gateway_to(
    server: FakeVonage,
    *,
    secret: str | None = None,
    sender: str = "SHOP",
    signature_secret: str | None = "signs-the-receipts",
    report_url: str | None = REPORTS,
    currency: str = "RUB",
    timeout: float = 5.0,
    now: datetime = NOW,
) -> Vonage:
    credentials = {"api_key": server.key, "api_secret": secret or server.secret}
    return Vonage(
        server.base_url, credentials, sender, signature_secret, report_url, currency,
        timedelta(seconds=timeout), timedelta(seconds=300), MovableClock(now),
    )  # fmt: skip


@pytest.fixture
async def gateway(server: FakeVonage) -> AsyncIterator[Vonage]:
    made = gateway_to(server)
    yield made
    await made.close()
