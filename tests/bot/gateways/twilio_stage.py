"""A server of Twilio and a gateway to it, for the tests of sending and of reports."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from bot.gateways.twilio import Twilio
from handlers.ports import CodeMessage
from storage.models import Channel
from tests.fakes.clock import MovableClock
from tests.fakes.twilio import FakeTwilio

NUMBER = "+79161234567"
TEXT = "012345 – код CRM"
REPORTS = "https://bot.example.com/reports/twilio"
SID = "SM" + "0a" * 16
MESSAGE = CodeMessage(
    NUMBER, TEXT, "012345", "ru", Channel.SMS, UUID("5f0c3b1e-3c56-4a0b-9f3f-7f6d2f0f9a11"), timedelta(minutes=10)
)
SPOKEN = dataclasses.replace(MESSAGE, channel=Channel.VOICE)
# Clock of the tests: Monday, 2026-11-23, noon UTC.
CLOCK = MovableClock(datetime(2026, 11, 23, 12, 0, tzinfo=UTC))


@pytest.fixture
async def server() -> AsyncIterator[FakeTwilio]:
    fake = FakeTwilio()
    await fake.start()
    yield fake
    await fake.stop()


def gateway_to(
    server: FakeTwilio,
    *,
    token: str | None = None,
    sender: str = "SHOP",
    voice: str | None = "+15005550010",
    report_url: str | None = REPORTS,
    timeout: float = 5.0,
) -> Twilio:
    return Twilio(
        server.base_url, server.account, server.token if token is None else token, sender, voice, report_url,
        timedelta(seconds=timeout), CLOCK,
    )  # fmt: skip


@pytest.fixture
async def gateway(server: FakeTwilio) -> AsyncIterator[Twilio]:
    made = gateway_to(server)
    yield made
    await made.close()
