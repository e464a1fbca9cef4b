"""The smallest bot with the real receiver: a few handlers that show what the receiver promises."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from aiogram import Bot, Dispatcher
from aiogram.filters import Filter
from aiogram.fsm.context import FSMContext
from aiogram.methods import SendMessage, TelegramMethod
from aiogram.types import CallbackQuery, Message, Update
from redis.asyncio import Redis

from bot.receive import Receiver
from handlers.reply import Reply
from storage.conversations import Conversations
from storage.errors import StorageAway
from storage.limits import Window
from storage.redis import connect
from tests.bot.fake_telegram import FakeTelegram

# More than any test sends.
UNHURRIED = Window(1000, timedelta(seconds=10))

Handler = Callable[[Message], Awaitable[Reply | TelegramMethod[Any] | None]]


class Says(Filter):
    """The message is this text."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def __call__(self, event: Message) -> bool:
        return event.text == self._text


def say(text: str, person: int = 7) -> SendMessage:
    """One call of the bot."""
    return SendMessage(chat_id=person, text=text)


def text_of(answer: dict[str, Any] | None) -> str:
    assert answer is not None
    return str(answer["text"])


def away() -> StorageAway:
    return StorageAway(sqlite3.OperationalError("database is locked"))


class SmallBot:
    """Counts each person's messages in the conversation; `on` adds a handler for one text."""

    def __init__(self, bot: Bot, redis: Redis, limit: Window = UNHURRIED, **options: Any) -> None:
        self.bot = bot
        self.conversations = Conversations(redis)
        self.dispatcher = Dispatcher(storage=self.conversations, events_isolation=self.conversations)
        self.now = 0.0
        self.handled: list[tuple[int, str]] = []
        self.running: set[int] = set()
        self.overlapped = False
        self.blocked: list[int] = []
        # Raised instead of remembering who has blocked the bot.
        self.forgetful: Exception | None = None
        self._router_of_specials: dict[str, Handler] = {}
        self.dispatcher.message.register(self._message)
        self.dispatcher.callback_query.register(self._press)
        self.receiver = Receiver(
            bot,
            self.dispatcher,
            self.conversations,
            apology=lambda update: say("что-то сломалось", _person(update)),
            notice=lambda update: say("подождите", _person(update)),
            blocked=self._remember_blocked,
            limit=limit,
            slow_down=lambda update, seconds, data: say(f"подождите {seconds} с", _person(update)),
            monotonic=lambda: self.now,
            **options,
        )

    def on(self, text: str, handler: Handler) -> None:
        self._router_of_specials[text] = handler

    async def _message(self, event: Message, state: FSMContext) -> Any:
        person = event.chat.id
        self.overlapped = self.overlapped or person in self.running
        self.running.add(person)
        try:
            data = await state.get_data()
            await state.update_data(n=data.get("n", 0) + 1)
            await asyncio.sleep(0.002)
            text = event.text or ""
            self.handled.append((person, text))
            if text in self._router_of_specials:
                return await self._router_of_specials[text](event)
            return Reply(last=say(f"{data.get('n', 0) + 1}: {text}", person))
        finally:
            self.running.discard(person)

    async def _press(self, event: CallbackQuery, state: FSMContext) -> Any:
        assert isinstance(event.message, Message)
        return await self._message(event.message.model_copy(update={"text": event.data}), state)

    async def _remember_blocked(self, person: int) -> None:
        if self.forgetful is not None:
            raise self.forgetful
        self.blocked.append(person)

    async def handle(self, raw: dict[str, Any]) -> dict[str, Any] | None:
        answer = await self.receiver.handle(self.receiver.parse(raw))
        return None if answer is None else json.loads(answer)


def _person(update: Update) -> int:
    assert update.message
    return update.message.chat.id


@asynccontextmanager
async def small_bot(telegram: FakeTelegram, redis_url: str) -> AsyncIterator[SmallBot]:
    """One replica."""
    client = connect(redis_url)
    async with telegram.bot() as bot:
        small = SmallBot(bot, client)
        yield small
        await small.conversations.close()
    await client.aclose()
