"""The mail gateway against a strict server: what each answer means, and what may not be said of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.gateways.smtp import MailResult, Smtp
from bot.settings import Settings
from handlers.ports import Accepted, Misconfigured, Refused, Unavailable, Unknown
from tests.fakes.mail import FakeMail, MailFault

TO = "kollega@example.org"
LETTER = (
    f"From: Smarty CRM <{FakeMail.sender}>\r\nTo: {TO}\r\nSubject: Hello\r\nDate: Mon, 04 May 2026 12:00:00 +0000\r\n"
    "Message-ID: <one@smarty.example>\r\nMIME-Version: 1.0\r\n\r\n.hello\r\n"
).encode()


@pytest.fixture
async def mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeMail]:
    fake = FakeMail(tmp_path)
    await fake.start()
    monkeypatch.setenv("SSL_CERT_FILE", str(fake.bundle))
    yield fake
    await fake.stop()


def gateway(mail: FakeMail, **other: Any) -> Smtp:
    values = {"gateway_timeout": timedelta(milliseconds=400), **mail.settings(), **other}
    return Smtp(Settings(**values))


async def sent(mail: FakeMail, **other: Any) -> MailResult:
    return await gateway(mail, **other).send(TO, LETTER)


async def test_a_letter_arrives_as_it_was_written(mail: FakeMail) -> None:
    assert await sent(mail) == Accepted()
    assert mail.letters == [LETTER]
    assert mail.recipients == [TO]


async def test_tls_from_the_first_byte(tmp_path: Path, mail: FakeMail) -> None:
    other = FakeMail(tmp_path)
    await other.start(tls="tls")
    assert await sent(other, smtp_tls="tls") == Accepted()
    # Each speaks only what it speaks.
    assert isinstance(await sent(other), Unavailable | Misconfigured)
    assert isinstance(await sent(mail, smtp_tls="tls"), Misconfigured)
    await other.stop()


async def test_no_password_leaves_without_tls(tmp_path: Path, mail: FakeMail) -> None:
    plain = FakeMail(tmp_path)
    await plain.start(tls="off")
    result = await sent(plain)
    assert isinstance(result, Misconfigured | Unavailable)
    assert plain.letters == []
    assert await sent(plain, smtp_tls="off") == Accepted()
    await plain.stop()


async def test_a_certificate_nobody_vouches_for_is_not_trusted(mail: FakeMail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    result = await sent(mail)
    assert isinstance(result, Misconfigured)
    assert result.detail.startswith("SMTP_HOST: ")
    assert mail.letters == []


async def test_what_the_operator_must_mend_names_the_setting(mail: FakeMail) -> None:
    wrong = await sent(mail, smtp_password="another")
    assert isinstance(wrong, Misconfigured)
    assert wrong.detail.startswith("SMTP_USERNAME: ")
    nobody = await sent(mail, smtp_username=None, smtp_password=None)
    assert isinstance(nobody, Misconfigured)
    assert nobody.detail.startswith("SMTP_USERNAME: ")
    stranger = await sent(mail, mail_from="somebody@else.example")
    assert isinstance(stranger, Misconfigured)
    assert stranger.detail.startswith("MAIL_FROM: ")


@pytest.mark.parametrize(
    ("answer", "means"),
    [
        ("550 5.1.1 <{address}>: Recipient address rejected", Refused("SMTP 550 5.1.1")),
        ("552 mailbox of {address} is full", Refused("SMTP 552")),
        ("450 4.7.1 <{address}>: Greylisted, see you later", Unavailable("SMTP 450 4.7.1")),
        ("421 4.3.2 Too many connections", Unavailable("SMTP 421 4.3.2")),
    ],
)
@pytest.mark.parametrize("where", ["RCPT", "DATA"])
async def test_a_refusal_is_told_by_its_codes_alone(mail: FakeMail, where: str, answer: str, means: MailResult) -> None:
    """Its words repeat the address (T25)."""
    if where == "RCPT":
        mail.refuses[TO] = answer
    else:
        mail.says.append(answer)
    assert await sent(mail) == means
    mail.refuses.clear()
    assert await sent(mail) == Accepted()


async def test_f1_nothing_was_sent_when_it_hangs_before_the_letter(mail: FakeMail) -> None:
    mail.faults.append(MailFault.HANGS_AT_RCPT)
    assert isinstance(await sent(mail), Unavailable)
    assert mail.letters == []
    await mail.stop()
    assert isinstance(await sent(mail), Unavailable)


@pytest.mark.parametrize("fault", [MailFault.HANGS_AFTER_DATA, MailFault.DROPS_AFTER_DATA])
async def test_f2_nobody_knows_when_it_fails_after_the_letter(mail: FakeMail, fault: MailFault) -> None:
    mail.faults.append(fault)
    assert isinstance(await sent(mail), Unknown)
    assert len(mail.letters) == 1
