"""The letter of an invitation, as a whole message (RFC 5322): text, and the same as HTML."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from handlers.product import Product
from handlers.voice import Voice
from locales import Texts
from storage.letters import Letter

_PAGES = Path(__file__).parent / "pages"
_HTML = (_PAGES / "letter.html").read_text(encoding="utf-8")
_STYLE = (_PAGES / "letter.css").read_text(encoding="utf-8")
_LONGEST_NAME = 32
_IN_NAMES = " -'’"


@dataclass(frozen=True)
class Composer:
    """Writes letters from `sender`. Quoted-printable: every line is short and ASCII, whatever the server takes."""

    texts: Texts
    product: Product
    sender: str

    def compose(self, letter: Letter, stop_url: str) -> bytes:
        """Return the letter; `stop_url` is where its reader asks for no more. Its id is the same at each try."""
        language = self.texts.pick(letter.language)
        voice = Voice(self.texts, self.product, language, letter.created_at)
        values: dict[str, Any] = {
            "name": shown_name(letter.inviter) or self.texts.plain(language, "letter-colleague"),
            "product": self.product.name, "until": voice.moment(letter.expires_at), "stop": stop_url,
            "link": f"https://t.me/{self.product.bot_username}?start=i_{letter.name}",
        }  # fmt: skip
        message = EmailMessage(policy=SMTP)
        message["From"] = Address(self.product.name, addr_spec=self.sender)
        message["To"] = Address(addr_spec=letter.address)
        message["Subject"] = self.texts.plain(language, "letter-subject", **values)
        message["Date"] = format_datetime(letter.created_at)
        message["Message-ID"] = f"<{letter.id.hex}@{self.sender.rpartition('@')[2]}>"
        # Nobody's out-of-office answers it (RFC 3834, 5).
        message["Auto-Submitted"] = "auto-generated"
        text = "\n\n".join(self.texts.plain(language, key, **values) for key in _TEXT)
        message.set_content(text, cte="quoted-printable")
        message.add_alternative(self._html(language, values), subtype="html", cte="quoted-printable")
        # After the content, which takes whatever is said of it along into its part.
        message["Content-Language"] = language
        return _unsubscribe(stop_url) + bytes(message)

    def _html(self, language: str, values: dict[str, Any]) -> str:
        def say(key: str) -> Markup:
            return self.texts.html(language, key, **values)

        return str(
            Markup(_HTML).format(  # noqa: S704 - our own file, and what is put into it is escaped
                language=language, style=Markup(_STYLE),  # noqa: S704 - our own file
                title=self.texts.plain(language, "letter-subject", **values), product=values["product"],
                invites=say("letter-invites"), how=say("letter-how"), register=say("letter-register"),
                link=values["link"], until=say("letter-until"), why=say("letter-why"), stop=values["stop"],
                stop_label=say("letter-stop"),
            )
        )  # fmt: skip


_TEXT = ("letter-invites", "letter-how", "letter-link", "letter-until", "letter-why", "letter-stop-text")


def shown_name(name: str) -> str:
    """Return of a name in Telegram what may stand in a letter to a stranger: letters, and what joins them in names.

    Anybody can call themselves an address, a telephone number or an offer: the letter must carry none of it.
    """
    kept = "".join(
        letter if letter in _IN_NAMES or unicodedata.category(letter)[0] in "LM" else " "
        for letter in unicodedata.normalize("NFC", name)
    )
    return " ".join(kept.split())[:_LONGEST_NAME].strip(_IN_NAMES)


def _unsubscribe(stop_url: str) -> bytes:
    """Return the headers for a mail program's own button (RFC 2369; RFC 8058 wants https).

    Written here: the library would fold a long address in a way that breaks it.
    """
    lines = [f"List-Unsubscribe: <{stop_url}>"]
    if stop_url.startswith("https://"):
        lines.append("List-Unsubscribe-Post: List-Unsubscribe=One-Click")
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")
