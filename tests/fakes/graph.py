"""A strict Facebook over HTTP: the login dialog, the Graph API with `appsecret_proof`, signed requests.

As an app has it that requires proofs ("Require app secret"); the errors are Graph's, with their codes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import itertools
import json
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from bot.gateways.facebook import VERSION
from bot.in_app import is_in_app

_ids = itertools.count(1)


@dataclass
class FacebookUser:
    """Somebody's Facebook account. `id` is theirs for this app; the address may be missing."""

    id: str
    name: str
    email: str | None


@dataclass
class FakeGraph:
    """Start it, register the app's redirect URI, and let people log in."""

    app_id: str = "1234567890"
    app_secret: str = "facebook app secret"
    redirect_uris: set[str] = field(default_factory=set)
    users: list[FacebookUser] = field(default_factory=list)
    # What an endpoint answers instead: its path to (status, body).
    faults: dict[str, tuple[int, str]] = field(default_factory=dict)
    base_url: str = ""

    def __post_init__(self) -> None:
        self._dialogs: dict[str, dict[str, str]] = {}
        self._codes: dict[str, tuple[FacebookUser, str]] = {}
        self._tokens: dict[str, FacebookUser] = {}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Serve on a free port: dialog and Graph at one address."""
        app = web.Application()
        app.router.add_get(f"/{VERSION}/dialog/oauth", self._dialog)
        app.router.add_post("/login", self._login)
        app.router.add_post(f"/{VERSION}/oauth/access_token", self._token)
        app.router.add_get(f"/{VERSION}/me", self._me)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """End it."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def user(self, name: str, email: str | None) -> FacebookUser:
        """Make an account."""
        user = FacebookUser(f"10{next(_ids):015}", name, email)
        self.users.append(user)
        return user

    def signed_request(self, user: str, issued: int, /, *, secret: str = "", **other: Any) -> str:
        """Return a signed request as Facebook posts it."""
        said = {"algorithm": "HMAC-SHA256", "issued_at": issued, "user_id": user, **other}
        payload = base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=")
        mac = hmac.digest((secret or self.app_secret).encode(), payload, hashlib.sha256)
        return f"{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}.{payload.decode()}"

    async def _dialog(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        if is_in_app(request.headers.get("User-Agent", "")):
            return web.Response(status=403, text="Log in with Facebook is not available in embedded browsers")
        known = query.get("client_id") == self.app_id and query.get("redirect_uri") in self.redirect_uris
        if not known or query.get("response_type") != "code" or len(query.get("state", "")) < 20:
            return web.Response(status=400, text="URL blocked: this redirect failed")
        if query.get("scope") != "email":
            return web.Response(status=400, text="Invalid Scopes")
        dialog = secrets.token_urlsafe(8)
        self._dialogs[dialog] = query
        names = [(user.id, html.escape(user.name)) for user in self.users]
        buttons = "".join(f'<button name="account" value="{number}">{name}</button>' for number, name in names)
        form = f'<form method="post" action="/login"><input type="hidden" name="dialog" value="{dialog}">'
        deny = '<button name="account" value="deny">Cancel</button></form>'
        return web.Response(
            text=f'<!doctype html><link rel="icon" href="data:,"><h1>Log in</h1>{form}{buttons}{deny}',
            content_type="text/html",
        )

    async def _login(self, request: web.Request) -> web.Response:
        form = await request.post()
        query = self._dialogs.pop(str(form["dialog"]))
        if form["account"] == "deny":
            answer = {"error": "access_denied", "error_reason": "user_denied", "state": query["state"]}
        else:
            user = next(one for one in self.users if one.id == form["account"])
            code = secrets.token_urlsafe(40)
            self._codes[code] = (user, query["redirect_uri"])
            answer = {"code": code, "state": query["state"]}
        return web.Response(status=302, headers={"Location": f"{query['redirect_uri']}?{urlencode(answer)}#_=_"})

    async def _token(self, request: web.Request) -> web.Response:
        if "oauth/access_token" in self.faults:
            return self._fault("oauth/access_token")
        form = {name: str(value) for name, value in (await request.post()).items()}
        if form.get("client_id") != self.app_id:
            return _error(101, "Error validating application. Cannot get application info.")
        if form.get("client_secret") != self.app_secret:
            return _error(1, "Error validating client secret.")
        user, redirect_uri = self._codes.pop(form.get("code", ""), (None, ""))
        if user is None:
            return _error(100, "This authorization code has been used.")
        if form.get("redirect_uri") != redirect_uri:
            return _error(100, "Error validating verification code. Please make sure your redirect_uri is identical")
        token = "EAA" + secrets.token_hex(40)
        self._tokens[token] = user
        return web.json_response({"access_token": token, "token_type": "bearer", "expires_in": 5183944})

    async def _me(self, request: web.Request) -> web.Response:
        if "me" in self.faults:
            return self._fault("me")
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        user = self._tokens.get(token)
        if user is None:
            return _error(190, "Invalid OAuth access token.", status=401)
        proof = hmac.new(self.app_secret.encode(), token.encode(), hashlib.sha256).hexdigest()
        if request.query.get("appsecret_proof") != proof:
            return _error(100, "Invalid appsecret_proof provided in the API argument", kind="GraphMethodException")
        fields = request.query.get("fields", "id,name").split(",")
        known = {"id": user.id, "name": user.name, "email": user.email}
        return web.json_response({name: known[name] for name in fields if known.get(name) is not None})

    def _fault(self, path: str) -> web.Response:
        status, body = self.faults[path]
        return web.Response(status=status, text=body, content_type="application/json")


def _error(code: int, message: str, *, status: int = 400, kind: str = "OAuthException") -> web.Response:
    error = {"message": message, "type": kind, "code": code, "fbtrace_id": "A1"}
    return web.json_response({"error": error}, status=status)
