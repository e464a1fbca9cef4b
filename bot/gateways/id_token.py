"""Verifying an ID token (OpenID Connect Core 1.0, section 3.1.3.7). Its libraries take 13 MB: loaded for the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bot.gateways.providers import NotProven

# Signatures with a private key alone: with `none` or HS256 anybody could sign.
ALGORITHMS = ("RS256", "PS256", "ES256")
# Seconds that the provider's clock may be ahead or behind.
_LEEWAY = 60


class UnknownKey(Exception):
    """The token is signed with a key that is none of those at hand."""


@dataclass(frozen=True)
class Expected:
    """What a token has to say. `issuers`: names of the one issuer."""

    issuers: tuple[str, ...]
    client_id: str
    nonce: str
    now: int


class Verifier:
    """Verifies tokens with a provider's published keys (RFC 7517). Make it in a thread: it loads much."""

    def __init__(self) -> None:
        # Not at the top: see the module's own words.
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError, JoseError
        from joserfc.jwk import KeySet

        self._jwt, self._keys_of = jwt, KeySet.import_key_set
        self._unknown_key = InvalidKeyIdError
        self._errors = (JoseError, ValueError, TypeError, KeyError, AttributeError)

    def claims(self, token: str, keys: Any, expected: Expected) -> dict[str, Any]:
        """Return the token's claims. Raises UnknownKey (also when the keys are none), NotProven."""
        try:
            known = self._keys_of(keys)
        except self._errors:
            raise UnknownKey from None
        try:
            found = self._jwt.decode(token, known, algorithms=ALGORITHMS).claims
            self._registry(expected).validate(found)
        except self._unknown_key:
            raise UnknownKey from None
        except self._errors as error:
            raise NotProven(f"the ID token is refused: {type(error).__name__} {_claim(error)}") from None
        audience = found["aud"]
        party = found.get("azp")
        if party != expected.client_id and (party is not None or (isinstance(audience, list) and len(audience) > 1)):
            raise NotProven("the ID token is refused: azp")
        return dict(found)

    def _registry(self, expected: Expected) -> Any:
        return self._jwt.JWTClaimsRegistry(
            now=expected.now,
            leeway=_LEEWAY,
            iss={"essential": True, "values": list(expected.issuers)},
            aud={"essential": True, "value": expected.client_id},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": expected.nonce},
        )


def _claim(error: Exception) -> str:
    """Return which claim is meant, never its value."""
    return str(getattr(error, "claim", ""))
