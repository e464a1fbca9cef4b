"""How a message is written for the SMS centre, what each of its answers means, and that nothing secret is shown."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr

from bot.failures import StartFailed
from bot.gateways import smpp_pdu
from bot.gateways.smpp import Smpp, make_smpp
from bot.settings import Settings
from bot.sms_text import spare
from handlers.ports import Accepted, Gateway, InvalidNumber, Misconfigured, Refused, SendResult, Unavailable
from storage.clock import SystemClock
from storage.models import Channel
from tests.bot.gateways.smpp_stage import NUMBER, TEXT, Kept, Make, centre, gateway, make, message
from tests.fakes import smpp_wire
from tests.fakes.smpp import FakeSmpp
from tests.fakes.vendor import Fault

__all__ = ["centre", "gateway", "make"]


async def test_a_message_is_delivered_over_one_kept_connection(centre: FakeSmpp, gateway: Smpp) -> None:
    results = [await gateway.send(message()) for _ in range(3)]
    assert results == [Accepted(str(sms.id), None) for sms in centre.messages]
    assert [(sms.number, sms.text, sms.sender) for sms in centre.messages] == [(NUMBER, TEXT, "SHOP")] * 3
    assert centre.code_for("7 916 123-45-67") == "012345"
    assert centre.connections == 1


async def test_the_settings_make_the_gateway(centre: FakeSmpp) -> None:
    settings = Settings(
        smpp_host=centre.host,
        smpp_port=centre.port,
        smpp_tls=False,
        smpp_system_id=centre.system_id,
        smpp_password=SecretStr(centre.password),
        smpp_sender=centre.sender,
    )
    gateway: Gateway = make_smpp(settings, SystemClock(), None)
    assert (gateway.name, gateway.channels) == ("smpp", frozenset({Channel.SMS}))
    assert isinstance(await gateway.send(message()), Accepted)
    await gateway.close()


def test_without_its_library_the_start_fails_with_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "smpp34", None)
    with pytest.raises(StartFailed, match=r"^SMS_GATEWAYS: smpp .*; run: pip install smpp34$"):
        make_smpp(Settings(), SystemClock(), None)


@pytest.mark.parametrize(
    ("text", "coding"),
    [
        ("012345 is your CRM code", 0),
        ("@£$¥èéùìòÇ Øø Åå Δ_ΦΓΛΩΠΨΣΘΞ ÆæßÉ !\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà", 0),
        ("\f^{}\\[~]|€", 0),
        (TEXT, 8),
        ("012345 ç", 8),
        ("012345 😀", 8),
        ("x" * 160, 0),
        ("€" * 80, 0),
        ("я" * 70, 8),
    ],
)
async def test_the_alphabet_is_the_one_the_text_needs(centre: FakeSmpp, gateway: Smpp, text: str, coding: int) -> None:
    assert isinstance(await gateway.send(message(text=text)), Accepted)
    assert centre.inbox(NUMBER) == [text]
    assert smpp_pdu.encoded(text)[0] == coding


def test_the_alphabet_is_the_one_that_lengths_are_counted_by() -> None:
    every = [chr(code) for code in range(0x2100)]
    one, two = ([char for char in every if spare(char) == left] for left in (159, 158))
    assert [char for char in every if smpp_pdu.encoded(char)[0] == smpp_pdu.GSM] == sorted(one + two)
    assert {len(smpp_pdu.encoded(char)[1]) for char in one} == {1}
    assert {len(smpp_pdu.encoded(char)[1]) for char in two} == {2}
    assert all(smpp_wire.decode(*smpp_pdu.encoded(char)) == char for char in every)


@pytest.mark.parametrize("text", ["", "x" * 161, "я" * 71, "€" * 81, "x" * 500])
async def test_f08_a_text_that_is_not_one_segment_is_not_sent(centre: FakeSmpp, gateway: Smpp, text: str) -> None:
    # The settings refuse a product name that would make it so long: it cannot happen.
    assert await gateway.send(message(text=text)) == Refused("the text is not one segment")
    assert centre.messages == []


@pytest.mark.parametrize(
    ("sender", "address"),
    [("+79160000000", ("79160000000", 1, 1)), ("1234", ("1234", 0, 1)), ("SHOP 24", ("SHOP 24", 5, 0))],
)
async def test_the_sender_is_a_number_a_short_number_or_a_name(
    centre: FakeSmpp, make: Make, sender: str, address: tuple[str, int, int]
) -> None:
    gateway = make(sender=sender)
    assert isinstance(await gateway.send(message()), Accepted)
    assert smpp_pdu.source_address(sender) == address
    assert centre.messages[0].sender == address[0]


@pytest.mark.parametrize("sender", ["", "ABCDEFGHIJKL", "+" + "1" * 21, "МАГАЗИН"])
async def test_a_sender_that_cannot_be_one_names_the_setting(centre: FakeSmpp, make: Make, sender: str) -> None:
    result = await make(sender=sender).send(message())
    assert isinstance(result, Misconfigured)
    assert "SMPP_SENDER" in result.detail
    assert centre.connections == 0


@pytest.mark.parametrize(
    ("lifetime", "written"),
    [
        (timedelta(minutes=10), "000000001000000R"),
        (timedelta(seconds=59), "000000000059000R"),
        (timedelta(days=3, hours=23, minutes=59, seconds=58), "000003235958000R"),
        (timedelta(days=400), "000030000000000R"),
    ],
)
def test_a_lifetime_is_written_as_a_relative_time(lifetime: timedelta, written: str) -> None:
    assert smpp_pdu.relative_time(lifetime) == written


@pytest.mark.parametrize("nack", [False, True])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0x01, Refused),
        (0x02, Unavailable),
        (0x04, Unavailable),
        (0x08, Unavailable),
        (0x0A, Misconfigured),
        (0x48, Misconfigured),
        (0x49, Misconfigured),
        (0x0B, InvalidNumber),
        (0x14, Unavailable),
        (0x45, Unavailable),
        (0x58, Unavailable),
        (0x62, Unavailable),
        (0x64, Unavailable),
        (0x65, Refused),
        (0x66, Refused),
        (0xFF, Unavailable),
        (0x40A, Unavailable),
    ],
)
async def test_f05_each_status_of_the_centre_has_its_class(
    centre: FakeSmpp, gateway: Smpp, status: int, expected: type[SendResult], nack: bool
) -> None:
    centre.nack = nack
    centre.faults.append(Fault(error_code=status, path="submit"))
    result = await gateway.send(message())
    assert isinstance(result, expected)
    assert not isinstance(result, Accepted)
    assert f"{status:#x}" in result.detail
    assert isinstance(result, Misconfigured) == ("SMPP_SENDER" in result.detail)
    assert isinstance(await gateway.send(message()), Accepted)


async def test_a_number_that_is_none_is_invalid(gateway: Smpp) -> None:
    assert isinstance(await gateway.send(message("+12")), InvalidNumber)


@pytest.mark.parametrize("answer", [b"", b"\0"])
async def test_a_message_taken_without_an_id_is_taken(centre: FakeSmpp, gateway: Smpp, answer: bytes) -> None:
    centre.faults.append(Fault(path="submit", body=smpp_wire.Pdu(smpp_wire.ANSWER | 4, 0, 2, answer).encode()))
    assert await gateway.send(message()) == Accepted(provider_id=None)


async def test_nothing_secret_is_shown(centre: FakeSmpp, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    gateway = make(timeout=1)
    kept = Kept()
    gateway.on_report = kept
    results: list[object] = [await gateway.send(message())]
    await centre.report(str(centre.messages[0].id), "UNDELIV")
    for fault in (Fault(error_code=0x58), Fault(drop=True), Fault(body=TEXT.encode("utf-16-be") * 3)):
        centre.faults.append(replace(fault, path="submit"))
        results.append(await gateway.send(message()))
    results.append(await make(password="wrong123").send(message()))
    shown = f"{results}{kept.reports}{gateway!r}{gateway._account!r}{gateway._session!r}{caplog.text}"
    for secret in (NUMBER[1:], "012345", centre.password, "wrong123", "код"):
        assert secret not in shown
