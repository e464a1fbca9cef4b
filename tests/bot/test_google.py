"""The OpenID provider: what is asked of it, and every answer that proves nothing."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from bot.gateways.google import Google
from bot.gateways.providers import NotProven, ProviderAway
from bot.settings import Settings
from storage.identities import Identity
from tests.fakes.oidc import Account, FakeOpenId
from tests.storage.world import MovableClock

REDIRECT = "https://bot.example.org/oauth/google/callback"
NONCE, VERIFIER, STATE = "n" * 32, "v" * 43, "s" * 32
Json = dict[str, Any]


@dataclass
class Desk:
    """A provider, its client, somebody with an account, and a clock that both look at."""

    openid: FakeOpenId
    google: Google
    ira: Account
    clock: MovableClock

    async def signs_in(self, nonce: str = NONCE, verifier: str = VERIFIER) -> Identity:
        url = await self.google.consent_url(STATE, NONCE, VERIFIER, REDIRECT)
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        return await self.google.identify(self.openid.grant(self.ira, query), nonce, verifier, REDIRECT)

    async def is_refused(self, says: str) -> None:
        with pytest.raises(NotProven, match=says):
            await self.signs_in()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    clock = MovableClock()
    openid = FakeOpenId(redirect_uris={REDIRECT}, now=lambda: clock.now().timestamp())
    await openid.start()
    settings = Settings(
        google_issuer=openid.base_url,
        google_client_id=openid.client_id,
        google_client_secret=openid.client_secret,
    )
    google = Google(settings, clock)
    yield Desk(openid, google, openid.account("ira@gmail.com"), clock)
    await google.close()
    await openid.stop()


async def test_a_good_token_is_accepted(desk: Desk) -> None:
    identity = await desk.signs_in()
    expected = Identity("google", desk.openid.base_url, desk.ira.sub, "ira@gmail.com", email_verified=True)
    assert identity == expected


async def test_what_is_asked_of_the_provider(desk: Desk) -> None:
    url = await desk.google.consent_url(STATE, NONCE, VERIFIER, REDIRECT)
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    assert query == {
        "client_id": desk.openid.client_id, "redirect_uri": REDIRECT, "response_type": "code",
        "scope": "openid email", "state": STATE, "nonce": NONCE, "code_challenge": challenge,
        "code_challenge_method": "S256", "prompt": "select_account",
    }  # fmt: skip
    assert VERIFIER not in url
    assert desk.openid.client_secret not in url


Spoil = Callable[[Json, Json], object]
WRONG: dict[str, tuple[Spoil, str]] = {
    "aud": (lambda claims, header: claims.update(aud="another client"), "aud"),
    "aud-list-without-us": (lambda claims, header: claims.update(aud=["a", "b"]), "aud"),
    "aud-missing": (lambda claims, header: claims.pop("aud"), "aud"),
    "iss": (lambda claims, header: claims.update(iss="https://evil.example"), "iss"),
    "iss-missing": (lambda claims, header: claims.pop("iss"), "iss"),
    "exp": (lambda claims, header: claims.update(exp=claims["iat"] - 3600), "exp"),
    "exp-missing": (lambda claims, header: claims.pop("exp"), "exp"),
    "exp-no-number": (lambda claims, header: claims.update(exp="tomorrow"), "exp"),
    "iat-in-the-future": (lambda claims, header: claims.update(iat=claims["iat"] + 3600), "iat"),
    "nonce": (lambda claims, header: claims.update(nonce="another nonce"), "nonce"),
    "nonce-missing": (lambda claims, header: claims.pop("nonce"), "nonce"),
    "azp": (lambda claims, header: claims.update(azp="another client"), "azp"),
    "azp-missing-of-many": (lambda claims, header: (claims.update(aud=[claims["aud"], "b"]), claims.pop("azp")), "azp"),
    "sub-missing": (lambda claims, header: claims.pop("sub"), "sub"),
    "sub-no-text": (lambda claims, header: claims.update(sub=7), "sub"),
    "sub-empty": (lambda claims, header: claims.update(sub=""), "sub"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_claim_is_refused(desk: Desk, name: str) -> None:
    spoil, says = WRONG[name]

    def change(claims: Json, header: Json) -> None:
        spoil(claims, header)

    desk.openid.spoil = change
    await desk.is_refused(says)
    desk.openid.spoil = lambda claims, header: None
    assert (await desk.signs_in()).subject == desk.ira.sub


async def test_one_audience_among_several_is_right_with_azp(desk: Desk) -> None:
    desk.openid.spoil = lambda claims, header: claims.update(aud=[claims["aud"], "b"])
    assert (await desk.signs_in()).subject == desk.ira.sub


def part(value: Json | bytes) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def test_alg_none_is_refused(desk: Desk) -> None:
    desk.openid.sign = lambda claims, header: f"{part({**header, 'alg': 'none'})}.{part(claims)}."
    await desk.is_refused("UnsupportedAlgorithm")


async def test_hs256_with_the_public_key_is_refused(desk: Desk) -> None:
    """The public key is known to everybody: taken for a secret, it would let everybody sign."""

    def sign(claims: Json, header: Json) -> str:
        signed = f"{part({**header, 'alg': 'HS256'})}.{part(claims)}"
        mac = hmac.digest(desk.openid.key.as_pem(private=False), signed.encode(), hashlib.sha256)
        return f"{signed}.{part(mac)}"

    desk.openid.sign = sign
    await desk.is_refused("UnsupportedAlgorithm")


async def test_another_key_of_the_same_name_is_refused(desk: Desk) -> None:
    other = RSAKey.generate_key(2048, {"kid": str(desk.openid.key.kid)})
    desk.openid.sign = lambda claims, header: jwt.encode(header, claims, other, algorithms=["RS256"])
    await desk.is_refused("BadSignature")


@pytest.mark.parametrize("garbage", ["", "x", "a.b.c", "eyJ.eyJ.sig", "." * 5, "\u0000"])
async def test_garbage_is_refused(desk: Desk, garbage: str) -> None:
    desk.openid.sign = lambda claims, header: garbage
    await desk.is_refused("refused")


async def test_an_unknown_kid_is_looked_up_once_and_refused(desk: Desk) -> None:
    await desk.signs_in()
    desk.clock.move(seconds=10)
    stranger = RSAKey.generate_key(2048, {"kid": "nobody's"})
    desk.openid.sign = lambda claims, header: jwt.encode(
        {**header, "kid": "nobody's"}, claims, stranger, algorithms=["RS256"]
    )
    before = desk.openid.asked.count("jwks")
    await desk.is_refused("unknown kid")
    assert desk.openid.asked.count("jwks") == before + 1
    # Whoever sends many such does not have us ask each time.
    for _ in range(5):
        await desk.is_refused("unknown kid")
    assert desk.openid.asked.count("jwks") == before + 1


async def test_a_new_key_is_found_by_itself(desk: Desk) -> None:
    await desk.signs_in()
    desk.clock.move(seconds=10)
    desk.openid.rotate()
    before = desk.openid.asked.count("jwks")
    assert (await desk.signs_in()).subject == desk.ira.sub
    assert desk.openid.asked.count("jwks") == before + 1


async def test_keys_and_description_are_kept(desk: Desk) -> None:
    for _ in range(3):
        await desk.signs_in()
    assert (desk.openid.asked.count("jwks"), desk.openid.asked.count("discovery")) == (1, 1)
    desk.clock.move(hours=7)
    await desk.signs_in()
    assert (desk.openid.asked.count("jwks"), desk.openid.asked.count("discovery")) == (2, 2)


async def test_another_verifier_is_refused(desk: Desk) -> None:
    """Who stole the code does not have it (RFC 7636)."""
    with pytest.raises(NotProven, match="HTTP 400"):
        await desk.signs_in(verifier="w" * 43)


async def test_another_attempts_nonce_is_refused(desk: Desk) -> None:
    with pytest.raises(NotProven, match="nonce"):
        await desk.signs_in(nonce="m" * 32)


async def test_a_code_is_good_once(desk: Desk) -> None:
    url = await desk.google.consent_url(STATE, NONCE, VERIFIER, REDIRECT)
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    code = desk.openid.grant(desk.ira, query)
    await desk.google.identify(code, NONCE, VERIFIER, REDIRECT)
    with pytest.raises(NotProven, match="HTTP 400"):
        await desk.google.identify(code, NONCE, VERIFIER, REDIRECT)


@pytest.mark.parametrize("said", [False, "true", 1, None])
async def test_only_a_true_email_verified_is_one(desk: Desk, said: object) -> None:
    desk.openid.spoil = lambda claims, header: claims.update(email_verified=said)
    assert (await desk.signs_in()).email_verified is False


@pytest.mark.parametrize("where", ["discovery", "jwks", "token"])
@pytest.mark.parametrize("status", [301, 302, 307, 429, 500, 503])
async def test_a_redirect_or_an_outage_is_away(desk: Desk, where: str, status: int) -> None:
    """A redirect to elsewhere is not followed: nobody but the provider is to see code and secret."""
    desk.openid.faults[where] = (status, "", {"Location": "http://127.0.0.1:1/elsewhere"} if status < 400 else {})
    with pytest.raises(ProviderAway, match=f"HTTP {status}"):
        await desk.signs_in()
    del desk.openid.faults[where]
    assert (await desk.signs_in()).subject == desk.ira.sub


@pytest.mark.parametrize("body", ["", "[]", "null", "{", '{"issuer": "https://evil.example"}'])
async def test_a_description_that_is_not_the_issuers_is_refused(desk: Desk, body: str) -> None:
    desk.openid.faults["discovery"] = (200, body, {})
    with pytest.raises(ProviderAway, match="GOOGLE_ISSUER"):
        await desk.signs_in()


async def test_an_address_without_https_is_refused(desk: Desk) -> None:
    said = {
        "issuer": desk.openid.base_url,
        "authorization_endpoint": "https://id.example/a",
        "token_endpoint": "http://id.example/t",
        "jwks_uri": "https://id.example/k",
    }
    desk.openid.faults["discovery"] = (200, json.dumps(said), {})
    with pytest.raises(ProviderAway, match="https"):
        await desk.signs_in()


async def test_a_refused_client_names_its_settings(desk: Desk) -> None:
    desk.openid.client_secret = "changed there"
    with pytest.raises(ProviderAway, match="GOOGLE_CLIENT_SECRET"):
        await desk.signs_in()


async def test_nobody_there_is_away(desk: Desk) -> None:
    await desk.openid.stop()
    with pytest.raises(ProviderAway, match="no connection"):
        await desk.signs_in()


@pytest.mark.parametrize("body", ["", "[]", '{"keys": 7}', '{"keys": []}', '{"keys": [{"kty": "RSA"}]}'])
async def test_keys_that_are_none_prove_nothing(desk: Desk, body: str) -> None:
    desk.openid.faults["jwks"] = (200, body, {})
    with pytest.raises((NotProven, ProviderAway)):
        await desk.signs_in()
    # And they are not kept for longer than a moment.
    del desk.openid.faults["jwks"]
    desk.clock.move(seconds=6)
    assert (await desk.signs_in()).subject == desk.ira.sub


async def test_what_verifying_takes_is_loaded_for_the_first_token() -> None:
    """13 MB that a bot without a sign-up never needs."""
    code = "import sys, bot.social; print({'joserfc', 'cryptography.hazmat'} & set(sys.modules))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=Path(__file__).parents[2], stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert out.decode().strip() == "set()"
