"""Google, or any other OpenID provider: authorization code with PKCE, state and nonce, and a verified ID token.

OpenID Connect Core 1.0 and Discovery 1.0, RFC 7636 (PKCE, S256), RFC 9700. The tokens are used once and not kept.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from bot.gateways.http import Answer, VendorHttp
from bot.gateways.id_token import Expected, UnknownKey, Verifier
from bot.gateways.providers import NotProven, ProviderAway
from bot.setting_types import read_service_url
from bot.settings import Settings
from storage.clock import Clock
from storage.identities import Identity

GOOGLE = "https://accounts.google.com"
_DISCOVERY = "/.well-known/openid-configuration"
_SCOPE = "openid email"
_PLACES = ("authorization_endpoint", "token_endpoint", "jwks_uri")
# Providers change keys and addresses rarely, and announce them for longer than this.
_KEPT = timedelta(hours=6)
# Whoever sends tokens with made-up keys must not have us ask for the keys each time.
_KEYS_AGAIN = timedelta(seconds=5)


@dataclass(frozen=True)
class _Described:
    """What the provider says of itself, and when it was read."""

    issuer: str
    authorization: str
    token: str
    jwks: str
    at: datetime


@dataclass(frozen=True)
class _Keys:
    """The provider's public keys as published (RFC 7517), and when they were read."""

    published: Any
    at: datetime


class Google:
    """The OpenID provider at GOOGLE_ISSUER. Make it inside a running loop; `close()` it at the end."""

    name = "google"

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Take GOOGLE_CLIENT_ID and the rest. Raises ValueError without them."""
        if settings.google_client_id is None or settings.google_client_secret is None:
            raise ValueError("there is no GOOGLE_CLIENT_ID")
        self.issuer: str = settings.google_issuer
        self._client_id = settings.google_client_id
        self._client_secret = settings.google_client_secret
        self._clock = clock
        self._http = VendorHttp(settings.gateway_timeout, clock)
        self._described: _Described | None = None
        self._keys: _Keys | None = None
        self._verifier: Verifier | None = None

    async def consent_url(self, state: str, nonce: str, verifier: str, redirect_uri: str) -> str:
        """See Provider."""
        place = (await self._description()).authorization
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "response_type": "code",
            "scope": _SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            # Who has several accounts there chooses one; the wrong one is a nuisance to undo.
            "prompt": "select_account",
        }
        return f"{place}{'&' if urlsplit(place).query else '?'}{urlencode(query)}"

    async def identify(self, code: str, nonce: str, verifier: str, redirect_uri: str) -> Identity:
        """See Provider. The address counts as verified only when the token says `email_verified: true`."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": self._client_id,
            "client_secret": self._client_secret.get_secret_value(),
            "code_verifier": verifier,
        }
        answer = await self._call("POST", (await self._description()).token, form)
        if answer.status in (401, 403) or _says(answer, "error") == "invalid_client":
            raise ProviderAway("the client is refused: see GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET")
        token = _says(answer, "id_token")
        if answer.status != 200 or token is None:
            raise NotProven(f"the code is refused: HTTP {answer.status}")
        claims = await self._claims(token, nonce)
        subject, email = claims["sub"], claims.get("email")
        if not 1 <= len(subject) <= 255:
            raise NotProven("the ID token is refused: sub")
        return Identity(
            provider=self.name,
            issuer=self.issuer,
            subject=subject,
            email=email if isinstance(email, str) else None,
            email_verified=claims.get("email_verified") is True,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _claims(self, token: str, nonce: str) -> dict[str, Any]:
        if self._verifier is None:
            self._verifier = await asyncio.to_thread(Verifier)
        issuer = (await self._description()).issuer
        # Google alone writes its name in two ways.
        issuers = (issuer, issuer.removeprefix("https://")) if issuer == GOOGLE else (issuer,)
        expected = Expected(issuers, self._client_id, nonce, int(self._clock.now().timestamp()))
        try:
            return self._verifier.claims(token, await self._published(), expected)
        except UnknownKey:
            pass
        try:
            return self._verifier.claims(token, await self._published(again=True), expected)
        except UnknownKey:
            raise NotProven("the ID token is refused: unknown kid") from None

    async def _published(self, *, again: bool = False) -> Any:
        """Return the provider's keys; `again`: one is missing among those at hand."""
        now, keys = self._clock.now(), self._keys
        most = _KEYS_AGAIN if again else _KEPT
        if keys is None or now - keys.at >= most:
            published = (await self._call("GET", (await self._description()).jwks)).json()
            if not isinstance(published, dict):
                raise ProviderAway("its keys are not readable")
            keys = self._keys = _Keys(published, now)
        return keys.published

    async def _description(self) -> _Described:
        now = self._clock.now()
        if self._described is None or now - self._described.at >= _KEPT:
            said = (await self._call("GET", self.issuer + _DISCOVERY)).json()
            self._described = _read_description(said, self.issuer, now)
        return self._described

    async def _call(self, method: str, url: str, form: dict[str, str] | None = None) -> Answer:
        answer = await self._http.call(method, url, form=form)
        if not isinstance(answer, Answer):
            raise ProviderAway(answer.detail)
        # A redirect is not followed: nobody but the provider is to see what is sent.
        if answer.status >= 500 or answer.status == 429 or 300 <= answer.status < 400:
            raise ProviderAway(f"HTTP {answer.status}")
        if method == "GET" and answer.status != 200:
            raise ProviderAway(f"HTTP {answer.status}: see GOOGLE_ISSUER")
        return answer


def _read_description(said: Any, issuer: str, now: datetime) -> _Described:
    if not isinstance(said, dict) or str(said.get("issuer", "")).rstrip("/") != issuer:
        # Else one provider could speak for another (OpenID Connect Discovery 1.0, section 4.3).
        raise ProviderAway("its description is not the issuer's: see GOOGLE_ISSUER")
    places = [str(said.get(name, "")) for name in _PLACES]
    try:
        for place in places:
            read_service_url(urlsplit(place)._replace(query="").geturl())
    except ValueError:
        raise ProviderAway("its description lacks an address, or has one without https") from None
    authorization, token, jwks = places
    return _Described(str(said["issuer"]), authorization, token, jwks, now)


def _says(answer: Answer, name: str) -> str | None:
    said = answer.json()
    value = said.get(name) if isinstance(said, dict) else None
    return value if isinstance(value, str) else None
