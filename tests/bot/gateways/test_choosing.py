from __future__ import annotations

import io
import logging

import pytest
from pydantic import SecretStr

from bot.gateways import gateways_of
from bot.gateways.console import Console
from bot.settings import Settings
from handlers.ports import Accepted, Gateway
from storage.clock import SystemClock
from storage.models import Channel
from tests.bot.gateways.cases import ID, MESSAGE, NUMBER, message
from tests.fakes.smsc import FakeSmsc


async def test_console_prints_one_framed_line_and_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    out = io.StringIO()
    with caplog.at_level(logging.WARNING):
        gateway = Console(out)
        results = [await gateway.send(message(text=f"12345{n}\n– код")) for n in (1, 2)]
    assert results == [Accepted(provider_id=str(ID), price=0)] * 2
    assert out.getvalue().splitlines() == [f"┃ SMS {NUMBER} ┃ 12345{n} – код ┃" for n in (1, 2)]
    await gateway.close()


async def test_console_tells_a_call_from_an_sms() -> None:
    out = io.StringIO()
    gateway = Console(out)
    await gateway.send(message(channel=Channel.VOICE))
    assert out.getvalue().startswith(f"┃ CALL {NUMBER} ┃")
    await gateway.close()


async def test_gateways_come_in_the_order_of_the_setting() -> None:
    server = FakeSmsc()
    await server.start()
    settings = Settings(
        sms_gateways=("smsc", "console"),
        smsc_login=server.login,
        smsc_password=SecretStr(server.password),
        smsc_base_url=server.base_url,
        daily_budget=1000,
    )
    made: list[Gateway] = gateways_of(settings, SystemClock())
    assert [gateway.name for gateway in made] == ["smsc", "console"]
    assert isinstance(await made[0].send(MESSAGE), Accepted)
    for gateway in made:
        await gateway.close()
    await server.stop()


async def test_the_practice_phone_takes_the_place_of_a_default_only() -> None:
    phone = Console(io.StringIO())
    assert gateways_of(Settings(), SystemClock(), phone) == [phone]
    assert [made is phone for made in gateways_of(Settings(sms_gateways=("console",)), SystemClock(), phone)] == [False]
