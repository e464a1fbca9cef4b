"""The practice page as a browser uses it: one stream of snapshots in, acts out, over HTTP."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from bot.app import App, running
from bot.practice import LocalBotAPI
from bot.practice.ground import FIRST_PERSON, Practice
from bot.settings import Settings
from locales import Texts
from tests.journeys.stage import pattern

Json = dict[str, Any]
IRA, ANNA, OLEG = range(FIRST_PERSON, FIRST_PERSON + 3)
TEXTS = Texts()


def settings_for(database_url: str, redis_url: str, folder: Path, **other: Any) -> Settings:
    """Return settings without a token: what makes it a practice."""
    values: Json = {"database_url": database_url, "redis_url": redis_url, "data_dir": folder, "http_port": 0}
    return Settings(**{**values, "secret_key": "a secret of the practice, long enough", **other})


class Page:
    """One open page: `state` is what it shows, `toasts` what has faded in."""

    def __init__(self, http: aiohttp.ClientSession, person: int) -> None:
        self.http = http
        self.person = person
        self.state: Json = {}
        self.states = 0
        self.toasts: list[Json] = []
        self.comments: list[str] = []
        self.ended = False
        self._news = asyncio.Event()

    async def listen(self) -> None:
        """Take in the stream until the server ends it."""
        address = f"/practice/events?person={self.person}"
        # A state is one line, which may be long.
        async with self.http.get(address, read_bufsize=2**24, timeout=aiohttp.ClientTimeout()) as response:
            assert response.status == 200
            assert response.content_type == "text/event-stream"
            kind = ""
            async for line in response.content:
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    kind = value
                elif field == "data":
                    self._take(kind, json.loads(value))
                elif value:
                    self.comments.append(value)
                self._tell()
        self.ended = True
        self._tell()

    def _take(self, kind: str, value: Json) -> None:
        if kind == "state":
            self.state = value
            self.states += 1
        else:
            assert kind == "toast"
            self.toasts.append(value)

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def until(self, holds: Callable[[], object], timeout: float = 10) -> None:
        """Wait until what the page shows is as wanted."""
        try:
            async with asyncio.timeout(timeout):
                while not holds():
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"the page still shows {json.dumps(self.state, ensure_ascii=False)[-3000:]}") from None

    async def shows(self, words: str) -> Json:
        """Wait until the newest message that holds these words is there, and return it."""
        await self.until(lambda: any(words in message["text"] for message in self.messages))
        return next(message for message in reversed(self.messages) if words in message["text"])

    async def says(self, key: str, **values: Any) -> Json:
        """Wait until the bot's newest message says the text of this key, in the person's language."""
        wanted = re.compile(pattern(self.language, key, **values), re.DOTALL)
        await self.until(lambda: self.heard and wanted.search(self.heard[-1]["text"]))
        return self.heard[-1]

    @property
    def messages(self) -> list[Json]:
        return list(self.state.get("messages", []))

    @property
    def heard(self) -> list[Json]:
        return [message for message in self.messages if message["from"] == "bot"]

    @property
    def said(self) -> list[Json]:
        return [message for message in self.messages if message["from"] == "me"]

    @property
    def me(self) -> Json:
        return next(one for one in self.state["people"] if one["id"] == self.person)

    @property
    def language(self) -> str:
        return str(self.me["language"])

    @property
    def keys(self) -> list[str]:
        keyboard = self.state["keyboard"]
        return [key["label"] for row in keyboard["rows"] for key in row] if keyboard else []

    def label(self, key: str) -> str:
        """A button's label in the person's language."""
        return TEXTS.plain(self.language, key)

    def button(self, label: str) -> tuple[Json, Json]:
        """Return the newest message with this inline button, and the button."""
        return next(
            (message, button)
            for message in reversed(self.messages)
            for row in message["buttons"]
            for button in row
            if button["label"] == label
        )

    async def post(self, body: Any, **headers: str) -> tuple[int, Json]:
        """Send an act as it is; returns the status and the answer."""
        async with self.http.post("/practice/act", json=body, headers={"X-Practice": "1"} | headers) as response:
            return response.status, await response.json()

    async def act(self, act: str, **order: Any) -> Json:
        """Do an act that is possible."""
        status, answer = await self.post({"person": self.person, "act": act, **order})
        assert (status, answer.pop("ok", None)) == (200, True), answer
        return answer

    async def cannot(self, act: str, **order: Any) -> str:
        """Try an act that is not possible; returns the sentence that says why."""
        status, answer = await self.post({"person": self.person, "act": act, **order})
        assert (status, list(answer)) == (400, ["error"])
        assert "\n" not in answer["error"]
        return str(answer["error"])

    async def press(self, label: str) -> None:
        """Press the newest inline button of this label."""
        await self.until(lambda: any(label == b["label"] for m in self.messages for row in m["buttons"] for b in row))
        message, button = self.button(label)
        await self.act("press", message=message["id"], index=button["index"])

    async def reaches_phone(self, email: str) -> None:
        """Start, give the address, accept the terms."""
        await self.act("start")
        await self.says("registration-email-prompt")
        await self.act("send", text=email)
        await self.says("registration-terms-prompt")
        await self.press(self.label("terms-consent"))
        await self.until(lambda: self.heard[-1]["edited"])
        await self.press(self.label("button-register"))
        await self.says("registration-phone-prompt")

    async def code(self, count: int = 1) -> str:
        """Wait for the count-th SMS and read its code."""
        await self.until(lambda: len(self.state["phone"]) >= count)
        return str(self.state["phone"][-1]["code"])


async def call_method(api: LocalBotAPI, method: str, **parameters: Any) -> Json:
    """Call a method over HTTP; returns the whole answer."""
    url = f"{api.base_url}/bot{api.token}/{method}"
    async with aiohttp.ClientSession() as http, http.post(url, json=parameters) as response:
        return dict(await response.json())


class Running:
    """A practice that runs, and its pages."""

    def __init__(self, app: App, http: aiohttp.ClientSession) -> None:
        self.app = app
        self.http = http
        assert app.practice is not None
        self.practice: Practice = app.practice

    @property
    def api(self) -> LocalBotAPI:
        return self.practice.api

    async def call(self, method: str, **parameters: Any) -> Json:
        """Call a method of the Bot API as the bot does; returns the whole answer."""
        return await call_method(self.api, method, **parameters)

    @asynccontextmanager
    async def page(self, person: int = IRA) -> AsyncIterator[Page]:
        """Open a page for somebody."""
        page = Page(self.http, person)
        listening = asyncio.create_task(page.listen())
        try:
            await page.until(lambda: page.state or listening.done())
            yield page
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


@asynccontextmanager
async def practice(settings: Settings) -> AsyncIterator[Running]:
    """Run the whole bot without a token."""
    async with running(settings) as app, aiohttp.ClientSession(f"http://127.0.0.1:{app.port}") as http:
        yield Running(app, http)
