"""The mail server that invitations leave by, and who they come from."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, SecretStr
from pydantic_settings import BaseSettings

from bot.setting_types import Word, choice, count, is_loopback

# What a mail server takes of an operator: no quotes, no comments, no letters beyond ASCII (RFC 5321, 4.1.2).
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9-]{1,63}\.)*[A-Za-z0-9-]{1,63}")


def _read_address(value: Any) -> str:
    if not _ADDRESS.fullmatch(str(value)):
        raise ValueError("is no address; write it alone, as invitations@example.com")
    return str(value)


class MailSettings(BaseSettings):
    """One server; `mail_mistakes` says what does not fit together."""

    smtp_host: Word | None = None
    # Submission, with STARTTLS (RFC 6409); with SMTP_TLS=tls it is 465 at most servers (RFC 8314).
    smtp_port: Annotated[int, count(1, 65535)] = 587
    smtp_tls: Annotated[Literal["starttls", "tls", "off"], choice("starttls", "tls", "off")] = "starttls"
    smtp_username: Annotated[str, BeforeValidator(str)] | None = None
    smtp_password: SecretStr | None = None
    mail_from: Annotated[str, BeforeValidator(_read_address)] | None = None

    def mail_mistakes(self, public_url: str | None) -> list[str]:
        """Return one line per setting that is of no use without another; `public_url` is where browsers reach us."""
        found = []
        if self.smtp_host is None:
            given = {"MAIL_FROM": self.mail_from, "SMTP_USERNAME": self.smtp_username}
            return [
                f"{name}: is of no use without SMTP_HOST; write both or neither"
                for name, value in given.items()
                if value is not None
            ]
        if self.mail_from is None:
            found.append("SMTP_HOST: is of no use without MAIL_FROM; write the address that invitations come from")
        if (self.smtp_username is None) != (self.smtp_password is None):
            found.append("SMTP_USERNAME: goes with SMTP_PASSWORD; write both or neither")
        if self.smtp_tls == "off" and not is_loopback(self.smtp_host):
            found.append("SMTP_TLS: off shows letters and password to everybody on the way; write starttls or tls")
        if public_url is None:
            found.append(
                "SMTP_HOST: needs an address browsers reach, for the page where people ask not to be written to again; "
                "write PUBLIC_URL or WEBHOOK_URL too"
            )
        return found
