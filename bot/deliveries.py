"""How notices and alerts are delivered by Telegram."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from aiogram import Bot
from aiogram.enums import ParseMode
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramForbiddenError,
    TelegramRetryAfter,
)
from aiogram.methods import SendMessage, TelegramMethod
from aiogram.types import InlineKeyboardMarkup, LinkPreviewOptions, ReplyKeyboardRemove

from bot.outages import is_harmless, telegram_is_away
from bot.pace import Pace
from handlers import keyboards
from handlers.product import Product
from handlers.screens import inline_markup
from handlers.voice import Voice
from locales import Texts
from storage.accounts import Accounts
from storage.clock import Clock
from storage.models import Channel
from storage.outbox import Outbox, OutboxItem

log = logging.getLogger(__name__)

# Telegram may be away for a day; a notice is still worth saying then.
_NOTICE_TRIES = 150
# After these something else than the phone is pending, and its reply keyboard must not be left on the screen.
_LEAVE_THE_PHONE_STEP = frozenset({"notice-expired", "notice-address-lost"})
# What to do next stands in buttons under these.
_WAITS_FOR_A_CODE = frozenset(
    {"notice-code-failed", "notice-code-unknown", "notice-code-undelivered", "notice-code-undeliverable"}
)
_LONGEST_NOTICE_DELAY = timedelta(minutes=10)


class TelegramDelivery:
    """Makes one Bot API call that no update waits for. Who has blocked the bot is told nothing more."""

    def __init__(
        self, outbox: Outbox, accounts: Accounts, bot: Bot, clock: Clock, chance: random.Random, pace: Pace, owner: str
    ) -> None:
        self._outbox = outbox
        self._accounts = accounts
        self._bot = bot
        self._clock = clock
        self._chance = chance
        self._pace = pace
        self._owner = owner

    async def call(self, item: OutboxItem, telegram_id: int, method: TelegramMethod[Any]) -> None:
        """Make the call and settle the row."""
        await self._pace.wait(telegram_id)
        try:
            await self._bot(method)
        except TelegramRetryAfter as error:
            await self._retry(item, timedelta(seconds=error.retry_after), "flood")
            return
        except TelegramForbiddenError:
            await self._accounts.mark_blocked(telegram_id, blocked=True, now=self._clock.now())
        except TelegramAPIError as error:
            if telegram_is_away(error):
                await self._retry(item, self._pause(item.attempts), type(error).__name__)
                return
            if not is_harmless(error):
                log.warning("Telegram refuses a %s: %s", item.kind, error.message)
                await self._outbox.dead(item.id, self._owner, error=type(error).__name__)
                return
        await self._outbox.done(item.id, self._owner)

    async def drop(self, item: OutboxItem) -> None:
        """Settle a row that there is nothing to say about any more."""
        await self._outbox.done(item.id, self._owner)

    async def _retry(self, item: OutboxItem, wait: timedelta, error: str) -> None:
        if item.attempts >= _NOTICE_TRIES:
            await self._outbox.dead(item.id, self._owner, error=error)
        else:
            await self._outbox.retry(item.id, self._owner, run_at=self._clock.now() + wait, error=error)

    def _pause(self, attempts: int) -> timedelta:
        doubled = timedelta(seconds=2.0 ** min(attempts, 12) * self._chance.uniform(0.75, 1.25))
        return min(doubled, _LONGEST_NOTICE_DELAY)


class NoticeDelivery:
    """Tells a person what happened without them: a text by its key."""

    def __init__(self, telegram: TelegramDelivery, texts: Texts, product: Product, clock: Clock) -> None:
        self._telegram = telegram
        self._texts = texts
        self._product = product
        self._clock = clock

    async def deliver(self, item: OutboxItem) -> None:
        """Say it in the person's language; moments in its values (ISO 8601) are written out."""
        language, key = self._texts.pick(item.payload["language"]), item.payload["text"]
        voice = Voice(self._texts, self._product, language, self._clock.now())
        message = SendMessage(
            chat_id=int(item.payload["telegram_id"]),
            text=str(voice.html(key, **_spoken(item.payload.get("values"), voice))),
            parse_mode=ParseMode.HTML,
            link_preview_options=LinkPreviewOptions(is_disabled=True),
            reply_markup=_buttons(key, voice, item.payload.get("values") or {}),
        )
        await self._telegram.call(item, int(item.payload["telegram_id"]), message)


class AlertDelivery:
    """Tells the operator: always in the log, and in the support chat when there is one."""

    def __init__(
        self, telegram: TelegramDelivery, texts: Texts, product: Product, clock: Clock, chat_id: int | None
    ) -> None:
        """`chat_id` is the support chat's."""
        self._telegram = telegram
        self._texts = texts
        self._product = product
        self._clock = clock
        self._chat_id = chat_id

    async def deliver(self, item: OutboxItem) -> None:
        """Say it in the default language. A range of numbers in it is for the chat, not for the log."""
        voice = Voice(self._texts, self._product, self._texts.default, self._clock.now())
        key, values = item.payload["text"], _spoken(item.payload.get("values"), voice)
        log.error("%s%s", key, "".join(f" {name}={value}" for name, value in values.items() if name != "range"))
        if self._chat_id is None:
            await self._telegram.drop(item)
            return
        message = SendMessage(chat_id=self._chat_id, text=str(voice.html(key, **values)), parse_mode=ParseMode.HTML)
        await self._telegram.call(item, self._chat_id, message)


def _buttons(key: str, voice: Voice, values: Mapping[str, Any]) -> InlineKeyboardMarkup | ReplyKeyboardRemove | None:
    if key in _LEAVE_THE_PHONE_STEP:
        return ReplyKeyboardRemove(remove_keyboard=True)
    if key == "notice-conflict":
        return inline_markup(keyboards.taken(voice, mine=False), voice.language)
    if key not in _WAITS_FOR_A_CODE:
        return None
    channels = [Channel(channel) for channel in values.get("channels", ())]
    return inline_markup(keyboards.code_help(voice, channels=channels), voice.language)


def _spoken(values: Mapping[str, Any] | None, voice: Voice) -> dict[str, Any]:
    return {name: _moment(value, voice) for name, value in (values or {}).items()}


def _moment(value: Any, voice: Voice) -> Any:
    try:
        return voice.moment(datetime.fromisoformat(value))
    except (TypeError, ValueError):
        return value
