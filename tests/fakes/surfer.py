"""A browser without scripts, pictures or mercy: cookies, redirects, links by their words, forms by their buttons."""

from __future__ import annotations

import html
import re
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import aiohttp


class Surfer:
    """One browser; what is open is in `url`, `status`, `text` and `headers`."""

    def __init__(self, language: str = "ru", user_agent: str = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0") -> None:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            headers={"Accept-Language": f"{language},en;q=0.5", "User-Agent": user_agent},
        )
        self.url = self.text = ""
        self.status = 0
        self.headers: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def open(self, url: str, *, follow: bool = True, headers: dict[str, str] | None = None) -> None:
        """Open an address."""
        async with self._session.get(urljoin(self.url, url), allow_redirects=follow, headers=headers) as response:
            await self._take(response)

    async def click(self, words: str) -> None:
        """Follow the link of these words."""
        await self.open(self.link(words))

    def link(self, words: str) -> str:
        """Return where the link of these words leads."""
        for url, label in re.findall(r'<a [^>]*href="([^"]*)"[^>]*>([^<]*)</a>', self.text):
            if html.unescape(label) == words:
                return html.unescape(url)
        raise AssertionError(f"no link {words!r} on this page: {self.text}")

    async def choose(self, words: str) -> None:
        """Press the button of these words in the page's form."""
        action = re.search(r'<form method="post" action="([^"]*)"', self.text)
        assert action is not None, self.text
        fields = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', self.text))
        name, value = next(
            (name, value)
            for name, value, label in re.findall(r'<button name="([^"]*)" value="([^"]*)">([^<]*)<', self.text)
            if html.unescape(label) == words
        )
        async with self._session.post(urljoin(self.url, action[1]), data={**fields, name: value}) as response:
            await self._take(response)

    async def _take(self, response: aiohttp.ClientResponse) -> None:
        self.url, self.status, self.headers = str(response.url), response.status, dict(response.headers)
        self.text = await response.text()
