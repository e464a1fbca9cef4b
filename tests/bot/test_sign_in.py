"""The token of "Get started": what it says, where it stands in the address, and which keys are published."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import redis
from aiohttp import ClientSession, web
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey, OKPKey

from bot.logs import mask
from bot.settings import Settings
from bot.sign_in import JWKS_PATH, SignIn, origin
from storage.keys import Keys
from tests.bot.test_web import serve
from tests.crm_snippet import signed_in

# joserfc says it of the name `EdDSA`, which RFC 9864 calls the older one; README's lines use it on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")

ISSUER, AUDIENCE = "https://t.me/a_bot", "https://crm.example"
ACCOUNT = "0198f3a2-0000-7000-8000-000000000001"
OLD, PRESENT = "the secret key before this one, long enough", "the secret key of today, also long enough"

Crm = Callable[[str], "asyncio.Future[str]"]


def sign_in(*, present: str = PRESENT, previous: str | None = None, **settings: Any) -> SignIn:
    values = {"start_url": f"{AUDIENCE}/start", **settings}
    return SignIn(Settings(**values), Keys(present, previous), "a_bot")


async def token(of: SignIn, *, now: datetime | None = None) -> str:
    await of.ready()
    return parse_qs(urlsplit(of.link(ACCOUNT, now or datetime.now(UTC))).query)["token"][0]


def decoded(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


@asynccontextmanager
async def published(of: SignIn) -> AsyncIterator[str]:
    app = web.Application()
    of.add_to(app)
    runner, url = await serve(app)
    yield url + JWKS_PATH
    await runner.cleanup()


@pytest.fixture
def used(redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis(unix_socket_path=redis_url.removeprefix("unix://"))
    yield client
    client.close()


@asynccontextmanager
async def crm(of: SignIn, used: redis.Redis, audience: str = AUDIENCE) -> AsyncIterator[Callable[[str], Any]]:
    """README's lines against the real endpoint; in a thread, as a CRM is a process of its own."""
    function = signed_in()
    async with published(of) as url:
        yield lambda token: asyncio.to_thread(function, token, url, ISSUER, audience, used)


async def test_a_token_is_accepted_once(used: redis.Redis) -> None:
    own = sign_in()
    async with crm(own, used) as accepts:
        one, other = await token(own), await token(own)
        assert await accepts(one) == ACCOUNT
        with pytest.raises(PermissionError, match="used before"):
            await accepts(one)
        assert await accepts(other) == ACCOUNT
        ten = await token(own)
        results = await asyncio.gather(*(accepts(ten) for _ in range(10)), return_exceptions=True)
        assert results.count(ACCOUNT) == 1


async def test_an_expired_token_is_refused_and_one_just_made_is_not(used: redis.Redis) -> None:
    own, now = sign_in(), datetime.now(UTC)
    async with crm(own, used) as accepts:
        with pytest.raises(JoseError, match="expired"):
            await accepts(await token(own, now=now - timedelta(minutes=5, seconds=15)))
        assert await accepts(await token(own, now=now - timedelta(minutes=4, seconds=50))) == ACCOUNT
        # The CRM's clock may be a little behind ours.
        assert await accepts(await token(own, now=now + timedelta(seconds=5))) == ACCOUNT
        with pytest.raises(JoseError):
            await accepts(await token(own, now=now + timedelta(minutes=1)))


async def test_what_was_made_for_another_product_or_by_another_bot_is_refused(used: redis.Redis) -> None:
    own = sign_in()
    async with crm(own, used, audience="https://other.example") as accepts:
        with pytest.raises(JoseError, match="aud"):
            await accepts(await token(own))
    async with crm(own, used) as accepts:
        with pytest.raises(JoseError, match="iss"):
            await accepts(await token(sign_in(start_token_issuer="https://t.me/other_bot")))


async def test_no_other_key_and_no_other_algorithm_signs_in(used: redis.Redis) -> None:
    own = sign_in()
    header, claims, signature = (await token(own)).split(".")
    public = (await own.jwks())["keys"][0]
    forged = {**decoded(claims), "sub": "somebody else", "jti": "forged"}
    kid = {"kid": public["kid"]}
    foreign = OKPKey.generate_key("Ed25519")
    x = base64.urlsafe_b64decode(public["x"] + "=")
    shared = [x, public["x"].encode(), json.dumps(public).encode()]
    forgeries = [
        f"{encoded({'alg': 'none', **kid})}.{encoded(forged)}.",
        f"{encoded({'alg': 'EdDSA', **kid})}.{encoded(forged)}.",
        f"{header}.{encoded(forged)}.{signature}",
        jwt.encode({"alg": "EdDSA", **kid}, dict(forged), foreign, algorithms=["EdDSA"]),
        jwt.encode({"alg": "EdDSA", "kid": foreign.thumbprint()}, dict(forged), foreign, algorithms=["EdDSA"]),
        jwt.encode({"alg": "EdDSA", "jwk": foreign.as_dict(private=False)}, dict(forged), foreign, ["EdDSA"]),
        *(jwt.encode({"alg": "HS256", **kid}, dict(forged), OctKey.import_key(key)) for key in shared),
        await token(sign_in(present="the secret key of somebody else altogether")),
    ]
    async with crm(own, used) as accepts:
        for forgery in forgeries:
            with pytest.raises((JoseError, ValueError)):
                await accepts(forgery)
        assert await accepts(f"{header}.{claims}.{signature}") == ACCOUNT


async def test_a_changed_secret_key_leaves_tokens_under_way_good(used: redis.Redis) -> None:
    before, after = sign_in(present=OLD), sign_in(previous=OLD)
    under_way = await token(before)
    async with crm(after, used) as accepts:
        assert await accepts(under_way) == ACCOUNT
        assert await accepts(await token(after)) == ACCOUNT
    old, new = (await before.jwks())["keys"][0], (await sign_in().jwks())["keys"][0]
    assert (await after.jwks())["keys"] == [new, old]
    assert decoded((await token(after)).split(".")[0])["kid"] == new["kid"]
    async with crm(sign_in(), used) as accepts:
        with pytest.raises((JoseError, ValueError)):
            await accepts(await token(before))


async def test_only_the_public_half_is_published_and_may_be_cached() -> None:
    async with published(sign_in(previous=OLD)) as url, ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("application/json")
        assert answer.headers["Cache-Control"] == "public, max-age=300"
        keys = (await answer.json())["keys"]
    names = {"kty", "crv", "x", "kid", "use", "alg"}
    assert [set(key) for key in keys] == [names, names]
    assert {(key["kty"], key["crv"], key["use"], key["alg"]) for key in keys} == {("OKP", "Ed25519", "sig", "EdDSA")}
    for key in keys:
        # Nothing that is published opens anything.
        seeds = {
            base64.urlsafe_b64encode(seed).rstrip(b"=").decode() for seed in Keys(PRESENT, OLD).every("start token")
        }
        assert key["x"] not in seeds


async def test_what_a_token_says() -> None:
    now = datetime(2026, 5, 4, 12, 0, 0, 999_999, tzinfo=UTC)
    own = SignIn(Settings(start_url=f"{AUDIENCE}/start"), Keys(PRESENT), "a_bot", random=lambda n: bytes(range(n)))
    header, claims, _ = (await token(own, now=now)).split(".")
    assert decoded(header) == {"typ": "JWT", "alg": "EdDSA", "kid": (await own.jwks())["keys"][0]["kid"]}
    issued = int(now.timestamp())
    assert decoded(claims) == {
        "iss": ISSUER, "sub": ACCOUNT, "aud": AUDIENCE, "iat": issued, "exp": issued + 300,
        "jti": "AAECAwQFBgcICQoLDA0ODw",
    }  # fmt: skip
    assert len({decoded((await token(sign_in())).split(".")[1])["jti"] for _ in range(50)}) == 50


@pytest.mark.parametrize(
    ("start_url", "begins", "ends"),
    [
        ("https://crm.example", "https://crm.example?token=", ""),
        ("https://crm.example/start", "https://crm.example/start?token=", ""),
        ("https://crm.example/start?from=bot", "https://crm.example/start?from=bot&token=", ""),
        ("https://crm.example/s?a=%20b&c=", "https://crm.example/s?a=%20b&c=&token=", ""),
        ("https://crm.example/start#/hash", "https://crm.example/start?token=", "#/hash"),
        ("https://crm.example/start?a=1#b", "https://crm.example/start?a=1&token=", "#b"),
    ],
)
async def test_the_token_is_added_to_the_address(start_url: str, begins: str, ends: str) -> None:
    own = sign_in(start_url=start_url)
    await own.ready()
    link = own.link(ACCOUNT, datetime.now(UTC))
    assert link.startswith(begins)
    assert link.endswith(ends)
    assert parse_qs(urlsplit(link).query)["token"][0].count(".") == 2


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://CRM.example/start?x=1#y", "https://crm.example"),
        ("https://crm.example:443/", "https://crm.example"),
        ("http://crm.example:80", "http://crm.example"),
        ("https://crm.example:8443/a", "https://crm.example:8443"),
        ("http://[::1]:8080/a", "http://[::1]:8080"),
    ],
)
def test_the_audience_is_the_origin(address: str, expected: str) -> None:
    assert origin(urlsplit(address)) == expected


async def test_t25_a_token_is_masked_wherever_it_stands() -> None:
    own = sign_in()
    await own.ready()
    link = own.link(ACCOUNT, datetime.now(UTC))
    secret = parse_qs(urlsplit(link).query)["token"][0]
    for said in (link, f"Bad Request: inline keyboard button URL '{link}' is invalid", json.dumps({"url": link})):
        masked = mask(said)
        assert not any(part in masked for part in secret.split("."))
        assert "crm.example" in masked


async def test_nothing_is_signed_before_the_keys_are_there() -> None:
    with pytest.raises(RuntimeError, match="not loaded"):
        sign_in().link(ACCOUNT, datetime.now(UTC))
