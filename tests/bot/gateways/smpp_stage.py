"""An SMS centre, gateways bound to it, and who keeps the reports, for the tests of SMPP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from bot.gateways.smpp import Smpp
from bot.gateways.smpp_session import Account
from handlers.ports import CodeMessage, Report
from storage.models import Channel
from tests.fakes.smpp import FakeSmpp

NUMBER = "+79161234567"
TEXT = "012345 — код подтверждения CRM"
ID = UUID("5f0c3b1e-3c56-4a0b-9f3f-7f6d2f0f9a11")
Make = Callable[..., Smpp]


def message(number: str = NUMBER, text: str = TEXT, lifetime: float = 600) -> CodeMessage:
    return CodeMessage(number, text, text[:6], "ru", Channel.SMS, ID, timedelta(seconds=lifetime))


@pytest.fixture
async def centre() -> AsyncIterator[FakeSmpp]:
    fake = FakeSmpp()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def make(centre: FakeSmpp) -> AsyncIterator[Make]:
    made: list[Smpp] = []

    def make_one(*, sender: str = "SHOP", timeout: float = 5, enquire_every: float = 30, **account: Any) -> Smpp:
        centre.sender = sender
        usual = Account(centre.host, centre.port, tls=False, system_id="shop", password="secret12")
        whole = replace(usual, **account)
        made.append(Smpp(whole, sender, timedelta(seconds=timeout), enquire_every=enquire_every))
        return made[-1]

    yield make_one
    for gateway in made:
        await gateway.close()


@pytest.fixture
def gateway(make: Make) -> Smpp:
    return make()


class Kept:
    """Keeps reports, or fails as a database that is away."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.away = False

    async def __call__(self, report: Report) -> None:
        if self.away:
            raise ConnectionError("database")
        self.reports.append(report)
