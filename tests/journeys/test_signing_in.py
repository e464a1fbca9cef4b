"""Getting started: the button, each `/start` and the typed label sign in, each with a fresh token."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import redis
from sqlalchemy import select

from bot.sign_in import JWKS_PATH
from storage.tables import accounts
from tests.crm_snippet import signed_in
from tests.journeys.stage import MovableClock, Registrant, Stage, on_stage
from tests.sql import connected

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")


@pytest.fixture
def clock() -> MovableClock:
    """The real time: README's lines for the CRM know no other."""
    return MovableClock(timedelta(0))


class Crm:
    """A CRM that does as README says."""

    def __init__(self, stage: Stage, valkey_socket: str) -> None:
        self._stage = stage
        self._used = redis.Redis(unix_socket_path=valkey_socket)
        self._signed_in = signed_in()

    async def accepts(self, link: str) -> str:
        """Return the account that the link signs in."""
        token = parse_qs(urlsplit(link).query)["token"][0]
        jwks = f"http://127.0.0.1:{self._stage.app.port}{JWKS_PATH}"
        issuer = f"https://t.me/{(await self._stage.app.bot.me()).username}"
        return await asyncio.to_thread(self._signed_in, token, jwks, issuer, "https://example.com", self._used)

    def close(self) -> None:
        self._used.close()


def button_of(ira: Registrant) -> str:
    (button,) = ira.person.chat[-1].buttons
    assert button.text == ira.label("button-start-work")
    assert button.url is not None
    assert button.url.startswith("https://example.com/start?token=")
    return str(button.url)


async def account_id(stage: Stage, ira: Registrant) -> str:
    async with connected(stage.app.stores.database) as connection:
        found = await connection.execute(select(accounts.c.id).where(accounts.c.telegram_id == ira.id))
        return str(found.scalar_one())


async def test_every_way_to_the_button_gives_a_token_of_its_own(
    stage: Stage, valkey_socket: str, language: str
) -> None:
    crm = Crm(stage, valkey_socket)
    ira = stage.someone(language)
    await ira.registers()
    links = [button_of(ira)]
    for said in ("/start", "/start go", "hello", "/start r_12345678"):
        await ira.says(said)
        ira.expects("registration-done")
        links.append(button_of(ira))
    await ira.says(ira.label("button-start-work"))
    ira.expects("menu-link")
    typed = re.search(r"https://\S+", ira.last())
    assert typed is not None
    links.append(typed[0])
    account = await account_id(stage, ira)
    assert len(set(links)) == len(links)
    for link in links:
        assert await crm.accepts(link) == account
        with pytest.raises(PermissionError):
            await crm.accepts(link)
    crm.close()


async def test_a_typed_label_in_the_other_language_gives_the_link_too(stage: Stage) -> None:
    ira = stage.someone("ru")
    await ira.registers()
    await ira.says("get started")
    ira.expects("menu-link")
    assert "?token=" in ira.last()


async def test_after_a_lost_redis_and_a_restart_it_is_the_same_account(stage: Stage, valkey_socket: str) -> None:
    crm = Crm(stage, valkey_socket)
    ira = stage.someone()
    await ira.registers()
    account = await account_id(stage, ira)
    await stage.app.stores.redis.flushall()
    await ira.says("hello")
    assert await crm.accepts(button_of(ira)) == account
    # A record that was written before links signed in: it names no account.
    redis = stage.app.stores.redis
    (record,) = [key async for key in redis.scan_iter(match="talk:*")]
    data = str(await redis.hget(record, "data"))
    assert account in data
    await redis.hset(record, "data", data.replace(f'"account":"{account}",', "").replace(f',"account":"{account}"', ""))
    assert account not in str(await redis.hget(record, "data"))
    await ira.says("hello")
    assert await crm.accepts(button_of(ira)) == account
    crm.close()


async def test_nobody_is_signed_in_before_the_number_is_proven(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_code()
    await ira.says(ira.label("button-start-work"))
    await ira.person.press(ira.label("button-code-missing"))
    assert not any("token=" in text for text in ira.heard())
    assert not any("token=" in (button.url or "") for message in ira.person.chat for button in message.buttons)
    await ira.finishes()


async def test_the_conversation_record_keeps_no_token_on_offer(stage: Stage) -> None:
    ira = stage.someone()
    await ira.registers()
    redis = stage.app.stores.redis
    (record,) = [key async for key in redis.scan_iter(match="talk:*")]
    assert "token=" not in str(await redis.hgetall(record))


async def test_the_operator_says_where_how_long_and_by_whom(
    database_url: str, redis_url: str, valkey_socket: str, tmp_path: Path, clock: MovableClock
) -> None:
    own = {"start_url": "https://crm.example/in?from=bot", "start_token_lifetime": "1m", "start_token_issuer": "smarty"}
    async with on_stage(database_url, redis_url, tmp_path, clock, **own) as stage:
        ira = stage.someone()
        await ira.registers()
        link = str(ira.person.chat[-1].buttons[0].url)
        assert link.startswith("https://crm.example/in?from=bot&token=")
        token = parse_qs(urlsplit(link).query)["token"][0]
        jwks = f"http://127.0.0.1:{stage.app.port}{JWKS_PATH}"
        used = redis.Redis(unix_socket_path=valkey_socket)
        assert await asyncio.to_thread(
            signed_in(), token, jwks, "smarty", "https://crm.example", used
        ) == await account_id(stage, ira)
        used.close()
