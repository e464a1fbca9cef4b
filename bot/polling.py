"""Long polling with a webhook's guarantees: an update is confirmed only after its effects are committed.

getUpdates confirms everything below its offset (Bot API, getUpdates), so the offset is the oldest unfinished update
and what is in hand or finished behind it is skipped when it comes again. People in parallel, each in order.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

from aiogram import Bot
from aiogram.exceptions import AiogramError, TelegramNotFound, TelegramRetryAfter, TelegramUnauthorizedError
from aiogram.methods import TelegramMethod
from redis.exceptions import RedisError

from bot.in_hand import InHand
from bot.receive import ALLOWED_UPDATES, Receiver
from storage.leases import Leases

log = logging.getLogger(__name__)

# Seconds.
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
# While the oldest update is not finished, getUpdates answers at once with what we have: ask again this often.
_LOOK_AGAIN = 0.3
_LAST_CALL_WITHIN = 1


class TokenRefused(RuntimeError):
    """Telegram does not know the bot's token; the message is one line for the operator."""


class GetRawUpdates(TelegramMethod[list[dict[str, Any]]]):
    """getUpdates without building the updates: one that does not parse must not take its whole batch with it."""

    __returning__ = list[dict[str, Any]]
    __api_method__ = "getUpdates"

    offset: int | None = None
    limit: int | None = None
    timeout: int | None = None
    allowed_updates: list[str] | None = None


class Polling:
    """Asks Telegram for updates while it holds the lease; other replicas stand by.

    `owner` names this process in the lease, `wait` is the long poll's length in seconds, `lease` how long a killed
    poller keeps the others waiting, `finish_within` what `stop` leaves to updates in hand.
    """

    def __init__(
        self,
        bot: Bot,
        receiver: Receiver,
        leases: Leases,
        owner: str,
        *,
        wait: int = 25,
        lease: timedelta = timedelta(seconds=10),
        finish_within: timedelta = timedelta(seconds=3),
    ) -> None:
        """Poll for this bot."""
        self._bot = bot
        self._receiver = receiver
        self._leases = leases
        self._owner = owner
        self._name = f"polling:{bot.id}"
        self._wait = wait
        self._lease = lease
        self._finish_within = finish_within.total_seconds()
        self._hand = InHand(bot, receiver)
        self._redis_is_away = False
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ask for nothing more; `run` returns when what is in hand is finished (or `finish_within` is over)."""
        self._stopping.set()

    async def run(self) -> None:
        """Poll until `stop`. Raises TokenRefused."""
        try:
            while not self._stopping.is_set():
                if await self._hold():
                    log.info("this process polls for updates")
                    await self._poll_while_leading()
                else:
                    await self._pause(self._lease.total_seconds() / 3)
        finally:
            await self._hand.finish(self._finish_within)
            await self._leave()

    async def _hold(self) -> bool:
        try:
            held = await self._leases.hold(self._name, self._owner, self._lease)
        except RedisError as error:
            if not self._redis_is_away:
                log.warning("polling stands still, Redis is away: %s", error)
            self._redis_is_away = True
            return False
        self._redis_is_away = False
        return held

    async def _poll_while_leading(self) -> None:
        asking = asyncio.create_task(self._ask())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            while not self._stopping.is_set():
                done, _ = await asyncio.wait(
                    (asking, stopping),
                    timeout=self._lease.total_seconds() / 3,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if asking in done:
                    asking.result()
                if not self._stopping.is_set() and not await self._hold():
                    # Another one may poll now; what is in hand is finished all the same, under each person's lock.
                    log.info("this process stands by: the polling lease is not ours any more")
                    self._hand.leave_confirming()
                    return
        finally:
            asking.cancel()
            stopping.cancel()
            await asyncio.gather(asking, stopping, return_exceptions=True)

    async def _ask(self) -> None:
        pause = 0.0
        prepared = False
        while True:
            try:
                if not prepared:
                    # A webhook that an earlier deployment left would answer every getUpdates with 409.
                    await self._bot.delete_webhook(drop_pending_updates=False)
                    prepared = True
                updates = await self._get_updates()
            except (TelegramUnauthorizedError, TelegramNotFound) as error:
                raise TokenRefused("BOT_TOKEN: Telegram does not know this token") from error
            except (AiogramError, OSError) as error:
                if not pause:
                    log.warning("Telegram gives no updates: %s", error)
                prepared = False
                pause = min(max(pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
                await asyncio.sleep(error.retry_after if isinstance(error, TelegramRetryAfter) else pause)
                continue
            if pause:
                log.info("Telegram gives updates again")
                pause = 0.0
            self._hand.take(updates)
            if self._hand.is_busy:
                await self._hand.until_some_finish(_LOOK_AGAIN)

    async def _get_updates(self) -> list[dict[str, Any]]:
        get = GetRawUpdates(
            offset=self._hand.offset(), timeout=self._wait, limit=100, allowed_updates=list(ALLOWED_UPDATES)
        )
        # Longer than the long poll, else a quiet night is a series of errors.
        updates: list[dict[str, Any]] = await self._bot(get, request_timeout=self._wait + 10)
        self._hand.confirmed()
        return updates

    async def _leave(self) -> None:
        """Confirm what is finished, so that the next poller does not get it again, and give the lease back."""
        try:
            if (offset := self._hand.offset()) is not None:
                get = GetRawUpdates(offset=offset, timeout=0, limit=1)
                await self._bot(get, request_timeout=_LAST_CALL_WITHIN)
        except (AiogramError, OSError) as error:
            # Harmless: it comes again and is known.
            log.info("the last updates could not be confirmed: %s", error)
        try:
            await self._leases.release(self._name, self._owner)
        except RedisError as error:
            log.info("the polling lease is left to its time limit: %s", error)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
