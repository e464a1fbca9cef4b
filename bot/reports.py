"""Delivery reports: vendors tell by HTTP what became of a message; each gateway knows whether it is its vendor."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeGuard

from aiohttp import web

from bot.gateways.smpp import Smpp
from bot.settings import Settings
from handlers.ports import ForgedReport, Gateway, Report, ReportingGateway, ReportRequest
from storage.clock import Clock
from storage.errors import StorageError
from storage.keys import Keys
from storage.sends import Sends

log = logging.getLogger(__name__)

# Vendors that sign nothing are told an address nobody else knows.
_SIGN_NOTHING = frozenset({"smsaero"})


def report_urls(settings: Settings, keys: Keys) -> Callable[[str], str | None]:
    """Return what tells by a gateway's name where its vendor may report to; None without a public address."""
    base = settings.public_url or settings.webhook_url

    def url(name: str) -> str | None:
        if base is None:
            return None
        secret = f"/{keys.derive(f'reports of {name}').hex()}" if name in _SIGN_NOTHING else ""
        return f"{base}/reports/{name}{secret}"

    return url


class Reports:
    """The routes, and what a report does."""

    def __init__(
        self,
        gateways: Sequence[Gateway],
        sends: Sends,
        clock: Clock,
        base_url: str | None,
        wake: Callable[[], None],
    ) -> None:
        """`base_url` is the one vendors were told; `wake` the courier's, who tells people what did not arrive."""
        self._gateways = {gateway.name: gateway for gateway in gateways if _reports(gateway)}
        self._connected = [gateway for gateway in gateways if isinstance(gateway, Smpp)]
        self._sends = sends
        self._clock = clock
        self._base_url = base_url or ""
        self._wake = wake

    def add_to(self, app: web.Application) -> None:
        """Add `/reports/<gateway>` and `/reports/<gateway>/<secret>`."""
        for path in ("/reports/{gateway}", "/reports/{gateway}/{secret}"):
            app.router.add_post(path, self._answer)
            app.router.add_get(path, self._answer, allow_head=False)

    def listen(self) -> None:
        """Take the receipts of gateways that bring them over their own connection; call it inside the running loop."""
        for gateway in self._connected:
            gateway.on_report = partial(self.take, gateway.name)

    async def take(self, gateway: str, report: Report) -> None:
        """Write down what one report says. Raises StorageError."""
        if await self._sends.report(gateway, report.provider_id, report.state, self._clock.now()):
            log.info("gateway %s says a message is %s %s", gateway, report.state, report.detail)
            self._wake()

    async def _answer(self, request: web.Request) -> web.Response:
        gateway = self._gateways.get(request.match_info["gateway"])
        if gateway is None:
            return web.Response(status=404, text="no such gateway")
        try:
            found = await gateway.read_report(await self._read(request))
        except ForgedReport as error:
            log.warning("a delivery report for %s is not the vendor's: %s", gateway.name, error)
            return web.Response(status=403, text="forbidden")
        except ValueError as error:
            log.warning("a delivery report for %s is not understood: %s", gateway.name, error)
            return web.Response(status=400, text="not understood")
        try:
            for report in found:
                await self.take(gateway.name, report)
        except StorageError:
            log.warning("storage is away, %s has to report again", gateway.name)
            return web.Response(status=503, headers={"Retry-After": "30"})
        return web.Response(text=gateway.report_answer)

    async def _read(self, request: web.Request) -> ReportRequest:
        return ReportRequest(
            method=request.method,
            # As the vendor knows it: a proxy may have changed scheme and host on the way.
            url=f"{self._base_url}{request.rel_url}",
            path_secret=request.match_info.get("secret", ""),
            headers={name.lower(): value for name, value in request.headers.items()},
            query=dict(request.query),
            body=await request.read(),
        )


def _reports(gateway: Gateway) -> TypeGuard[ReportingGateway]:
    return hasattr(gateway, "read_report")
