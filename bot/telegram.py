"""The bot's own dealings with Telegram: who it is, its webhook, its list of commands, and words without storage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from aiogram import Bot
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.methods import AnswerCallbackQuery, SendMessage, TelegramMethod
from aiogram.types import BotCommand, Update, User

from bot.failures import StartFailed
from bot.practice import LocalBotAPI
from bot.receive import ALLOWED_UPDATES
from bot.session import Session
from bot.settings import Settings
from locales import Texts

log = logging.getLogger(__name__)

COMMANDS = (
    "start",
    "back",
    "cancel",
    "help",
    "language",
    "settings",
    "promo",
    "invite",
    "support",
    "privacy",
    "export",
    "delete",
)
_TRIES = 5
# Connections at most: one carries one call at a time, and who finds none waits for somebody else's.
_CALLS = 200

T = TypeVar("T")


async def open_bot(settings: Settings, local: LocalBotAPI | None, stack: AsyncExitStack) -> Bot:
    """Return the bot's client: of Telegram with BOT_TOKEN, of the local Bot API server without."""
    if local is not None:
        token, base = local.token, local.base_url
    elif settings.bot_token is not None:
        token, base = settings.bot_token.get_secret_value(), settings.telegram_api_base
    else:
        raise ValueError("there is neither BOT_TOKEN nor a local Bot API server")
    bot = Bot(token, session=Session(api=TelegramAPIServer.from_base(base), limit=_CALLS))
    stack.push_async_callback(bot.session.close)
    return bot


async def introduce(bot: Bot) -> User:
    """Return who the bot is. Raises StartFailed when the token is wrong or Telegram cannot be reached."""
    try:
        return await _patiently(bot.me)
    except (TelegramUnauthorizedError, TelegramNotFound) as error:
        raise StartFailed("BOT_TOKEN: Telegram does not know this token; write it as @BotFather gave it") from error
    except TelegramAPIError as error:
        raise StartFailed(f"TELEGRAM_API_BASE: Telegram cannot be reached ({error.message})") from error


async def set_webhook(bot: Bot, base: str, secret: str) -> None:
    """Tell Telegram where updates go; at every start, so that a changed secret or address takes effect."""

    async def call() -> bool:
        return await bot.set_webhook(
            url=f"{base}/telegram", secret_token=secret, allowed_updates=list(ALLOWED_UPDATES), max_connections=100
        )

    try:
        await _patiently(call)
    except TelegramAPIError as error:
        raise StartFailed(f"WEBHOOK_URL: Telegram does not take it ({error.message})") from error


async def announce(bot: Bot, settings: Settings) -> None:
    """Publish the list of commands in every language; without it the bot works all the same, so this raises nothing."""
    texts = Texts(default=settings.default_language)
    try:
        await asyncio.gather(*(_publish_commands(bot, texts, language, settings) for language in texts.languages))
    except TelegramAPIError as error:
        log.warning("the list of commands could not be published: %s", error.message)
    except Exception:
        log.exception("the list of commands could not be published")


async def _publish_commands(bot: Bot, texts: Texts, language: str, settings: Settings) -> None:
    commands = [BotCommand(command=name, description=texts.plain(language, f"command-{name}")) for name in COMMANDS]
    code = None if language == settings.default_language else language
    await bot.set_my_commands(commands, language_code=code)


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call at start, again after a network error: the server may be starting at the same time."""
    for attempt in range(_TRIES - 1):
        try:
            return await call()
        except (TelegramNetworkError, TelegramServerError, TelegramRetryAfter) as error:
            log.warning("Telegram does not answer yet: %s", error.message)
            await asyncio.sleep(error.retry_after if isinstance(error, TelegramRetryAfter) else 0.5 * 2**attempt)
    return await call()


class OwnWords:
    """What is said without asking SQL; where Redis is not asked either, the language is the one Telegram names."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    def apology(self, update: Update) -> TelegramMethod[Any] | None:
        """Return the answer to an update that hit a bug."""
        return self._say(update, "apology")

    def outage(self, update: Update) -> TelegramMethod[Any] | None:
        """Return the one message for who has been waiting for storage."""
        return self._say(update, "apology-outage")

    def slow_down(self, update: Update, seconds: int, talk: Mapping[str, Any]) -> TelegramMethod[Any] | None:
        """Return the answer to who writes too fast; a press is answered too, else its button waits on the screen."""
        subject = update.message or update.edited_message or update.callback_query
        person = subject.from_user if subject else None
        if person is None:
            return None
        language = talk.get("language") or self._texts.pick(person.language_code)
        text = self._texts.plain(language, "flood-slow-down", seconds)
        if update.callback_query:
            return AnswerCallbackQuery(callback_query_id=update.callback_query.id, text=text, show_alert=True)
        return SendMessage(chat_id=person.id, text=text)

    def _say(self, update: Update, key: str) -> TelegramMethod[Any] | None:
        subject = update.message or update.edited_message or update.callback_query
        person = subject.from_user if subject else None
        if person is None:
            return None
        return SendMessage(chat_id=person.id, text=self._texts.plain(self._texts.pick(person.language_code), key))
