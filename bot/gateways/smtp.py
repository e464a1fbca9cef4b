"""E-mail by a mail server of the operator's (SMTP submission, RFC 6409), one connection per letter.

What a server says is told by its codes alone (RFC 5321, 4.2; RFC 3463): its words repeat the address.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property

import aiosmtplib
from aiosmtplib import (
    SMTPAuthenticationError,
    SMTPDataError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)

from bot.settings import Settings
from handlers.ports import Accepted, Misconfigured, Refused, Unavailable, Unknown

MailResult = Accepted | Refused | Unavailable | Unknown | Misconfigured

_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
# Authentication is required, too weak, or has failed (RFC 4954, 6).
_OF_THE_LOGIN = frozenset({530, 534, 535, 538})
# Seconds for a goodbye that changes nothing any more.
_GOODBYE = 1.0


class Smtp:
    """Takes a whole letter (RFC 5322, with CRLF) for one address. Never raises: the result says what became of it."""

    def __init__(self, settings: Settings) -> None:
        """Take the operator's server; raises ValueError without one."""
        if settings.smtp_host is None or settings.mail_from is None:
            raise ValueError("there is neither SMTP_HOST nor MAIL_FROM")
        self._host, self._port, self._tls = settings.smtp_host, settings.smtp_port, settings.smtp_tls
        self._sender = settings.mail_from
        self._username = settings.smtp_username
        self._password = settings.smtp_password.get_secret_value() if settings.smtp_password else None
        # Twice it is the least OUTBOX_LEASE, after which somebody else would send the same.
        self._timeout = settings.gateway_timeout.total_seconds()

    async def send(self, recipient: str, letter: bytes) -> MailResult:
        """Hand a letter over."""
        async with self._session() as smtp:
            return await self._prepare(smtp, recipient) or await self._hand_over(smtp, letter)

    async def knock(self) -> MailResult | None:
        """Do what comes before a letter and leave; None when the server would take one."""
        async with self._session() as smtp:
            return await self._prepare(smtp)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[aiosmtplib.SMTP]:
        smtp = aiosmtplib.SMTP(
            hostname=self._host, port=self._port, username=self._username, password=self._password,
            timeout=self._timeout, use_tls=self._tls == "tls", start_tls=self._tls == "starttls",
            tls_context=None if self._tls == "off" else self._context,
            local_hostname=self._sender.rpartition("@")[2],
        )  # fmt: skip
        try:
            yield smtp
        finally:
            with contextlib.suppress(SMTPException, OSError, TimeoutError):
                async with asyncio.timeout(_GOODBYE):
                    await smtp.quit()
            smtp.close()

    async def _prepare(self, smtp: aiosmtplib.SMTP, recipient: str | None = None) -> MailResult | None:
        """Do all that comes before the letter itself; None when it may be handed over."""
        try:
            async with asyncio.timeout(self._timeout):
                await smtp.connect()
                await smtp.mail(self._sender)
                if recipient is not None:
                    await smtp.rcpt(recipient)
        except SMTPAuthenticationError as error:
            return Misconfigured(f"SMTP_USERNAME: the server refuses the login ({_code(error)})")
        except SMTPResponseException as error:
            return self._refusal(error)
        except SMTPNotSupported as error:
            return Misconfigured(f"SMTP_TLS or SMTP_USERNAME: the server cannot do that ({type(error).__name__})")
        except (SMTPException, OSError, TimeoutError) as error:
            cause = error.__cause__ or error
            if isinstance(error, ssl.SSLError) or isinstance(cause, ssl.SSLError):
                return Misconfigured("SMTP_HOST: its certificate is not trusted, or SMTP_TLS is not what it speaks")
            return Unavailable(type(error).__name__)
        return None

    def _refusal(self, error: SMTPResponseException) -> MailResult:
        if error.code in _OF_THE_LOGIN:
            return Misconfigured(f"SMTP_USERNAME: the server wants another login ({_code(error)})")
        if error.code < 500:
            return Unavailable(_code(error))
        if isinstance(error, SMTPRecipientRefused):
            return Refused(_code(error))
        if isinstance(error, SMTPSenderRefused):
            return Misconfigured(f"MAIL_FROM: the server takes no letters from there ({_code(error)})")
        return Unavailable(_code(error))

    async def _hand_over(self, smtp: aiosmtplib.SMTP, letter: bytes) -> MailResult:
        try:
            async with asyncio.timeout(self._timeout):
                await smtp.data(letter)
        except SMTPDataError as error:
            return Refused(_code(error)) if error.code >= 500 else Unavailable(_code(error))
        except (SMTPException, OSError, TimeoutError) as error:
            # The server may have taken it: a second one would be a second letter.
            return Unknown(type(error).__name__)
        return Accepted()

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context()


def _code(error: SMTPResponseException) -> str:
    enhanced = _ENHANCED.match(error.message)
    return f"SMTP {error.code}{' ' + enhanced[0] if enhanced else ''}"
