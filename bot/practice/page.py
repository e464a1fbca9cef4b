"""The routes of the practice page: its files, the stream of what it shows, and what people do on it."""

from __future__ import annotations

import asyncio
import functools
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

from bot.practice.acts import Acts, NotPossible
from bot.practice.guard import HEADERS, why_not
from bot.practice.people import Person
from bot.practice.phone import Phone
from bot.practice.server import LocalBotAPI
from bot.practice.snapshot import file_address, snapshot
from bot.practice.world import Json, Message

FOLDER = Path(__file__).with_name("page")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
# Seconds: changes that come together are told together; a silent connection shows that it lives.
TOGETHER = 0.02
HEARTBEAT = 15.0
_FILE = re.compile(r"(?:[A-Za-z0-9_-]+/)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+")
_PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Page:
    """Serves one practice. `save` is awaited before an act is answered; `host` is the address that is listened on;
    `gateways` are those that send SMS instead of the phone, which the page says."""

    def __init__(
        self, api: LocalBotAPI, phone: Phone, save: Callable[[], Awaitable[None]], host: str, gateways: tuple[str, ...]
    ) -> None:
        self._api = api
        self._phone = phone
        self._save = save
        self._host = host
        self._gateways = gateways
        self._acts = Acts(api)
        self._closing = False

    def add_to(self, application: web.Application) -> None:
        """Add the routes. The streams end when the application shuts down."""
        router = application.router
        router.add_get("/", self._guarded(self._index))
        router.add_get("/practice/events", self._guarded(self._events))
        router.add_post("/practice/act", self._guarded(self._act))
        router.add_get("/practice/files/{name}", self._guarded(self._upload))
        router.add_get("/practice/{name:.+}", self._guarded(self._file))
        application.on_shutdown.append(self._close)

    def _guarded(self, handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def answer(request: web.Request) -> web.StreamResponse:
            if reason := why_not(request, self._host):
                return web.json_response({"error": reason}, status=403, headers=HEADERS)
            return await handler(request)

        return answer

    async def _close(self, _: web.Application) -> None:
        self._closing = True
        self._api.world.changed()

    def _is_news(self, seen: int) -> bool:
        return self._closing or self._api.world.version != seen

    async def _index(self, _: web.Request) -> web.StreamResponse:
        return _static("index.html")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return _static(request.match_info["name"])

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        """Answer a photo or document; only a picture is shown, whatever else it claims to be is saved."""
        address = f"/practice/files/{request.match_info['name']}"
        message = next((one for one in self._messages() if file_address(one) == address), None)
        if message is None or message.file is None:
            raise web.HTTPNotFound(headers=HEADERS)
        kind = next((kind for start, kind in _PICTURES.items() if message.file.startswith(start)), None)
        if kind and "photo" in message.content:
            return web.Response(body=message.file, content_type=kind, headers=HEADERS)
        name = quote(str(message.content.get("document", {}).get("file_name", "file")))
        disposition = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
        return web.Response(body=message.file, content_type="application/octet-stream", headers=HEADERS | disposition)

    def _messages(self) -> list[Message]:
        return [message for person in self._api.people for message in person.chat]

    async def _act(self, request: web.Request) -> web.StreamResponse:
        try:
            order = json.loads(await request.read())
            if not isinstance(order, dict):
                raise NotPossible("an act is a JSON object")
            told = await self._acts.do(order)
        except (ValueError, RecursionError):
            return web.json_response({"error": "this is not JSON"}, status=400, headers=HEADERS)
        except NotPossible as error:
            return web.json_response({"error": str(error)}, status=400, headers=HEADERS)
        # Who was told "ok" finds it done, even after the process was killed.
        await self._save()
        return web.json_response({"ok": True} | told, headers=HEADERS)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        wanted = request.query.get("person", "")
        people = self._api.people
        # A page may remember somebody of an earlier practice: it is shown the first person, and says so in "person".
        person = next((one for one in people if str(one.id) == wanted), people[0])
        response = web.StreamResponse(
            headers=HEADERS | {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        )
        await response.prepare(request)
        try:
            await response.write(b"retry: 1000\n\n")
            await self._tell(response, person)
        except ConnectionError:
            # The page was closed.
            return response
        return response

    async def _tell(self, response: web.StreamResponse, person: Person) -> None:
        world, shown, told = self._api.world, "", len(self._api.world.events)
        while not self._closing:
            seen = world.version
            state = _compact(snapshot(self._api, self._phone, person) | {"gateways": self._gateways})
            if state != shown:
                await response.write(_event("state", state))
                shown = state
            new, told = world.events[told:], len(world.events)
            for event in new:
                if event.chat is person.private and event.toast is not None and event.toast.text:
                    toast = _compact({"text": event.toast.text, "alert": event.toast.alert})
                    await response.write(_event("toast", toast))
            try:
                await world.until(functools.partial(self._is_news, seen), HEARTBEAT)
            except TimeoutError:
                await response.write(b": still here\n\n")
            else:
                await asyncio.sleep(TOGETHER)


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _event(kind: str, data: str) -> bytes:
    # A bot may send half of a surrogate pair, which has no bytes.
    return f"event: {kind}\ndata: {data}\n\n".encode("utf-8", "replace")


def _static(name: str) -> web.StreamResponse:
    path = FOLDER / name
    if not _FILE.fullmatch(name) or path.suffix not in TYPES or not path.is_file():
        raise web.HTTPNotFound(headers=HEADERS)
    return web.Response(body=path.read_bytes(), headers=HEADERS | {"Content-Type": TYPES[path.suffix]})
