"""The letter of an invitation: what it says, what nobody can put into it, and how it looks."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest
from aiosmtpd.smtp import Envelope

from bot.letter import Composer, shown_name
from bot.product import product_of
from bot.settings import Settings
from bot.tickets import StopTokens
from locales import Texts
from storage.keys import Keys
from storage.letters import Letter
from tests.fakes.mail import mistakes_in, parts, read

AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ADDRESS = "kollega@example.org"
MARK = hashlib.sha256(b"mark").digest()[:16]
KEYS = Keys("a secret of the tests, long enough for them")
TOKEN = StopTokens(KEYS).make(MARK)
STOP = f"https://registration.smarty.example/mail/stop?t={TOKEN}"


def letter(**other: Any) -> Letter:
    values: dict[str, Any] = {
        "id": UUID(int=7), "address": ADDRESS, "name": "A" * 24, "stop": MARK, "inviter": "Ира", "language": "ru",
        "created_at": AT, "expires_at": AT + timedelta(days=14), **other,
    }  # fmt: skip
    return Letter(**values)


def composed(stop: str = STOP, product: str = "Smarty CRM", **other: Any) -> bytes:
    settings = Settings(mail_from="invitations@smarty.example", smtp_host="mail.example", product_name=product)
    composer = Composer(Texts(), product_of(settings, "smarty_bot"), "invitations@smarty.example")
    return composer.compose(letter(**other), stop)


def written(**other: Any) -> EmailMessage:
    content = composed(**other)
    envelope = Envelope()
    envelope.rcpt_tos = [ADDRESS]
    assert mistakes_in(content, envelope) == []
    return read(content)


@pytest.mark.parametrize("language", ["ru", "en"])
def test_a_mail_programs_own_button_asks_for_no_more(language: str) -> None:
    """RFC 8058: https, one POST, and both headers whole."""
    made = written(language=language)
    assert made["List-Unsubscribe"] == f"<{STOP}>"
    assert made["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert made["Message-ID"] == f"<{UUID(int=7).hex}@smarty.example>"
    assert made["Content-Language"] == language
    # Where there is no https, no mail program would press it.
    assert written(stop="http://127.0.0.1:8080/mail/stop?t=x")["List-Unsubscribe-Post"] is None


def test_the_same_letter_is_written_each_time() -> None:
    """But for where its parts begin: whoever gets it twice after a crash is shown one."""
    first, again = written(), written()
    assert parts(first) == parts(again)
    kept = [name for name in first if name != "Content-Type"]
    assert [(name, first[name]) for name in kept] == [(name, again[name]) for name in kept]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Ира", "Ира"),
        ("Анна-Мария О’Нил", "Анна-Мария О’Нил"),
        ("  Жан   Жак ", "Жан Жак"),
        ("Eve\r\nBcc: everybody@example.org", "Eve Bcc everybody example org"),
        ("win at https://casino.example/now", "win at https casino example now"),
        ("call +7 916 123-45-67", "call"),
        ("<b>Ira</b>", "b Ira b"),
        ("\u202eevil", "evil"),
        ("a" * 64, "a" * 32),
        ("🙂 12345", ""),
        ("", ""),
    ],
)
def test_a_name_carries_no_offer_and_no_header(name: str, shown: str) -> None:
    assert shown_name(name) == shown
    made = written(inviter=name)
    assert made["Bcc"] is None
    text, html = parts(made)
    for part in (text, html):
        assert (shown or Texts().plain("ru", "letter-colleague")) in part
        for carried in ("casino.example", "everybody@", "916", "<b>"):
            assert carried not in part


def test_a_products_name_is_only_a_name() -> None:
    made = written(product='A & <i>B</i>, "C"')
    assert made["From"].addresses[0].display_name == 'A & <i>B</i>, "C"'
    text, html = parts(made)
    assert 'A & <i>B</i>, "C"' in text
    assert "<i>" not in html
    assert "A &amp; &lt;i&gt;B&lt;/i&gt;" in html
    assert written(product="Умная CRM")["From"].addresses[0].display_name == "Умная CRM"


def test_a_token_is_one_mailboxs_and_nobody_makes_one() -> None:
    tokens = StopTokens(KEYS)
    assert tokens.read(TOKEN) == MARK
    for wrong in ("", "x", TOKEN[:-1], TOKEN + "A", TOKEN.swapcase(), "я", "A" * 43, "A" * 500):
        assert tokens.read(wrong) is None
    later = Keys("another secret, long enough for the tests", "a secret of the tests, long enough for them")
    assert StopTokens(later).read(TOKEN) == MARK
    assert StopTokens(Keys("another secret, long enough for the tests")).read(TOKEN) is None
