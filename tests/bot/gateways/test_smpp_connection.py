"""The one connection to the SMS centre: bound, lost, found dead, closed, encrypted; and what becomes of messages."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bot.gateways.smpp import Smpp
from handlers.ports import Accepted, Misconfigured, SendResult, Unavailable, Unknown
from tests.bot.gateways.smpp_stage import NUMBER, TEXT, Kept, Make, centre, gateway, make, message
from tests.fakes import smpp_wire
from tests.fakes.smpp import FakeSmpp
from tests.fakes.vendor import Fault
from tests.waiting import until

__all__ = ["centre", "gateway", "make"]


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
