"""Facebook: the dialog, Graph with its proofs, what is never believed, and requests that claim to be signed."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from bot.gateways.facebook import VERSION, Facebook, SignedRequest
from bot.gateways.providers import NotProven, ProviderAway
from bot.settings import Settings
from storage.identities import Identity
from tests.fakes.graph import FacebookUser, FakeGraph
from tests.storage.world import MovableClock

REDIRECT = "https://bot.example.org/oauth/facebook/callback"
STATE = "s" * 32


@dataclass
class Desk:
    """Facebook, its app, and somebody with an account."""

    graph: FakeGraph
    facebook: Facebook
    ira: FacebookUser
    clock: MovableClock

    async def code(self) -> str:
        """Go through the dialog."""
        url = await self.facebook.consent_url(STATE, "", "", REDIRECT)
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as response:
                assert response.status == 200
                page = await response.text()
            dialog = page.split('name="dialog" value="')[1].split('"')[0]
            form = {"dialog": dialog, "account": self.ira.id}
            async with session.post(f"{self.graph.base_url}/login", data=form, allow_redirects=False) as response:
                query = parse_qs(urlsplit(response.headers["Location"]).query)
        assert query["state"] == [STATE]
        return query["code"][0]

    async def signs_in(self) -> Identity:
        return await self.facebook.identify(await self.code(), "", "", REDIRECT)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    clock, graph = MovableClock(), FakeGraph(redirect_uris={REDIRECT})
    await graph.start()
    settings = Settings(
        facebook_base_url=graph.base_url,
        facebook_app_id=graph.app_id,
        facebook_app_secret=graph.app_secret,
    )
    facebook = Facebook(settings, clock)
    yield Desk(graph, facebook, graph.user("Ира", "ira@example.org"), clock)
    await facebook.close()
    await graph.stop()


async def test_who_it_is_and_an_address_that_is_never_verified(desk: Desk) -> None:
    identity = await desk.signs_in()
    assert identity == Identity(
        "facebook", "https://www.facebook.com", desk.ira.id, "ira@example.org", email_verified=False, name="Ира"
    )


async def test_the_address_may_be_missing(desk: Desk) -> None:
    desk.ira.email = None
    assert (await desk.signs_in()).email is None


async def test_graph_is_beside_the_dialog() -> None:
    settings = Settings(facebook_app_id="1", facebook_app_secret="s")
    facebook = Facebook(settings, MovableClock())
    assert facebook._graph == f"https://graph.facebook.com/{VERSION}"
    url = urlsplit(await facebook.consent_url(STATE, "", "", REDIRECT))
    assert (url.netloc, url.path) == ("www.facebook.com", f"/{VERSION}/dialog/oauth")
    await facebook.close()


async def test_a_code_is_good_once(desk: Desk) -> None:
    code = await desk.code()
    await desk.facebook.identify(code, "", "", REDIRECT)
    with pytest.raises(NotProven, match="error 100"):
        await desk.facebook.identify(code, "", "", REDIRECT)


async def test_a_redirect_to_elsewhere_is_refused(desk: Desk) -> None:
    with pytest.raises(NotProven, match="error 100"):
        await desk.facebook.identify(await desk.code(), "", "", "https://evil.example/callback")


@pytest.mark.parametrize("path", ["oauth/access_token", "me"])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (302, ""),
        (500, ""),
        (503, "{"),
        (400, '{"error": {"code": 2}}'),
        (400, '{"error": {"code": 4}}'),
        (403, "no"),
        (200, "[]"),
    ],
)
async def test_an_outage_is_away(desk: Desk, path: str, status: int, body: str) -> None:
    desk.graph.faults[path] = (status, body)
    with pytest.raises(ProviderAway):
        await desk.signs_in()


async def test_a_refused_app_names_its_settings(desk: Desk) -> None:
    code = await desk.code()
    desk.graph.app_secret = "changed there"
    with pytest.raises(ProviderAway, match="FACEBOOK_APP_SECRET"):
        await desk.facebook.identify(code, "", "", REDIRECT)


@pytest.mark.parametrize("body", ["{}", '{"id": 7}', '{"id": ""}', '{"id": "x"}', '{"id": "' + "1" * 65 + '"}'])
async def test_a_graph_that_names_nobody_proves_nothing(desk: Desk, body: str) -> None:
    desk.graph.faults["me"] = (200, body)
    with pytest.raises(NotProven, match="nobody"):
        await desk.signs_in()


async def test_a_signed_request_is_read(desk: Desk) -> None:
    issued = int(desk.clock.now().timestamp())
    read = desk.facebook.read_signed(desk.graph.signed_request("1234", issued))
    assert read == SignedRequest("1234", desk.clock.now())


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


async def test_a_forged_signed_request_is_refused(desk: Desk) -> None:
    issued = int(desk.clock.now().timestamp())
    good = desk.graph.signed_request("1234", issued)
    signature, payload = good.split(".")
    other = part({"algorithm": "HMAC-SHA256", "issued_at": issued, "user_id": "9999"})
    forged = [
        "", ".", "x", "x.y", f".{payload}", f"{signature}.", f"{signature}.{other}", f"{signature[:-2]}.{payload}",
        f"{'A' * len(signature)}.{payload}", f"{signature}ю.{payload}", f"{good}.x",
        desk.graph.signed_request("1234", issued, secret="another"),
        desk.graph.signed_request("1234", issued, algorithm="none"),
        desk.graph.signed_request("1234", issued, algorithm=None),
        desk.graph.signed_request("1234", issued, user_id=""),
        desk.graph.signed_request("1234", issued, user_id={"id": 1}),
        desk.graph.signed_request("1234", issued, issued_at="soon"),
        desk.graph.signed_request("1234", 10**20),
    ]  # fmt: skip
    for request in forged:
        with pytest.raises(NotProven):
            desk.facebook.read_signed(request)
