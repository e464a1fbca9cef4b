"""T27: where calls to an operator's addresses may go."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from bot.crm_settings import read_outward_url
from bot.forbidden_addresses import is_forbidden
from bot.gateways import outward
from bot.gateways.crm import CrmWebhook, NotTaken
from bot.gateways.outward import outward_session
from tests.fakes.clock import MovableClock

ID = UUID("5f0c3b1e-3c56-4a0b-9f3f-7f6d2f0f9a11")
FORBIDDEN = [
    "169.254.169.254", "169.254.0.1", "169.254.170.2", "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.250",
    "255.255.255.255", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fe80::1", "fe80::1%lo", "febf::1", "::",
    "ff02::1", "fd00:ec2::254", "fd20:ce::254", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::169.254.169.254",
    "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1", "[fe80::1]", "::ffff:0.0.0.0",
]  # fmt: skip
ALLOWED = [
    "127.0.0.1", "::1", "10.0.0.5", "192.168.1.1", "172.16.0.1", "93.184.216.34", "100.100.100.201", "169.253.255.255",
    "169.255.0.1", "fec0::1", "fd00:ec2::253", "2001:db8::1", "::ffff:10.0.0.1", "64:ff9b::8.8.8.8", "192.0.0.191",
    "crm.example.com", "localhost", "",
]  # fmt: skip


@pytest.mark.parametrize("host", FORBIDDEN)
def test_t27_a_forbidden_address_is_one_in_whatever_clothes(host: str) -> None:
    assert is_forbidden(host)
    written = f"[{host.strip('[]')}]" if ":" in host else host
    if "%" not in host:
        with pytest.raises(ValueError, match="link-local"):
            read_outward_url(f"https://{written}/hook")


@pytest.mark.parametrize("host", ALLOWED)
def test_t27_other_addresses_are_allowed(host: str) -> None:
    assert not is_forbidden(host)


@pytest.fixture
async def metadata() -> AsyncIterator[tuple[int, list[str]]]:
    """What stands for a cloud's metadata, and whoever reached it."""
    reached: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.Response(text="the machine's credentials")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1], reached
    await runner.cleanup()


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "http://[fe80::1]/", "http://0.0.0.0:{port}/x"])
async def test_t27_an_address_is_refused_when_it_is_connected_to(url: str, metadata: tuple[int, list[str]]) -> None:
    """Even when no reader of settings has seen it. 0.0.0.0 is this machine, so this server would answer."""
    port, reached = metadata
    async with outward_session(timedelta(seconds=5), parallel=1) as session:
        with pytest.raises(aiohttp.ClientConnectorError, match="no address to call"):
            await session.post(url.format(port=port))
    assert reached == []


@pytest.mark.parametrize("number", ["2852039166", "0xA9FEA9FE", "0251.0376.0251.0376"])
async def test_t27_an_address_in_other_notations_is_refused_too(number: str) -> None:
    """They are no addresses to Python, but to getaddrinfo."""
    async with outward_session(timedelta(seconds=5), parallel=1) as session:
        with pytest.raises((aiohttp.ClientConnectorError, aiohttp.InvalidURL)):
            await session.post(f"http://{number}/latest")


class Rebound(AbstractResolver):
    """A name that leads elsewhere each time it is asked for."""

    def __init__(self, port: int, *addresses: str) -> None:
        self.port = port
        self.addresses = list(addresses)

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        address = self.addresses.pop(0)
        return [
            ResolveResult(hostname=host, host=address, port=self.port, family=socket.AF_INET, proto=0, flags=0)
        ]  # fmt: skip

    async def close(self) -> None:
        return None


async def test_t27_a_name_that_changes_its_mind_is_looked_at_each_time(metadata: tuple[int, list[str]]) -> None:
    port, reached = metadata
    connector = aiohttp.TCPConnector(
        resolver=Rebound(port, "127.0.0.1", "0.0.0.0", "169.254.169.254"),
        use_dns_cache=False,
        force_close=True,
        socket_factory=outward.guarded_socket,
    )
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.post(f"http://crm.example.com:{port}/first") as response:
            assert response.status == 200
        for _ in range(2):
            with pytest.raises(aiohttp.ClientConnectorError, match="no address to call"):
                await session.post(f"http://crm.example.com:{port}/again")
    assert reached == ["/first"]


async def test_t27_one_bad_address_among_good_ones_is_left_out(metadata: tuple[int, list[str]]) -> None:
    port, reached = metadata

    class Two(Rebound):
        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
            self.addresses = ["169.254.169.254", "127.0.0.1"]
            return [*(await super().resolve(host, port)), *(await super().resolve(host, port))]

    connector = aiohttp.TCPConnector(resolver=Two(port), socket_factory=outward.guarded_socket)
    async with (
        asyncio.timeout(5),
        aiohttp.ClientSession(connector=connector) as session,
        session.post(f"http://crm.example.com:{port}/x") as response,
    ):
        assert response.status == 200
    assert reached == ["/x"]


async def test_t27_no_proxy_of_the_environment_is_used(
    metadata: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, reached = metadata
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
    async with outward_session(timedelta(seconds=5), parallel=1) as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.post("http://169.254.169.254/latest")
    assert reached == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_t27_a_redirect_is_not_followed(status: int, metadata: tuple[int, list[str]]) -> None:
    port, reached = metadata

    async def elsewhere(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": f"http://127.0.0.1:{port}/latest"})

    app = web.Application()
    app.router.add_post("/hook", elsewhere)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    crm = CrmWebhook(f"http://127.0.0.1:{runner.addresses[0][1]}/hook", [b"k" * 24], timedelta(seconds=5), parallel=1)
    result = await crm.send(ID, {}, MovableClock().now())
    await crm.close()
    await runner.cleanup()
    assert result == NotTaken(f"HTTP {status}")
    assert reached == []
