"""A practice as a whole: the local Bot API server, the phone, the page and the file they are kept in."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.practice.guard import address_of, is_loopback
from bot.practice.memory import Damaged, Memory
from bot.practice.page import Page
from bot.practice.phone import Phone
from bot.practice.server import LocalBotAPI

log = logging.getLogger(__name__)

# Far above the ids Telegram has given out so far, so that nobody real is ever mistaken for one of these.
FIRST_PERSON = 4_000_000_000_001
_PEOPLE = (("Ира", "ru", "+79161234567"), ("Anna", "en", "+79031234567"), ("Олег", "ru", "+77011234567"))


@dataclass(frozen=True)
class Practice:
    """What a practice is made of. `host`: the address it is served at; `gateways`: those used instead of the phone."""

    api: LocalBotAPI
    phone: Phone
    page: Page
    host: str
    gateways: tuple[str, ...]

    def welcome(self, port: int) -> list[str]:
        """Return the lines that tell whoever started the bot what to do."""
        lines = [
            "Practice mode: no message leaves this machine.",
            f"  http://{address_of(self.host, port)}/",
            "  1. Open this address in a browser.",
            "  2. Press Start in the chat.",
            "  3. The SMS with the code appears beside the chat.",
        ]
        if self.gateways:
            lines[0] = f"Practice mode: Telegram is played here, SMS go out by {', '.join(self.gateways)}."
            lines[4] = "  3. The SMS with the code goes out as SMS_GATEWAYS says."
        if not is_loopback(self.host):
            lines.append(f"  HTTP_HOST is {self.host}: whoever reaches this machine can use the page.")
        return lines


@asynccontextmanager
async def practising(path: Path, *, name: str, host: str, gateways: tuple[str, ...] = ()) -> AsyncIterator[Practice]:
    """Play Telegram inside the block, going on where the practice in `path` ended.

    `name` is the bot's, the others are as in Practice. Raises OSError when the file or its
    folder cannot be used. A damaged file is put aside and the practice begins anew.
    """
    api, phone, memory = _begin(path, name)
    memory.start()
    try:
        await api.start()
        yield Practice(api, phone, Page(api, phone, memory.save, host, gateways), host, gateways)
    finally:
        await api.stop()
        await memory.stop()


def _begin(path: Path, name: str) -> tuple[LocalBotAPI, Phone, Memory]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    api, phone, memory = _parts(path, name)
    try:
        memory.read()
    except Damaged as error:
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        log.error("DATA_DIR: %s cannot be read (%s); it is now %s and the practice begins anew", path, error, aside)
        # What was read before the damage must not stay.
        api, phone, memory = _parts(path, name)
    if not api.people:
        for number, (first_name, language, own) in enumerate(_PEOPLE):
            api.person(FIRST_PERSON + number, first_name, language, own)
    return api, phone, memory


def _parts(path: Path, name: str) -> tuple[LocalBotAPI, Phone, Memory]:
    api = LocalBotAPI(name=name)
    phone = Phone(api.world, lambda: memory.save())
    memory = Memory(path, api, phone)
    api.before_answer = memory.save
    return api, phone, memory
