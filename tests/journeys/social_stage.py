"""The stage with providers beside it: an OpenID provider and Facebook, each over real HTTP, and people's browsers."""

from __future__ import annotations

import html
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import sqlalchemy as sa

from storage.tables import accounts, identities
from tests.fakes.graph import FacebookUser, FakeGraph
from tests.fakes.oidc import Account, FakeOpenId
from tests.fakes.surfer import Surfer
from tests.journeys.stage import Registrant, Stage, on_stage
from tests.ports import free_port
from tests.sql import connected


@dataclass
class SocialStage(Stage):
    """A stage with providers."""

    openid: FakeOpenId
    graph: FakeGraph
    base_url: str

    async def rows(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> list[Any]:
        """All rows of a table."""
        async with connected(self.app.stores.database) as conn:
            return list((await conn.execute(sa.select(table).where(*where))).all())

    async def linked(self, subject: str) -> int | None:
        """Return to whom an identity is linked."""
        rows = await self.rows(identities, identities.c.subject == subject)
        return rows[0].telegram_id if rows else None

    async def account(self, ira: Registrant) -> Any:
        """Return somebody's account, None without one."""
        rows = await self.rows(accounts, accounts.c.telegram_id == ira.id)
        return rows[0] if rows else None


@asynccontextmanager
async def on_social_stage(database_url: str, redis_url: str, folder: Path, **other: Any) -> AsyncIterator[SocialStage]:
    """Run the bot with both providers configured."""
    openid, graph, port = FakeOpenId(), FakeGraph(), free_port()
    await openid.start()
    await graph.start()
    base = f"http://127.0.0.1:{port}"
    openid.redirect_uris, graph.redirect_uris = {f"{base}/oauth/google/callback"}, {f"{base}/oauth/facebook/callback"}
    settings = {
        "public_url": base, "http_port": port, "web_per_ip": "1000/5m",
        "google_issuer": openid.base_url, "google_client_id": openid.client_id,
        "google_client_secret": openid.client_secret, "facebook_base_url": graph.base_url,
        "facebook_app_id": graph.app_id, "facebook_app_secret": graph.app_secret,
    }  # fmt: skip
    try:
        async with on_stage(database_url, redis_url, folder, **{**settings, **other}) as stage:
            openid.now = lambda: stage.clock.now().timestamp()
            own = {field.name: getattr(stage, field.name) for field in fields(Stage)}
            yield SocialStage(**own, openid=openid, graph=graph, base_url=base)
    finally:
        await openid.stop()
        await graph.stop()


def button_url(ira: Registrant, key: str) -> str:
    """Return where the newest link button of this label leads."""
    _, button = ira.person.button(ira.label(key))
    assert button.url is not None
    return str(button.url)


async def arrives(ira: Registrant, who: Account | FacebookUser, surfer: Surfer, *, start: str | None = None) -> str:
    """Go from the chat's button to the page that leads back; return the payload of its link."""
    provider = "google" if isinstance(who, Account) else "facebook"
    await surfer.open(start or button_url(ira, f"button-{provider}"))
    assert surfer.status == 200, surfer.text
    await surfer.click(ira.label(f"button-{provider}"))
    await surfer.choose(who.email if isinstance(who, Account) else who.name)
    return payload_of(ira, surfer)


def payload_of(ira: Registrant, surfer: Surfer) -> str:
    """Return the payload that the open page leads back to the chat with."""
    assert surfer.status == 200, surfer.text
    back = urlsplit(surfer.link(ira.label("page-back")))
    assert (back.scheme, back.netloc) == ("https", "t.me")
    (payload,) = parse_qs(back.query)["start"]
    assert payload.startswith("o_")
    return payload


async def follows(ira: Registrant, payload: str) -> None:
    """Open the link to the chat and press Start."""
    await ira.person.follow_link(payload)
    await ira.person.settled()


async def signs_in(ira: Registrant, who: Account | FacebookUser, *, start: str | None = None) -> None:
    """The whole way through the browser, up to the question in the chat."""
    async with Surfer(ira.language) as surfer:
        await follows(ira, await arrives(ira, who, surfer, start=start))


async def links(ira: Registrant, who: Account | FacebookUser) -> None:
    """The same, and say yes."""
    await signs_in(ira, who)
    ira.expects("social-question")
    await ira.presses(ira.label("button-yes-link"))


def page_says(ira: Registrant, surfer: Surfer, key: str) -> bool:
    """Tell whether the open page says this text."""
    return ira.said(html.unescape(surfer.text), key)


async def accepts_terms(ira: Registrant) -> None:
    """From the terms to the number."""
    ira.expects("registration-terms-prompt")
    await ira.presses(ira.label("terms-consent"))
    await ira.presses(ira.label("button-register"))
    ira.expects("registration-phone-prompt")


async def confirms_number(ira: Registrant, number: str | None = None, count: int = 1) -> None:
    """Give a number and the count-th code it gets."""
    await ira.says(number or ira.phone)
    ira.expects("registration-code-prompt")
    await ira.says(await ira.code(number, count=count))
