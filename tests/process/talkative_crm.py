"""A CRM that repeats, in every answer and every redirect, what it was sent and how that was signed."""

from __future__ import annotations

import itertools
from collections import Counter

from aiohttp import web

from tests.ports import free_port

# In turn; the last of each is a yes.
_TO_EVENTS = (500, 302, 0, 200)
_TO_LOOK_UPS = (500, 302, 0, 201, 200)


class TalkativeCrm:
    """`events` and `look_ups` are its addresses; `answered` counts its answers by address and status, 0: hung up."""

    def __init__(self) -> None:
        self._base = f"http://127.0.0.1:{free_port()}"
        self.events, self.look_ups = f"{self._base}/events", f"{self._base}/look-ups"
        self.answered: Counter[tuple[str, int]] = Counter()
        self._statuses = {"/events": itertools.cycle(_TO_EVENTS), "/look-ups": itertools.cycle(_TO_LOOK_UPS)}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/events", self._answer)
        app.router.add_post("/look-ups", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", int(self._base.rpartition(":")[2])).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        said = (await request.text()) + request.headers["webhook-signature"]
        status = next(self._statuses[request.path])
        self.answered[request.path, status] += 1
        if status == 0 and request.transport is not None:
            request.transport.close()
        if (request.path, status) == ("/look-ups", 200):
            return web.json_response({"exists": False, "asked": said})
        # A 201 is no answer to a look-up: what it holds is not read.
        headers = {"Location": str(request.url.with_query(you=said))} if status == 302 else {}
        return web.Response(status=status or 200, reason="of no use", text=said, headers=headers)
