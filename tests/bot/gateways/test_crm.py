"""What is sent to the CRM, and what its answers mean. The receiver is `standardwebhooks`' own."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jsonschema import Draft202012Validator
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from bot.crm_settings import signing_key
from bot.gateways.crm import Conflict, CrmWebhook, EventResult, Gone, NotTaken, Taken, encoded, signed
from storage.clock import SystemClock
from tests.fakes.crm import NEW_SECRET, SCHEMA, SECRET, VALIDATOR, Answer, FakeCrm

ID = UUID("5f0c3b1e-3c56-4a0b-9f3f-7f6d2f0f9a11")
DATES = {"created_at": "2026-05-04T12:00:00.000Z", "expired_at": "2026-05-05T12:00:00.000Z"}
EVENT: dict[str, Any] = {
    "type": "registration.expired",
    "timestamp": "2026-05-05T12:00:00.000Z",
    "data": {"account_id": str(ID), **DATES},
}
KEY, NEW_KEY = signing_key(SecretStr(SECRET)), signing_key(SecretStr(NEW_SECRET))
CLOCK = SystemClock()


@pytest.fixture
async def crm() -> AsyncIterator[FakeCrm]:
    fake = FakeCrm(CLOCK)
    await fake.start()
    yield fake
    await fake.stop()


async def send(url: str, *, keys: tuple[bytes, ...] = (KEY,), seconds: float = 5) -> EventResult:
    webhook = CrmWebhook(url, keys, timedelta(seconds=seconds), parallel=1)
    try:
        return await webhook.send(ID, EVENT, CLOCK.now())
    finally:
        await webhook.close()


async def test_a_call_is_what_standard_webhooks_says(crm: FakeCrm) -> None:
    assert await send(crm.url) == Taken()
    (call,) = crm.calls
    assert (call.id, call.event, call.signatures) == (str(ID), EVENT, 1)
    assert call.body == encoded(EVENT)


def test_letters_beyond_ascii_are_signed_as_they_travel() -> None:
    body = encoded({"name": "Ира"})
    assert body == '{"name":"Ира"}'.encode()
    assert Webhook(SECRET).verify(body, signed(ID, body, CLOCK.now(), [KEY])) == {"name": "Ира"}


def test_f43_the_signature_is_the_packages_own() -> None:
    body, now = encoded(EVENT), CLOCK.now()
    headers = signed(ID, body, now, [KEY, NEW_KEY])
    expected = [Webhook(secret).sign(str(ID), now, body.decode()) for secret in (SECRET, NEW_SECRET)]
    assert headers["webhook-signature"].split(" ") == expected
    # Either secret alone verifies it.
    for secret in (SECRET, NEW_SECRET):
        assert Webhook(secret).verify(body, headers) == EVENT


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "body"])
def test_nothing_signed_can_be_changed(name: str) -> None:
    body = encoded(EVENT)
    headers = signed(ID, body, CLOCK.now(), [KEY])
    if name == "body":
        body = body.replace(b"expired", b"deleted")
    else:
        headers[name] = {"webhook-id": str(UUID(int=1)), "webhook-timestamp": str(int(CLOCK.now().timestamp()) + 1)}[
            name
        ]
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body, headers)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Taken()), (201, Taken()), (204, Taken()), (299, Taken()), (409, Conflict()), (410, Gone()),
        (302, NotTaken("HTTP 302")), (400, NotTaken("HTTP 400")), (401, NotTaken("HTTP 401")),
        (429, NotTaken("HTTP 429")), (500, NotTaken("HTTP 500")), (503, NotTaken("HTTP 503")),
    ],
)  # fmt: skip
async def test_f41_what_each_status_means(crm: FakeCrm, status: int, expected: EventResult) -> None:
    crm.always = Answer(status, {"Location": "/elsewhere"} if status == 302 else {})
    assert await send(crm.url) == expected


async def test_f41_a_crm_that_does_not_answer(crm: FakeCrm) -> None:
    crm.answering.clear()
    assert await send(crm.url, seconds=0.2) == NotTaken("no answer: TimeoutError")
    crm.answering.set()
    crm.always = Answer(drop=True)
    result = await send(crm.url)
    assert isinstance(result, NotTaken)
    assert result.detail.startswith("no answer: ")
    await crm.stop()
    result = await send(crm.url)
    assert isinstance(result, NotTaken)
    assert result.detail.startswith("no connection: ")


async def test_f41_a_name_nobody_knows_and_a_certificate_nobody_trusts(crm: FakeCrm) -> None:
    for url in ("https://crm.invalid/hook", crm.url.replace("http:", "https:")):
        result = await send(url)
        assert isinstance(result, NotTaken), url


async def test_f41_a_certificate_nobody_vouches_for_is_tried_again(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    unlocked = serialization.NoEncryption()
    pem += key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unlocked)
    (tmp_path / "both.pem").write_bytes(pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "both.pem")
    fake = FakeCrm(CLOCK)
    await fake.start(context)
    assert await send(fake.url) == NotTaken("no connection: ClientConnectorCertificateError")
    assert fake.calls == []
    await fake.stop()


async def test_f41_an_endless_answer_is_not_read(crm: FakeCrm) -> None:
    crm.always = Answer(200, body=b"x" * 5_000_000)
    async with asyncio.timeout(5):
        assert await send(crm.url) == Taken()


def test_the_schema_is_one_and_the_readme_shows_what_it_says() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    example = re.search(r"```json\n(\{.*?\})\n```", readme, re.DOTALL)
    assert example is not None
    shown = json.loads(example[1])
    VALIDATOR.validate(shown)
    assert set(shown["data"]) == set(SCHEMA["$defs"]["confirmed"]["required"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "registration.invented"}, {"timestamp": "2026-05-05"}, {"timestamp": "2026-05-05T12:00:00.000+03:00"},
        {"data": {}}, {"data": {"account_id": "1", **DATES}}, {"data": {"account_id": str(ID)}},
    ],
)  # fmt: skip
def test_the_schema_refuses_what_is_no_event(wrong: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(EVENT)
    assert VALIDATOR.is_valid({**EVENT, "more": 1, "data": {**EVENT["data"], "promo": "SUMMER", "referral": None}})
    assert not VALIDATOR.is_valid({**EVENT, **wrong})


async def test_nothing_of_an_event_is_logged(crm: FakeCrm, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    crm.always = Answer(500)
    await send(crm.url)
    assert str(ID) not in caplog.text
    assert SECRET not in caplog.text
