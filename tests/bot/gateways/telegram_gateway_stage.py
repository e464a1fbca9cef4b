"""A server of Telegram's gateway and a gateway to it, for the tests of sending and of reports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from bot.gateways.telegram_gateway import Telegram
from handlers.ports import CodeMessage
from storage.models import Channel
from tests.fakes.telegram_gateway import FakeTelegramGateway

NUMBER = "+79161234567"
ID = UUID("5f0c3b1e-3c56-4a0b-9f3f-7f6d2f0f9a11")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
REPORTS = "https://bot.example.com/reports/telegram"


class FixedClock:
    def now(self) -> datetime:
        return NOW


def message(number: str = NUMBER, code: str = "012345", lifetime: float = 600, send_id: UUID = ID) -> CodeMessage:
    text = f"{code} — код подтверждения CRM"
    return CodeMessage(number, text, code, "ru", Channel.TELEGRAM, send_id, timedelta(seconds=lifetime))


@pytest.fixture
async def server() -> AsyncIterator[FakeTelegramGateway]:
    fake = FakeTelegramGateway(clock=NOW.timestamp)
    await fake.start()
    yield fake
    await fake.stop()


def gateway_to(
    base_url: str,
    *,
    token: str = "AAEsToken-5",
    sender: str | None = "@shop_codes",
    ttl: float = 60,
    timeout: float = 5,
    report_url: str | None = REPORTS,
) -> Telegram:
    return Telegram(
        base_url,
        token,
        sender,
        FixedClock(),
        ttl=timedelta(seconds=ttl),
        timeout=timedelta(seconds=timeout),
        tolerance=timedelta(seconds=300),
        report_url=report_url,
    )


@pytest.fixture
async def gateway(server: FakeTelegramGateway) -> AsyncIterator[Telegram]:
    made = gateway_to(server.base_url)
    yield made
    await made.close()
