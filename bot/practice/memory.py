"""Keeps a practice in one file, always whole: written beside and renamed, soon after every change."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from pathlib import Path

from bot.practice.phone import Phone
from bot.practice.record import from_json, to_json
from bot.practice.server import LocalBotAPI

log = logging.getLogger(__name__)

# Seconds that changes nobody waits for may be unwritten.
QUIET = 0.1


class Damaged(Exception):
    """The file is not a practice of this version; the message says why."""


class Memory:
    """Reads a practice once and writes it from then on. One process at a time may use one file."""

    def __init__(self, path: Path, api: LocalBotAPI, phone: Phone) -> None:
        self._path = path
        self._api = api
        self._phone = phone
        self._written = ""
        self._saved = -1
        self._urgent = asyncio.Event()
        self._progress = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def read(self) -> None:
        """Fill the server and the phone, both new; nothing when there is no file yet. Raises Damaged, OSError."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        except UnicodeDecodeError as error:
            raise Damaged("holds no text") from error
        try:
            from_json(json.loads(text), self._api, self._phone)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Damaged(f"{type(error).__name__}: {error}") from error

    def start(self) -> None:
        """Write what changes from now on."""
        self._task = asyncio.create_task(self._run(), name="practice memory")

    async def stop(self) -> None:
        """Write for the last time."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self._write()

    async def save(self) -> None:
        """Return once everything that has happened so far is in the file (or could not be written, which is logged)."""
        version = self._api.world.version
        while self._saved < version and self._task is not None:
            self._urgent.set()
            await self._progress.wait()

    async def _run(self) -> None:
        while True:
            await self._api.world.until(lambda: self._api.world.version > self._saved, None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(QUIET):
                    await self._urgent.wait()
            self._urgent.clear()
            await self._write()

    async def _write(self) -> None:
        version = self._api.world.version
        text = json.dumps(to_json(self._api, self._phone), ensure_ascii=True)
        if text != self._written:
            try:
                await asyncio.to_thread(_replace, self._path, text)
                self._written = text
            except OSError as error:
                log.error("DATA_DIR: %s cannot be written (%s)", self._path, error.strerror)
        self._saved = version
        self._progress.set()
        self._progress = asyncio.Event()


def _replace(path: Path, text: str) -> None:
    """Put a new file in the place of the old one; whoever is killed meanwhile leaves one of them whole."""
    fresh = path.with_name(f"{path.name}.new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
