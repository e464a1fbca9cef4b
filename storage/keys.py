"""Everything that is derived from SECRET_KEY: one key per purpose, codes, and the HMACs the ledger keeps."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from uuid import UUID


class UnknownKey(LookupError):
    """A challenge was made under a key that is neither the present nor the previous one."""


class Keys:
    """Keys derived by purpose (HKDF-SHA256, RFC 5869) from the present secret and, during a rotation, the previous.

    New codes and HMACs use the present secret. Old codes stay right, and old ledger rows keep counting, for as long
    as the previous secret is given too. Neither secret nor key shows in a repr.
    """

    def __init__(self, secret: str, previous: str | None = None) -> None:
        self._present = _Derived(secret)
        self._all = (self._present, *(() if previous is None else (_Derived(previous),)))

    @property
    def key_id(self) -> str:
        """Name the present key (8 hex digits), as `challenges.key_id` keeps it."""
        return self._present.key_id

    def derive(self, purpose: str) -> bytes:
        """Return the 32-byte key of a purpose, always the same for the same secret."""
        return self._present.derive(purpose)

    def every(self, purpose: str) -> tuple[bytes, ...]:
        """Return the 32-byte keys of a purpose, the present one first, then the previous one while it is given."""
        return tuple(derived.derive(purpose) for derived in self._all)

    def code(self, challenge_id: UUID, n: int, key_id: str, length: int = 6) -> str:
        """Return code `n` of a challenge: HMAC-SHA256 truncated to decimal digits as RFC 4226 section 5.3 does.

        Leading zeros stay. Raises UnknownKey when the secret behind `key_id` is gone.
        """
        for derived in self._all:
            if derived.key_id == key_id:
                digest = hmac.digest(derived.code_key, challenge_id.bytes + n.to_bytes(4, "big"), hashlib.sha256)
                offset = digest[-1] & 0x0F
                number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
                return str(number % 10**length).zfill(length)
        raise UnknownKey(key_id)

    def person(self, telegram_id: int) -> str:
        """Return the hex HMAC that stands for a person in the ledger."""
        return self._present.ledger("person", str(telegram_id))

    def number(self, e164: str) -> str:
        """Return the hex HMAC that stands for a number in the ledger."""
        return self._present.ledger("number", e164)

    def prefix(self, e164: str) -> str:
        """Return the hex HMAC of a number's range: the number without its last four digits."""
        return self._present.ledger("prefix", e164[:-4])

    def address(self, email: str) -> str:
        """Return the hex HMAC that stands for a normalised e-mail address in the ledger."""
        return self._present.ledger("address", email)

    def promo(self, code: str) -> str:
        """Return the hex HMAC that stands for a promo code that was refused."""
        return self._present.ledger("promo", code)

    def persons(self, telegram_id: int) -> tuple[str, ...]:
        """Return every HMAC a person may have in the ledger: a rotation of the secret must not reset a limit."""
        return tuple(derived.ledger("person", str(telegram_id)) for derived in self._all)

    def numbers(self, e164: str) -> tuple[str, ...]:
        """Return every HMAC a number may have in the ledger."""
        return tuple(derived.ledger("number", e164) for derived in self._all)

    def prefixes(self, e164: str) -> tuple[str, ...]:
        """Return every HMAC a number's range may have in the ledger."""
        return tuple(derived.ledger("prefix", e164[:-4]) for derived in self._all)

    def addresses(self, email: str) -> tuple[str, ...]:
        """Return every HMAC an address may have in the ledger."""
        return tuple(derived.ledger("address", email) for derived in self._all)


class _Derived:
    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self.code_key = self.derive("code")
        self._ledger_key = self.derive("ledger")
        self.key_id = self.derive("key-id")[:4].hex()
        # A transaction asks for the same few again and again; those of others are not kept for long.
        self.ledger = lru_cache(maxsize=64)(self._ledger)

    def derive(self, purpose: str) -> bytes:
        return hkdf(self._secret, purpose.encode())

    def _ledger(self, kind: str, value: str) -> str:
        return hmac.digest(self._ledger_key, f"{kind}:{value}".encode(), hashlib.sha256).hex()


def hkdf(secret: bytes, info: bytes, *, salt: bytes = b"", length: int = 32) -> bytes:
    """Return `length` bytes (at most 8160) derived from a secret: HKDF with SHA-256 (RFC 5869, sections 2.2, 2.3).

    Written out because the library that has it holds 7 MB of memory for these lines.
    """
    extracted = hmac.digest(salt or bytes(32), secret, hashlib.sha256)
    derived = block = b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.digest(extracted, block + info + bytes([counter]), hashlib.sha256)
        derived += block
    return derived[:length]
