"""Facebook: the login dialog, the Graph API with `appsecret_proof`, and requests that Facebook has signed.

An identity is the person's id for this app. The e-mail may be missing, and is never taken for a verified one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from bot.gateways.http import Answer, VendorHttp
from bot.gateways.providers import NotProven, ProviderAway
from bot.settings import Settings
from storage.clock import Clock
from storage.identities import Identity

ISSUER = "https://www.facebook.com"
VERSION = "v21.0"
# Longer than any the platform gives out.
_LONGEST_ID = 64


@dataclass(frozen=True)
class SignedRequest:
    """What Facebook signed: about whom, and when."""

    subject: str
    issued_at: datetime


class Facebook:
    """The app at FACEBOOK_APP_ID. Make it inside a running loop; `close()` it at the end."""

    name = "facebook"
    issuer = ISSUER

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Take FACEBOOK_APP_ID and the rest. Raises ValueError without them."""
        if settings.facebook_app_id is None or settings.facebook_app_secret is None:
            raise ValueError("there is no FACEBOOK_APP_ID")
        self._app_id = settings.facebook_app_id
        self._secret = settings.facebook_app_secret
        self._dialog = f"{settings.facebook_base_url}/{VERSION}/dialog/oauth"
        self._graph = f"{settings.facebook_base_url.replace('//www.', '//graph.', 1)}/{VERSION}"
        self._http = VendorHttp(settings.gateway_timeout, clock)

    async def consent_url(self, state: str, nonce: str, verifier: str, redirect_uri: str) -> str:
        """See Provider."""
        query = {"client_id": self._app_id, "redirect_uri": redirect_uri, "state": state, "response_type": "code"}
        return f"{self._dialog}?{urlencode({**query, 'scope': 'email'})}"

    async def identify(self, code: str, nonce: str, verifier: str, redirect_uri: str) -> Identity:
        """See Provider."""
        secret = self._secret.get_secret_value()
        # Posted, so that neither the secret nor the code stands in an address.
        form = {"client_id": self._app_id, "client_secret": secret, "redirect_uri": redirect_uri, "code": code}
        answer = await self._call("POST", "/oauth/access_token", form=form)
        token = answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise NotProven("the code is refused")
        proof = hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()
        query = {"fields": "id,name,email", "appsecret_proof": proof}
        me = await self._call("GET", "/me", query=query, headers={"Authorization": f"Bearer {token}"})
        subject, name, email = me.get("id"), me.get("name"), me.get("email")
        if not _is_id(subject):
            raise NotProven("Graph names nobody")
        return Identity(
            provider=self.name,
            issuer=self.issuer,
            subject=str(subject),
            email=email if isinstance(email, str) else None,
            email_verified=False,
            name=name[:100] if isinstance(name, str) else "",
        )

    def read_signed(self, request: str) -> SignedRequest:
        """Return what a signed request says, once its signature is found right. Raises NotProven."""
        signature, _, payload = request.partition(".")
        right = hmac.digest(self._secret.get_secret_value().encode(), payload.encode(), hashlib.sha256)
        try:
            if not hmac.compare_digest(_decoded(signature), right):
                raise NotProven("the signed request is not Facebook's")
            said = json.loads(_decoded(payload))
            if said["algorithm"].upper() != "HMAC-SHA256" or not _is_id(said["user_id"]):
                raise NotProven("the signed request is of another kind")
            return SignedRequest(str(said["user_id"]), datetime.fromtimestamp(int(said["issued_at"]), UTC))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, OSError) as error:
            raise NotProven(f"the signed request is not understood: {type(error).__name__}") from None

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _call(self, method: str, path: str, **what: Any) -> dict[str, Any]:
        answer = await self._http.call(method, self._graph + path, **what)
        if not isinstance(answer, Answer):
            raise ProviderAway(answer.detail)
        said = answer.json()
        if answer.status == 200 and isinstance(said, dict):
            return said
        error = said.get("error") if isinstance(said, dict) else None
        code = error.get("code") if isinstance(error, dict) else None
        # Graph: 1 and 2 pass by themselves, 4 is the app's limit, 101 the app itself; 100 is a code used or too old.
        if answer.status >= 500 or 300 <= answer.status < 400 or code in (1, 2, 4, 101) or code is None:
            raise ProviderAway(f"HTTP {answer.status}, error {code}: see FACEBOOK_APP_ID and FACEBOOK_APP_SECRET")
        raise NotProven(f"Graph refuses: HTTP {answer.status}, error {code}")


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _LONGEST_ID


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("no base64url") from error
