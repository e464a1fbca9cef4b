"""A strict OpenID provider over HTTP: discovery, a page that asks for consent, tokens, keys that change.

It refuses what Google refuses: an unregistered redirect URI, a missing state or nonce, PKCE that does not fit, a code
used twice, a browser inside another application. What it signs can be spoilt on purpose.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from bot.in_app import is_in_app

Json = dict[str, Any]
_ids = itertools.count(1)


@dataclass
class Account:
    """Somebody's account with the provider. `sub` never changes; the address may."""

    sub: str
    email: str
    email_verified: bool = True


@dataclass
class _Grant:
    account: Account
    redirect_uri: str
    nonce: str
    challenge: str
    used: bool = False


@dataclass
class FakeOpenId:
    """Start it, register the client's redirect URI, and let people choose their accounts."""

    client_id: str = "client-1.apps.example"
    client_secret: str = "a secret & more: ю"
    redirect_uris: set[str] = field(default_factory=set)
    accounts: list[Account] = field(default_factory=list)
    # Changes the claims or the header of the next tokens, in place.
    spoil: Callable[[Json, Json], None] = lambda claims, header: None
    # Signs in place of the provider's own way.
    sign: Callable[[Json, Json], str] | None = None
    # What the token endpoint answers instead; (status, body, headers).
    faults: dict[str, tuple[int, str, dict[str, str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    authorizations: list[dict[str, str]] = field(default_factory=list)
    base_url: str = ""
    now: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self.key = self._new_key()
        self.published = [self.key]
        self._pending: dict[str, dict[str, str]] = {}
        self._grants: dict[str, _Grant] = {}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Serve on a free port."""
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._described)
        app.router.add_get("/jwks", self._keys)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/choose", self._choose)
        app.router.add_post("/token", self._token)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """End it: the provider is down."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def account(self, email: str, *, verified: bool = True) -> Account:
        """Make an account."""
        account = Account(f"1{next(_ids):020}", email, verified)
        self.accounts.append(account)
        return account

    def rotate(self) -> None:
        """Sign with a new key, and publish it beside the old one."""
        self.key = self._new_key()
        self.published.append(self.key)

    def _new_key(self) -> RSAKey:
        return RSAKey.generate_key(2048, {"kid": f"key-{next(_ids)}", "use": "sig", "alg": "RS256"})

    def _fault(self, name: str) -> web.Response | None:
        self.asked.append(name)
        if name not in self.faults:
            return None
        status, body, headers = self.faults[name]
        return web.Response(status=status, text=body, headers=headers, content_type="application/json")

    async def _described(self, _: web.Request) -> web.Response:
        return self._fault("discovery") or web.json_response(
            {
                "issuer": self.base_url,
                "authorization_endpoint": f"{self.base_url}/authorize",
                "token_endpoint": f"{self.base_url}/token",
                "jwks_uri": f"{self.base_url}/jwks",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def _keys(self, _: web.Request) -> web.Response:
        return self._fault("jwks") or web.json_response(dict(KeySet(list(self.published)).as_dict(private=False)))

    async def _authorize(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        if is_in_app(request.headers.get("User-Agent", "")):
            return web.Response(status=403, text="Error 403: disallowed_useragent")
        if query.get("client_id") != self.client_id or query.get("redirect_uri") not in self.redirect_uris:
            return web.Response(status=400, text="Error 400: redirect_uri_mismatch")
        wanted = {"response_type": "code", "code_challenge_method": "S256"}
        wrong = [name for name, value in wanted.items() if query.get(name) != value]
        wrong += [name for name in ("state", "nonce", "code_challenge") if len(query.get(name, "")) < 20]
        if wrong or "openid" not in query.get("scope", "").split():
            return web.Response(status=400, text=f"Error 400: invalid_request {wrong}")
        self.authorizations.append(query)
        ticket = secrets.token_urlsafe(8)
        self._pending[ticket] = query
        buttons = "".join(
            f'<button name="account" value="{account.sub}">{account.email}</button>' for account in self.accounts
        )
        form = f'<form method="post" action="/choose"><input type="hidden" name="ticket" value="{ticket}">'
        deny = '<button name="account" value="deny">Cancel</button></form>'
        return web.Response(
            text=f'<!doctype html><link rel="icon" href="data:,"><h1>Choose an account</h1>{form}{buttons}{deny}',
            content_type="text/html",
        )

    async def _choose(self, request: web.Request) -> web.Response:
        form = await request.post()
        query = self._pending.pop(str(form["ticket"]))
        if form["account"] == "deny":
            answer = {"error": "access_denied", "state": query["state"]}
        else:
            account = next(one for one in self.accounts if one.sub == form["account"])
            answer = {"code": self.grant(account, query), "state": query["state"], "iss": self.base_url}
        return web.Response(status=302, headers={"Location": f"{query['redirect_uri']}?{urlencode(answer)}"})

    def grant(self, account: Account, query: Json) -> str:
        """Return a code, as if this account had been chosen for an authorization."""
        code = secrets.token_urlsafe(16)
        self._grants[code] = _Grant(account, query["redirect_uri"], query["nonce"], query["code_challenge"])
        return code

    async def _token(self, request: web.Request) -> web.Response:
        if (fault := self._fault("token")) is not None:
            return fault
        form = {name: str(value) for name, value in (await request.post()).items()}
        if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.client_secret):
            return web.json_response({"error": "invalid_client"}, status=401)
        grant = self._grants.get(form.get("code", ""))
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        fits = (
            grant is not None
            and not grant.used
            and form.get("grant_type") == "authorization_code"
            and form.get("redirect_uri") == grant.redirect_uri
            and base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == grant.challenge
        )
        if grant is None or not fits:
            return web.json_response({"error": "invalid_grant"}, status=400)
        grant.used = True
        token = self.id_token(grant.account, grant.nonce)
        return web.json_response(
            {"access_token": "ya29.x", "token_type": "Bearer", "expires_in": 3599, "id_token": token}
        )

    def id_token(self, account: Account, nonce: str) -> str:
        """Return the signed token about an account."""
        now = int(self.now())
        claims: Json = {
            "iss": self.base_url, "aud": self.client_id, "azp": self.client_id, "sub": account.sub,
            "email": account.email, "email_verified": account.email_verified, "nonce": nonce, "iat": now,
            "exp": now + 3600,
        }  # fmt: skip
        header: Json = {"alg": "RS256", "kid": self.key.kid}
        self.spoil(claims, header)
        if self.sign is not None:
            return self.sign(claims, header)
        return jwt.encode(header, claims, self.key, algorithms=["RS256"])
