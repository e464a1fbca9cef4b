"""How codes are delivered by SMS, and notices by Telegram."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from aiogram import Bot
from aiogram.enums import ParseMode
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramForbiddenError,
    TelegramRetryAfter,
)
from aiogram.methods import SendMessage, TelegramMethod
from aiogram.types import LinkPreviewOptions, ReplyKeyboardRemove

from bot.outages import is_harmless, storage_is_away, telegram_is_away
from bot.pace import Pace
from handlers.moments import moment
from handlers.ports import (
    Accepted,
    InvalidNumber,
    Misconfigured,
    Refused,
    SendResult,
    SmsGateway,
    Unavailable,
    Unknown,
)
from locales import Texts
from storage.accounts import Accounts
from storage.clock import Clock
from storage.models import SendState
from storage.outbox import Outbox, OutboxItem
from storage.sends import Dispatch, Sends, Told

log = logging.getLogger(__name__)

_LONGEST_DELAY = 16.0
# A second apart: shorter than the lease, after which somebody else takes the row over.
_WRITES = 30
# Telegram may be away for a day; a notice is still worth saying then.
_NOTICE_TRIES = 150
# After these something else than the phone is pending, and its reply keyboard must not be left on the screen.
_LEAVE_THE_PHONE_STEP = frozenset({"notice-expired", "notice-address-lost"})
_LONGEST_NOTICE_DELAY = timedelta(minutes=10)


def delay(attempts: int, chance: random.Random) -> float:
    """Return seconds before the next try after `attempts` ones: 1 to 16, doubling, with jitter."""
    return min(_LONGEST_DELAY, max(1.0, 2.0 ** (attempts - 1) * chance.uniform(0.75, 1.25)))


class CodeDelivery:
    """Sends one code through the first gateway that takes it. The code and the number exist only while it is sent."""

    def __init__(
        self,
        outbox: Outbox,
        sends: Sends,
        gateways: Sequence[SmsGateway],
        texts: Texts,
        clock: Clock,
        chance: random.Random,
        *,
        product: str,
        tries: int,
        owner: str,
    ) -> None:
        """`tries` bounds how often all gateways are asked; `owner` is the courier's name on its leases."""
        self._outbox = outbox
        self._sends = sends
        self._gateways = gateways
        self._texts = texts
        self._clock = clock
        self._chance = chance
        self._product = product
        self._tries = tries
        self._owner = owner

    async def deliver(self, item: OutboxItem) -> None:
        """Send, and settle the ledger's row by what became of it."""
        send_id = UUID(str(item.payload["send_id"]))
        wait: list[float] = []
        tried: Dispatch | None = None
        for gateway in self._gateways:
            dispatch = await self._sends.begin(send_id, gateway.name, now=self._clock.now())
            if dispatch is None:
                await self._outbox.done(item.id, self._owner)
                return
            tried = dispatch
            text = self._texts.plain(dispatch.language, "sms-code", code=dispatch.code, product=self._product)
            result = await _ask(gateway, dispatch.number, text, send_id)
            if not isinstance(result, (Unavailable, Misconfigured)):
                await self._settle(item, dispatch, result)
                return
            if isinstance(result, Misconfigured):
                log.error("gateway %s must be mended: %s", gateway.name, result.detail)
            else:
                log.warning("gateway %s is unavailable for code %s: %s", gateway.name, send_id, result.detail)
                wait.append(result.retry_after or 0.0)
            # Nothing left: the row waits again, so that the next attempt is none of a process that died.
            await self._sends.settle(send_id, SendState.QUEUED, now=self._clock.now())
        if tried is not None:
            await self._again(item, tried, min(wait, default=0.0))

    async def _again(self, item: OutboxItem, dispatch: Dispatch, least: float) -> None:
        run_at = self._clock.now() + timedelta(seconds=max(least, delay(item.attempts, self._chance)))
        if item.attempts < self._tries and run_at < dispatch.expires_at:
            await self._outbox.retry(item.id, self._owner, run_at=run_at, error="unavailable")
            return
        await self._end(item, dispatch, SendState.FAILED, notice="notice-code-failed")

    async def _settle(self, item: OutboxItem, dispatch: Dispatch, result: SendResult) -> None:
        match result:
            case Accepted(provider_id, price):
                log.info("code %s was taken by the gateway", dispatch.send_id)
                await self._end(item, dispatch, SendState.ACCEPTED, provider_id=provider_id, price=price)
            case Unknown(detail):
                log.warning("nobody knows whether code %s was sent: %s", dispatch.send_id, detail)
                await self._end(item, dispatch, SendState.UNKNOWN, notice="notice-code-unknown")
            case InvalidNumber(detail) | Refused(detail):
                log.info("code %s cannot be delivered: %s", dispatch.send_id, detail)
                await self._end(item, dispatch, SendState.FAILED, notice="notice-code-undeliverable")

    async def _end(
        self,
        item: OutboxItem,
        dispatch: Dispatch,
        state: SendState,
        *,
        notice: str | None = None,
        provider_id: str | None = None,
        price: int | None = None,
    ) -> None:
        now = self._clock.now()
        told = Told(dispatch.telegram_id, dispatch.language, notice) if notice else None
        held = (item.id, self._owner)
        await _insist(lambda: self._sends.settle(dispatch.send_id, state, now, provider_id, price, told, held))


async def _ask(gateway: SmsGateway, number: str, text: str, send_id: UUID) -> SendResult:
    try:
        return await gateway.send(number, text, send_id)
    except Exception:
        log.exception("gateway %s failed", gateway.name)
        return Unknown("a fault in the gateway's code")


async def _insist(write: Callable[[], Awaitable[object]]) -> None:
    """Write down what happened outside, waiting for a database that is away: forgetting it would repeat the SMS."""
    for _ in range(_WRITES - 1):
        try:
            await write()
            return
        except Exception as error:
            if not storage_is_away(error):
                raise
            await asyncio.sleep(1)
    await write()


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

    def __init__(self, telegram: TelegramDelivery, texts: Texts, clock: Clock, zone: ZoneInfo) -> None:
        """`zone` is the one moments are said in."""
        self._telegram = telegram
        self._texts = texts
        self._clock = clock
        self._zone = zone

    async def deliver(self, item: OutboxItem) -> None:
        """Say it in the person's language; moments in its values (ISO 8601) are written out."""
        telegram_id = int(item.payload["telegram_id"])
        language = self._texts.pick(item.payload["language"])
        values = {name: self._spoken(value, language) for name, value in (item.payload.get("values") or {}).items()}
        key = item.payload["text"]
        message = SendMessage(
            chat_id=telegram_id,
            text=str(self._texts.html(language, key, **values)),
            parse_mode=ParseMode.HTML,
            link_preview_options=LinkPreviewOptions(is_disabled=True),
            reply_markup=ReplyKeyboardRemove(remove_keyboard=True) if key in _LEAVE_THE_PHONE_STEP else None,
        )
        await self._telegram.call(item, telegram_id, message)

    def _spoken(self, value: Any, language: str) -> Any:
        try:
            at = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            return value
        return moment(at, self._clock.now(), self._zone, language)
