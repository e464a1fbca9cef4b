"""A mail server over real SMTP with STARTTLS and a login, as strict as a real one, with every fault on demand."""

from __future__ import annotations

import asyncio
import datetime
import email.policy
import ipaddress
import re
import ssl
import warnings
from collections import Counter
from email.message import EmailMessage
from email.parser import BytesParser
from enum import Enum
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.waiting import until

# RFC 5321, 4.5.3.1.6: a line with its end.
_LONGEST_LINE = 1000


class MailFault(Enum):
    """What goes wrong with the next letter."""

    HANGS_AT_RCPT = "hangs before the letter"
    HANGS_AFTER_DATA = "takes the letter and never says so"
    DROPS_AFTER_DATA = "takes the letter and hangs up"


class FakeMail:
    """The server. `refuses`: an address and the line it is answered with, at RCPT; `says`: at the end of the letter."""

    username, password, sender = "registration", "mail-password", "invitations@smarty.example"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.letters: list[bytes] = []
        self.recipients: list[str] = []
        self.attempts: Counter[str] = Counter()
        self.mistakes: list[str] = []
        self.refuses: dict[str, str] = {}
        self.says: list[str] = []
        self.faults: list[MailFault] = []
        self.bundle = folder / "authority.pem"
        self._server: asyncio.Server | None = None
        self._sessions: list[SMTP] = []

    async def start(self, *, tls: str = "starttls") -> None:
        """Listen; on the same port again after `stop`."""
        if not self.bundle.exists():
            make_certificate(self.folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.bundle, self.folder / "key.pem")
        loop = asyncio.get_running_loop()

        def session() -> SMTP:
            with warnings.catch_warnings():
                # It knows of no TLS but its own.
                warnings.filterwarnings("ignore", message="Requiring AUTH while not requiring TLS")
                made = SMTP(
                    _Strict(self), hostname="mail.example", loop=loop, authenticator=self._login, auth_required=True,
                    tls_context=context if tls == "starttls" else None, require_starttls=tls == "starttls",
                    auth_require_tls=tls == "starttls",
                )  # fmt: skip
            self._sessions.append(made)
            return made

        self._server = await loop.create_server(session, "127.0.0.1", self.port, ssl=context if tls == "tls" else None)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be away."""
        if self._server is not None:
            self._server.close()
            for session in self._sessions:
                _cut(session)
            await until(lambda: all(session.transport is None for session in self._sessions))
            await self._server.wait_closed()
            self._server = None
            self._sessions.clear()

    async def letter(self, count: int = 1) -> EmailMessage:
        """Wait for the count-th letter; return it read as a mail program reads it."""
        await until(lambda: len(self.letters) >= count)
        return read(self.letters[count - 1])

    def settings(self, **other: Any) -> dict[str, Any]:
        """What an operator writes to send by this server."""
        own = {
            "smtp_host": "127.0.0.1", "smtp_port": self.port, "smtp_username": self.username,
            "smtp_password": self.password, "mail_from": self.sender,
        }  # fmt: skip
        return {**own, **other}

    def _login(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any) -> AuthResult:
        known = LoginPassword(self.username.encode(), self.password.encode())
        return AuthResult(success=isinstance(given, LoginPassword) and given == known, handled=False)


class _Strict:
    """What is asked of each command and of the letter (aiosmtpd's hooks)."""

    def __init__(self, server: FakeMail) -> None:
        self.server = server

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address != self.server.sender:
            return "553 5.7.1 Sender address rejected: not owned by the user"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.server.attempts[address] += 1
        if self.server.faults and self.server.faults[0] is MailFault.HANGS_AT_RCPT:
            self.server.faults.pop(0)
            await asyncio.sleep(3600)
        if address in self.server.refuses:
            return self.server.refuses[address].format(address=address)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = bytes(envelope.original_content or b"")
        found = mistakes_in(content, envelope)
        if found:
            self.server.mistakes += found
            return f"554 5.6.0 {found[0]}"
        if self.server.says:
            return self.server.says.pop(0).format(address=envelope.rcpt_tos[0])
        self.server.letters.append(content)
        self.server.recipients += envelope.rcpt_tos
        fault = self.server.faults.pop(0) if self.server.faults else None
        if fault is MailFault.HANGS_AFTER_DATA:
            await asyncio.sleep(3600)
        if fault is MailFault.DROPS_AFTER_DATA:
            _cut(server)
        return "250 2.0.0 OK"


def _cut(session: SMTP) -> None:
    """End a connection as a cable that was pulled does."""
    if isinstance(session.transport, asyncio.WriteTransport):
        session.transport.abort()


def mistakes_in(content: bytes, envelope: Envelope) -> list[str]:
    """Return what a strict server refuses a letter for (RFC 5321, RFC 5322)."""
    found = []
    if re.search(rb"(?<!\r)\n|\r(?!\n)", content):
        found.append("a lone CR or LF")
    if any(len(line) > _LONGEST_LINE for line in content.splitlines(keepends=True)):
        found.append("a line too long")
    if not content.isascii():
        found.append("8-bit letters that were not announced")
    head = content.partition(b"\r\n\r\n")[0]
    if any(not re.match(rb"[!-9;-~]+:|[ \t]+\S", line) for line in head.split(b"\r\n")):
        found.append("a header that is none")
    letter = read(content)
    for name in ("From", "To", "Date", "Message-ID", "Subject", "MIME-Version"):
        if len(letter.get_all(name, [])) != 1:
            found.append(f"{name} stands there {len(letter.get_all(name, []))} times")
    if not re.fullmatch(r"<[^<>@\s]+@[^<>@\s]+>", str(letter["Message-ID"])):
        found.append("Message-ID is none")
    if [address.addr_spec for address in letter["To"].addresses] != envelope.rcpt_tos:
        found.append("it is for somebody else than its headers say")
    return found + [f"{name}: {defect}" for name in letter for defect in getattr(letter[name], "defects", ())]


def read(content: bytes) -> EmailMessage:
    """Return a letter as a mail program reads it."""
    parsed = BytesParser(policy=email.policy.default).parsebytes(content)
    assert isinstance(parsed, EmailMessage)
    return parsed


def parts(letter: EmailMessage) -> tuple[str, str]:
    """Return its text and its HTML."""
    assert letter.get_content_type() == "multipart/alternative"
    text, html = letter.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    return str(text.get_content()), str(html.get_content())


def make_certificate(folder: Path) -> None:
    """Write a certificate of our own for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.example")])
    now = datetime.datetime.now(datetime.UTC)
    place = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(place, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "authority.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
