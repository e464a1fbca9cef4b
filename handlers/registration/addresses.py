"""E-mail addresses as people type them: one normal form, named mistakes, and a hint for a slip in the domain.

Nothing here asks the network; whether a domain takes mail is `bot/gateways/mail_domains.py`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from disposable_email_domains import blocklist
from email_validator import EmailNotValidError, ValidatedEmail, validate_email

from handlers.registration.mail_services import COMMON, COUNTRY_DOMAINS, KNOWN
from storage.errors import Refusal

# Cyrillic letters that look like Latin ones, typed with the keyboard's other layout left on.
_LOOKS_LATIN = {
    ord(unicodedata.lookup(f"CYRILLIC {case} LETTER {name}")): letter if case == "SMALL" else letter.upper()
    for case in ("SMALL", "CAPITAL")
    for name, letter in {
        "A": "a", "VE": "b", "IE": "e", "BYELORUSSIAN-UKRAINIAN I": "i", "JE": "j", "KA": "k", "EM": "m", "EN": "h",
        "O": "o", "ER": "p", "ES": "c", "DZE": "s", "TE": "t", "U": "y", "HA": "x",
    }.items()
}  # fmt: skip
_MAILTO = re.compile(r"mailto:([^?]*)", re.IGNORECASE)
_NAMED = re.compile(r"[^<>]*<\s*([^<>]*@[^<>]*?)\s*>[^<>@]*")
# Nothing in it looks or reads otherwise than it is.
_PRINTABLE = re.compile(r"[ -~]*")
# What people wrap around an address. None of it may end one, and only "!" may begin one, which nobody's does.
_WRAPPING = ' \t\r\n<>()[]"«»„“”‹›‘’,;:!.…'
# These may stand in an address, so only a pair of them is taken away.
_PAIRS = frozenset({"''", "``", "{}", "**", "__"})
# Shorter domains have too many real neighbours one letter away (ya.ru, bk.ru) for a hint about the name to be worth
# reading; a slip in their top level is told, unless that makes it another country's.
_SHORTEST_FOR_NAMES = 6
_SHOWN = 100


class BadAddress(Refusal):
    """The text is no address to register with."""


@dataclass
class NoAtSign(BadAddress):
    """There is no @ in it."""


@dataclass
class ImpossibleDomain(BadAddress):
    """What follows the @ (`domain`, as typed, cut to what fits a message) can be no mail domain, or takes no mail.

    `suggestion` is the whole address that was probably meant (gmail,com), if it is one slip away.
    """

    domain: str
    suggestion: str | None = None


@dataclass
class DisposableDomain(BadAddress):
    """A throw-away mailbox service."""

    domain: str


@dataclass
class ImpossibleAddress(BadAddress):
    """Something else is wrong: nothing before the @, two of them, a space, a letter no mail server takes there."""


def looks_like_address(text: str) -> bool:
    """Tell whether an address may be meant, possible or not: there is an @ in the text."""
    return "@" in _unwrap(text)


def parse_address(text: str) -> str:
    """Return the one normal form of an address: lower case, ASCII, the domain in IDNA (`xn--`).

    Takes what surrounds a pasted address: spaces and invisible characters, brackets, quotes, `mailto:`, a name.
    Dots and plus tags are kept: what they mean is the mail service's own business. The part before the @ must be
    ASCII (RFC 5321), as few senders speak SMTPUTF8 (RFC 6531). Raises a BadAddress.
    """
    typed = _unwrap(text)
    if "@" not in typed:
        raise NoAtSign
    local, _, domain = typed.rpartition("@")
    if not local or not domain or "@" in local:
        raise ImpossibleAddress
    if _is_mixed(domain):
        meant = f"{local}@{domain.translate(_LOOKS_LATIN)}"
        raise ImpossibleDomain(domain.lower()[:_SHOWN], _possible(suggest(meant) or meant))
    if not _is_mail_domain(domain):
        raise ImpossibleDomain(domain.lower()[:_SHOWN], _possible(suggest(typed)))
    found = _validated(typed)
    if found is None or found.ascii_email is None:
        raise ImpossibleAddress
    address = found.ascii_email.lower()
    if suggest(address) is None:
        # A slip such as gmial.com is often listed too; who is asked back may leave it as typed.
        _refuse_disposable(found.ascii_domain.lower())
    return address


def _is_mixed(domain: str) -> bool:
    """Tell whether one label mixes Latin and Cyrillic letters: no registry gives such a name away (UTS 39)."""
    if domain.isascii():
        return False
    scripts = ({unicodedata.name(c, "").split(" ")[0] for c in label if c.isalpha()} for label in domain.split("."))
    return any({"LATIN", "CYRILLIC"} <= found for found in scripts)


def suggest(address: str) -> str | None:
    """Return the address with the common mail domain that is one slip away from the given one, or None.

    One slip: a letter too many, missing, wrong, or swapped with its neighbour. A domain that is itself a known mail
    service is never corrected. A hint to show, never a reason to refuse.
    """
    local, _, domain = _unwrap(address).lower().rpartition("@")
    if not local or domain in KNOWN:
        return None
    meant = _meant(domain)
    return f"{local}@{meant}" if meant else None


@lru_cache(maxsize=2000)
def _meant(domain: str) -> str | None:
    return next((common for common in COMMON if _is_slip(domain, common)), None)


def display(address: str) -> str:
    """Return a normal form as people read it: the domain in its own script."""
    found = _validated(address)
    return found.normalized if found is not None else address


def masked(address: str) -> str:
    """Return a normal form as staff may see it: `iv***@ya.ru`; of a very short name less, never all of it."""
    local, _, domain = display(address).rpartition("@")
    return f"{local[: min(2, len(local) - 1)]}***@{domain}"


def _unwrap(text: str) -> str:
    """Return the address alone, in NFC, with the full-width forms of East Asian keyboards made ASCII."""
    plain = text if _PRINTABLE.fullmatch(text) else _narrowed(text)
    before = None
    while plain != before:
        before = plain
        if link := _MAILTO.search(plain):
            plain = unquote(link[1])
        if named := _NAMED.fullmatch(plain):
            plain = named[1]
        plain = plain.strip(_WRAPPING)
        if plain[:1] + plain[1:][-1:] in _PAIRS:
            plain = plain[1:-1]
    return plain


def _narrowed(text: str) -> str:
    visible = (character for character in text if unicodedata.category(character) != "Cf")
    return unicodedata.normalize("NFC", "".join(_narrow(character) for character in visible))


def _narrow(character: str) -> str:
    if character.isspace():
        return " "
    wide = "\uff01" <= character <= "\uff5e" or character == "\ufe6b"
    return unicodedata.normalize("NFKC", character) if wide else character


@lru_cache(maxsize=500)
def _is_mail_domain(domain: str) -> bool:
    return _validated(f"postmaster@{domain}") is not None


def _validated(address: str) -> ValidatedEmail | None:
    try:
        return validate_email(address, allow_smtputf8=False, strict=True, check_deliverability=False)
    except EmailNotValidError:
        return None


def _possible(address: str | None) -> str | None:
    return address if address is not None and _validated(address) is not None else None


def _refuse_disposable(domain: str) -> None:
    """Refuse a listed domain and everything under it: such services give each visitor a subdomain."""
    labels = domain.split(".")
    if any(".".join(labels[first:]) in blocklist for first in range(len(labels) - 1)):
        raise DisposableDomain(domain)


def _is_slip(domain: str, common: str) -> bool:
    if not _one_edit_apart(domain, common):
        return False
    if len(common) >= _SHORTEST_FOR_NAMES:
        return True
    name, _, top = domain.rpartition(".")
    return name == common.rpartition(".")[0] and top not in COUNTRY_DOMAINS


def _one_edit_apart(first: str, second: str) -> bool:
    """Tell whether one insertion, deletion, substitution or swap of neighbours makes the two texts equal."""
    if first == second:
        return False
    pairs = enumerate(zip(first, second, strict=False))
    same = next((place for place, (a, b) in pairs if a != b), min(len(first), len(second)))
    a, b = first[same:], second[same:]
    return a[1:] == b or a == b[1:] or a[1:] == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])
