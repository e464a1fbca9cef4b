"""Signing people in: the link of "Get started" carries a signed token, and the key to check it with is published.

A JWT (RFC 7519) signed with Ed25519 under the name every library knows, `EdDSA` (RFC 8037); the newer name `Ed25519`
(RFC 9864) is known to few so far. Its libraries take 13 MB and a tenth of a second, so they are loaded for the first
token, in a thread.
"""

from __future__ import annotations

import asyncio
import base64
import os
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import SplitResult, urlsplit

from aiohttp import web

from bot.settings import Settings
from storage.keys import Keys

ALGORITHM = "EdDSA"
PARAMETER = "token"
JWKS_PATH = "/.well-known/jwks.json"
# Seconds. A reader that meets a key it does not know asks again anyway.
_CACHED_FOR = 300
_PURPOSE = "start token"
_PORTS = {"http": 80, "https": 443}


class SignIn:
    """Makes links to START_URL that sign one account in, once.

    The token's `sub` is the account's id, `aud` the origin of START_URL, `iss` START_TOKEN_ISSUER or the bot's address,
    `jti` 128 random bits; times are in whole seconds. `random` returns so many bytes.
    """

    def __init__(
        self, settings: Settings, keys: Keys, bot_username: str, random: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._url = urlsplit(settings.start_url)
        self._lifetime: timedelta = settings.start_token_lifetime
        self._issuer = settings.start_token_issuer or f"https://t.me/{bot_username}"
        self._seeds = keys.every(_PURPOSE)
        self._random = random
        self._signer: _Signer | None = None

    async def ready(self) -> None:
        """Load what signing takes; to be awaited before `link`, and quick after the first time."""
        await self._loaded()

    def link(self, account_id: str, now: datetime) -> str:
        """Return START_URL with a fresh token for this account. Raises RuntimeError before `ready`."""
        separator = "&" if self._url.query else ""
        query = f"{self._url.query}{separator}{PARAMETER}={self._token(account_id, now)}"
        return self._url._replace(query=query).geturl()

    async def jwks(self) -> dict[str, Any]:
        """Return the public keys (RFC 7517, section 5) that tokens in use may be signed with, the present one first."""
        return {"keys": (await self._loaded()).public()}

    def add_to(self, app: web.Application) -> None:
        """Add the route where the keys are read."""
        app.router.add_get(JWKS_PATH, self._answer)

    async def _answer(self, _: web.Request) -> web.Response:
        headers = {"Cache-Control": f"public, max-age={_CACHED_FOR}", "X-Content-Type-Options": "nosniff"}
        return web.json_response(await self.jwks(), headers=headers)

    async def _loaded(self) -> _Signer:
        if self._signer is None:
            self._signer = await asyncio.to_thread(_Signer, self._seeds)
        return self._signer

    def _token(self, account_id: str, now: datetime) -> str:
        if self._signer is None:
            raise RuntimeError("the keys are not loaded")
        issued = int(now.timestamp())
        return self._signer.sign(
            {
                "iss": self._issuer,
                "sub": account_id,
                "aud": origin(self._url),
                "iat": issued,
                "exp": issued + int(self._lifetime.total_seconds()),
                "jti": base64.urlsafe_b64encode(self._random(16)).rstrip(b"=").decode(),
            }
        )


class _Signer:
    """The keys, present one first, and what signs with them."""

    def __init__(self, seeds: tuple[bytes, ...]) -> None:
        # Not at the top: see the module's own words.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from joserfc import jwt
        from joserfc.errors import SecurityWarning
        from joserfc.jwk import OKPKey

        self._encode = jwt.encode
        # It is about the algorithm's older name, which is meant: see above. Once for all, since to keep it to a call
        # takes half as long as to sign.
        warnings.simplefilter("ignore", SecurityWarning)
        self._keys = [OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(seed)) for seed in seeds]
        for key in self._keys:
            # Its thumbprint (RFC 7638).
            key.ensure_kid()
        # The first one makes what the others find made.
        self.sign({})

    def public(self) -> list[dict[str, Any]]:
        return [{**key.as_dict(private=False), "use": "sig", "alg": ALGORITHM} for key in self._keys]

    def sign(self, claims: dict[str, Any]) -> str:
        key = self._keys[0]
        return self._encode({"alg": ALGORITHM, "kid": key.kid}, claims, key, algorithms=[ALGORITHM])


def origin(url: SplitResult) -> str:
    """Return a web address's origin as RFC 6454 writes it: without the port that is its scheme's own."""
    host = url.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = "" if url.port in (None, _PORTS.get(url.scheme)) else f":{url.port}"
    return f"{url.scheme}://{host}{port}"
