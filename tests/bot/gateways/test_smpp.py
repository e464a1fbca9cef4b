from __future__ import annotations

import asyncio
import logging
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from bot.failures import StartFailed
from bot.gateways import smpp_pdu
from bot.gateways.smpp import Smpp, make_smpp
from bot.gateways.smpp_session import Account
from bot.settings import Settings
from bot.sms_text import spare
from handlers.ports import (
    Accepted,
    CodeMessage,
    Gateway,
    InvalidNumber,
    Misconfigured,
    Refused,
    Report,
    SendResult,
    Unavailable,
    Unknown,
)
from storage.clock import SystemClock
from storage.models import Channel, SendState
from tests.fakes import smpp_wire
from tests.fakes.smpp import FakeSmpp
from tests.fakes.vendor import Fault
from tests.waiting import until

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


# Sending.


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


# Binding.


@pytest.mark.parametrize("account", [{"system_id": "other"}, {"password": "wrong123"}, {"password": "пароль"}])
async def test_wrong_credentials_name_the_settings(make: Make, account: dict[str, str]) -> None:
    result = await make(**account).send(message())
    assert isinstance(result, Misconfigured)
    assert "SMPP_SYSTEM_ID and SMPP_PASSWORD" in result.detail
    assert not any(value in result.detail for value in account.values())


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0x0D, Misconfigured),
        (0x0E, Misconfigured),
        (0x0F, Misconfigured),
        (0x03, Misconfigured),
        (0x05, Unavailable),
        (0x08, Unavailable),
        (0x14, Unavailable),
        (0x58, Unavailable),
    ],
)
@pytest.mark.parametrize("nack", [False, True])
async def test_f05_each_status_of_a_bind_has_its_class(
    centre: FakeSmpp, gateway: Smpp, status: int, expected: type[SendResult], nack: bool
) -> None:
    centre.nack = nack
    centre.faults.append(Fault(error_code=status, path="bind"))
    assert isinstance(await gateway.send(message()), expected)
    await until(lambda: not centre._links, seconds=2)
    # Nothing is remembered of it: the operator may have mended it meanwhile.
    assert isinstance(await gateway.send(message()), Accepted)


async def test_f01_nobody_listens(centre: FakeSmpp, make: Make) -> None:
    await centre.stop()
    assert await make().send(message()) == Unavailable("no connection: ConnectionRefusedError")
    assert isinstance(await make(host="nothing.invalid").send(message()), Unavailable)
    assert isinstance(await make(host="x" * 64).send(message()), Misconfigured)


async def test_f01_a_centre_that_does_not_answer_the_bind_got_nothing(centre: FakeSmpp, make: Make) -> None:
    centre.dead = True
    result = await make(timeout=0.4).send(message())
    assert isinstance(result, Unavailable)
    assert "SMPP_HOST" in result.detail
    await until(lambda: not centre._links, seconds=2)


@pytest.mark.parametrize(
    "fault", [Fault(drop=True), Fault(body=b"HTTP/1.1 400 Bad Request\r\n\r\n"), Fault(body=b"\0" * 16)]
)
async def test_f04_something_else_than_a_centre_got_nothing(centre: FakeSmpp, gateway: Smpp, fault: Fault) -> None:
    centre.faults.append(replace(fault, path="bind"))
    assert isinstance(await gateway.send(message()), Unavailable)


async def test_many_first_messages_bind_once(centre: FakeSmpp, gateway: Smpp) -> None:
    numbers = [f"+7916000{i:04}" for i in range(60)]
    results = await asyncio.gather(
        *(gateway.send(message(number, f"{i:06} — код")) for i, number in enumerate(numbers))
    )
    assert [centre.code_for(number) for number in numbers] == [f"{i:06}" for i in range(60)]
    by_id = {sms.id: sms.number for sms in centre.messages}
    assert [by_id[str(result.provider_id)] for result in results if isinstance(result, Accepted)] == numbers
    assert centre.connections == 1
    assert centre.most_at_once <= 10


async def test_too_many_waiting_messages_are_left_to_the_next_gateway(centre: FakeSmpp, make: Make) -> None:
    gateway = make(timeout=0.6)
    await gateway.send(message())
    centre.dead = True
    results = await asyncio.gather(*(gateway.send(message()) for _ in range(11)))
    assert [type(result) for result in results].count(Unknown) == 10
    assert Unavailable("too many messages wait for an answer") in results


# Losing the connection.


async def test_f02_a_timeout_after_it_was_taken_is_unknown(centre: FakeSmpp, make: Make) -> None:
    gateway = make(timeout=0.4)
    centre.faults.append(Fault(path="submit", takes=True, delay=2))
    assert await gateway.send(message()) == Unknown("no answer in time")
    assert centre.inbox(NUMBER) == [TEXT]
    # The connection is as good as before.
    assert isinstance(await gateway.send(message()), Accepted)
    assert centre.connections == 1


async def test_f02_a_late_answer_is_nobody_elses(centre: FakeSmpp, make: Make) -> None:
    gateway = make(timeout=0.4)
    centre.faults.append(Fault(path="submit", delay=0.5))
    assert isinstance(await gateway.send(message("+79160000001")), Unknown)
    await centre.wait_for("+79160000001")
    results = [await gateway.send(message(f"+791600000{i}")) for i in (10, 11)]
    assert results == [Accepted(str(sms.id)) for sms in centre.messages[1:]]


@pytest.mark.parametrize("takes", [True, False])
@pytest.mark.parametrize("body", [None, b"\xff" * 64])
async def test_f02_a_connection_lost_after_the_message_left_is_unknown(
    centre: FakeSmpp, gateway: Smpp, takes: bool, body: bytes | None
) -> None:
    centre.faults.append(Fault(path="submit", drop=body is None, body=body, takes=takes))
    assert await gateway.send(message()) == Unknown("the connection was lost before the answer")
    assert len(centre.messages) == takes
    assert isinstance(await gateway.send(message()), Accepted)
    assert centre.connections == 2


async def test_a_restart_of_the_centre_between_two_messages_is_not_noticed(centre: FakeSmpp, gateway: Smpp) -> None:
    assert isinstance(await gateway.send(message()), Accepted)
    await centre.drop()
    session = gateway._session
    assert session is not None
    await session.ended.wait()
    assert isinstance(await gateway.send(message()), Accepted)
    assert centre.connections == 2


async def test_an_unbind_of_the_centre_is_answered_and_bound_anew(centre: FakeSmpp, gateway: Smpp) -> None:
    assert isinstance(await gateway.send(message()), Accepted)
    await centre.say(smpp_wire.UNBIND)
    await until(lambda: ("answer", 0) in centre.seen)
    assert isinstance(await gateway.send(message()), Accepted)
    assert centre.connections == 2


async def test_a_dead_connection_is_found_out_by_asking(centre: FakeSmpp, make: Make) -> None:
    gateway = make(timeout=0.6, enquire_every=0.05)
    assert isinstance(await gateway.send(message()), Accepted)
    await until(lambda: centre.seen.count(("enquire", 0)) >= 3)
    session = gateway._session
    assert session is not None
    assert not session.ended.is_set()
    centre.dead = True
    async with asyncio.timeout(10):
        await session.ended.wait()
    centre.dead = False
    assert isinstance(await gateway.send(message()), Accepted)
    assert centre.connections == 2


async def test_the_centres_own_questions_are_answered(centre: FakeSmpp, gateway: Smpp) -> None:
    assert isinstance(await gateway.send(message()), Accepted)
    await centre.say(smpp_wire.ENQUIRE)
    # Something that is no business of ours is refused, and an answer to nothing is not met at all.
    await centre.say(0x103)
    await centre.say(smpp_wire.ANSWER | smpp_wire.SUBMIT, sequence=4711)
    await until(lambda: {("answer", 0), ("answer", 3)} <= set(centre.seen))
    assert isinstance(await gateway.send(message()), Accepted)
    assert centre.connections == 1


async def test_close_unbinds_and_nothing_is_sent_after_it(centre: FakeSmpp, gateway: Smpp) -> None:
    assert isinstance(await gateway.send(message()), Accepted)
    await gateway.close()
    await until(lambda: ("unbind", 0) in centre.seen)
    assert await gateway.send(message()) == Unavailable("stopping")
    await gateway.close()
    assert centre.connections == 1


async def test_close_does_not_wait_for_a_dead_centre(centre: FakeSmpp, gateway: Smpp) -> None:
    gateway.on_report = Kept()
    assert isinstance(await gateway.send(message()), Accepted)
    centre.dead = True
    waiting = asyncio.create_task(gateway.send(message()))
    await until(lambda: centre.seen.count(("submit", 0)) == 2)
    async with asyncio.timeout(3):
        await gateway.close()
        assert await waiting == Unknown("the connection was lost before the answer")


async def test_a_message_given_up_leaves_room_for_the_next(centre: FakeSmpp, make: Make) -> None:
    gateway = make()
    centre.dead = True
    tasks = [asyncio.create_task(gateway.send(message())) for _ in range(10)]
    await until(lambda: ("bind", 0) in centre.seen)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    centre.dead = False
    assert isinstance(await gateway.send(message()), Accepted)


# Encryption.


@pytest.fixture
async def secured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeSmpp]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "both.pem").write_bytes(secret + pem)
    (tmp_path / "ca.pem").write_bytes(pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "both.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    fake = FakeSmpp()
    await fake.start(context)
    yield fake
    await fake.stop()


async def test_a_connection_is_encrypted(secured: FakeSmpp, make: Make) -> None:
    gateway = make(host="localhost", port=secured.port, tls=True)
    assert isinstance(await gateway.send(message()), Accepted)
    assert secured.inbox(NUMBER) == [TEXT]


async def test_a_certificate_of_somebody_else_is_not_trusted(
    secured: FakeSmpp, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_name = await make(host="127.0.0.1", port=secured.port, tls=True).send(message())
    monkeypatch.delenv("SSL_CERT_FILE")
    unknown = await make(host="localhost", port=secured.port, tls=True).send(message())
    for result in (other_name, unknown):
        assert isinstance(result, Misconfigured)
        assert "SMPP_TLS" in result.detail
    assert secured.seen == []


async def test_a_plain_centre_is_told_no_password_when_encryption_is_wanted(centre: FakeSmpp, make: Make) -> None:
    assert isinstance(await make(tls=True, timeout=0.6).send(message()), (Misconfigured, Unavailable))
    assert centre.seen == []


# Delivery receipts.


class Kept:
    """Keeps reports, or fails as a database that is away."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.away = False

    async def __call__(self, report: Report) -> None:
        if self.away:
            raise ConnectionError("database")
        self.reports.append(report)


async def taken(gateway: Smpp) -> str:
    result = await gateway.send(message())
    assert isinstance(result, Accepted)
    return str(result.provider_id)


@pytest.fixture
async def kept(gateway: Smpp) -> Kept:
    keeper = Kept()
    gateway.on_report = keeper
    return keeper


STATES = [
    ("DELIVRD", SendState.DELIVERED),
    ("EXPIRED", SendState.UNDELIVERED),
    ("DELETED", SendState.UNDELIVERED),
    ("UNDELIV", SendState.UNDELIVERED),
    ("REJECTD", SendState.UNDELIVERED),
    ("ENROUTE", None),
    ("ACCEPTD", None),
    ("UNKNOWN", None),
]


@pytest.mark.parametrize("form", [{}, {"parameters": True}, {"parameters": True, "written": False}])
@pytest.mark.parametrize(("state", "expected"), STATES)
async def test_each_state_of_a_receipt(
    centre: FakeSmpp, gateway: Smpp, kept: Kept, state: str, expected: SendState | None, form: dict[str, bool]
) -> None:
    message_id = await taken(gateway)
    assert await centre.report(message_id, state, error="029", **form) == 0
    if expected is None:
        assert kept.reports == []
        return
    said = f"{state} 029" if form.get("written", True) else state
    detail = "" if expected is SendState.DELIVERED else said
    assert kept.reports == [Report(message_id, expected, detail)]


async def test_t14_a_repeated_receipt_says_the_same(centre: FakeSmpp, gateway: Smpp, kept: Kept) -> None:
    message_id = await taken(gateway)
    for _ in range(3):
        assert await centre.report(message_id, "DELIVRD") == 0
    assert kept.reports == [Report(message_id, SendState.DELIVERED)] * 3


async def test_a_receipt_that_could_not_be_kept_comes_again(centre: FakeSmpp, gateway: Smpp, kept: Kept) -> None:
    message_id = await taken(gateway)
    kept.away = True
    assert await centre.report(message_id, "DELIVRD") == smpp_pdu.Status.TEMPORARY_ERROR
    kept.away = False
    assert await centre.report(message_id, "DELIVRD") == 0
    assert kept.reports == [Report(message_id, SendState.DELIVERED)]


async def test_without_anybody_to_keep_it_a_receipt_comes_again(centre: FakeSmpp, gateway: Smpp) -> None:
    assert gateway.on_report is None
    message_id = await taken(gateway)
    assert await centre.report(message_id, "DELIVRD") == smpp_pdu.Status.TEMPORARY_ERROR


async def test_receipts_come_without_a_message_being_sent_and_after_a_loss(
    centre: FakeSmpp, gateway: Smpp, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.gateways.smpp._FIRST_PAUSE", 0.01)
    await until(lambda: centre.seen.count(("bind", 0)) == 1 and bool(centre._esmes))
    assert await centre.report("AB12", "EXPIRED") == 0
    await centre.drop()
    await until(lambda: centre.seen.count(("bind", 0)) == 2 and bool(centre._esmes))
    assert await centre.report("AB13", "DELIVRD") == 0
    assert [report.provider_id for report in kept.reports] == ["AB12", "AB13"]


async def test_a_centre_that_is_away_is_asked_again_and_told_of_once(
    centre: FakeSmpp, gateway: Smpp, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.gateways.smpp._FIRST_PAUSE", 0.01)
    monkeypatch.setattr("bot.gateways.smpp._LONGEST_PAUSE", 0.02)
    caplog.set_level(logging.INFO)
    centre.always = Fault(error_code=0x0E)
    gateway.on_report = Kept()
    await until(lambda: centre.seen.count(("bind", 0)) >= 4)
    # Setting it anew makes no second keeper.
    gateway.on_report = Kept()
    centre.always = None
    await until(lambda: "bound to the SMS centre\n" in caplog.text)
    assert caplog.text.count("so no receipts come: bind refused with status 0xe: see SMPP_SYSTEM_ID") == 1
    await until(lambda: len(centre._links) == 1)
    assert centre.connections == centre.seen.count(("bind", 0))


@pytest.mark.parametrize(
    ("text", "esm_class"),
    [
        (b"id:AB12 sub:001 dlvrd:001 stat:DELIVRD err:000 text:", 0),
        (b"id:AB12 sub:001 dlvrd:001 stat:DELIVRD err:000 text:", 0x20),
        (b"id:AB12 sub:001 dlvrd:001 err:000 text:", 4),
        (b"id:AB12 stat:NEWSTAT", 4),
        (b"id: stat:DELIVRD", 4),
        (b"sub:001 stat:DELIVRD text: id:AB12", 4),
        (b"\xff\xfe", 4),
        (b"", 4),
    ],
)
async def test_t14_what_is_no_receipt_is_acknowledged_and_nothing_more(
    centre: FakeSmpp, gateway: Smpp, kept: Kept, text: bytes, esm_class: int
) -> None:
    await taken(gateway)
    assert await centre.deliver_sm(text, esm_class=esm_class) == 0
    assert kept.reports == []


@pytest.mark.parametrize("body", [b"", b"\0" * 8, b"\xff" * 300])
async def test_t14_a_malformed_deliver_sm_ends_nothing(
    centre: FakeSmpp, gateway: Smpp, kept: Kept, body: bytes
) -> None:
    await taken(gateway)
    await centre.say(smpp_wire.DELIVER, body=body)
    await until(lambda: ("answer", 0) in centre.seen)
    message_id = await taken(gateway)
    assert await centre.report(message_id, "DELIVRD") == 0
    assert len(kept.reports) == 1


async def test_more_receipts_than_can_wait_are_told_to_come_again(
    centre: FakeSmpp, gateway: Smpp, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = asyncio.Event()

    async def slow(report: Report) -> None:
        await may_go_on.wait()

    monkeypatch.setattr("bot.gateways.smpp_session._RECEIPTS", 2)
    gateway.on_report = slow
    await taken(gateway)
    tasks = [asyncio.create_task(centre.report(f"AB{n}", "DELIVRD")) for n in range(6)]
    await until(lambda: centre.seen.count(("answer", 0x14)) >= 3)
    # A message is answered meanwhile: keeping receipts does not hold up the connection.
    assert isinstance(await gateway.send(message()), Accepted)
    may_go_on.set()
    answers = await asyncio.gather(*tasks)
    assert set(answers) == {0, 0x14}


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


async def test_each_message_has_a_receipt_of_its_own(centre: FakeSmpp, gateway: Smpp, kept: Kept) -> None:
    ids = [await taken(gateway) for _ in range(20)]
    await asyncio.gather(*(centre.report(message_id, "DELIVRD") for message_id in ids))
    assert sorted(report.provider_id for report in kept.reports) == sorted(ids)
    assert len(set(ids)) == 20
