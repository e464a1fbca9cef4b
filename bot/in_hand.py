"""What polling has received and not confirmed: who waits behind whom, and how far the offset may go."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Hashable
from typing import Any

from aiogram import Bot
from aiogram.exceptions import AiogramError, TelegramForbiddenError, TelegramRetryAfter
from aiogram.methods import TelegramMethod
from aiogram.types import Update
from pydantic import ValidationError

from bot.answers import from_answer
from bot.outages import is_harmless, storage_is_away, telegram_is_away
from bot.receive import NotNow, Receiver

log = logging.getLogger(__name__)

# Seconds.
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
# getUpdates shows 100 updates at most: whoever stands behind a chat that takes nothing has to move on some time.
_GIVE_UP_ON_CHAT = 300.0


class InHand:
    """The updates that were received and are not confirmed yet, and each person's queue of them."""

    def __init__(self, bot: Bot, receiver: Receiver) -> None:
        """Handle with this receiver, send the answers with this bot."""
        self._bot = bot
        self._receiver = receiver
        # In the order received, whether finished; ids may restart anywhere, so nothing is compared.
        self._known: dict[int, bool] = {}
        self._confirm: int | None = None
        self._queues: dict[Hashable, deque[Update]] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._some_finished = asyncio.Event()

    @property
    def is_busy(self) -> bool:
        """Whether any update is unfinished."""
        return bool(self._queues)

    def offset(self) -> int | None:
        """Return the offset to ask with: never past an unfinished update; None when there is nothing to confirm.

        None and not "last + 1": after a quiet week ids restart at random (Bot API, Update), and a remembered
        offset above them would throw the new ones away.
        """
        self._some_finished.clear()
        while self._known:
            update_id = next(iter(self._known))
            if not self._known[update_id]:
                return update_id
            # Only here, before the next question: an answer under way may still repeat what is finished.
            del self._known[update_id]
            self._confirm = update_id + 1
        return self._confirm

    def confirmed(self) -> None:
        """Note that Telegram has answered the question with the last offset."""
        self._confirm = None

    def leave_confirming(self) -> None:
        """Leave it to another poller to confirm what is finished here: it gets that again, and it is known."""
        self._known = {update_id: finished for update_id, finished in self._known.items() if not finished}
        self._confirm = None

    def take(self, updates: list[dict[str, Any]]) -> None:
        """Put those updates (as getUpdates returned them) that are new into their people's queues."""
        for raw in updates:
            update_id = int(raw["update_id"])
            if update_id in self._known:
                continue
            try:
                update = self._receiver.parse(raw)
            except ValidationError as error:
                # Without the values, which are personal.
                log.error("update %d is not understood: %s", update_id, [item["loc"] for item in error.errors()])
                self._known[update_id] = True
                continue
            self._known[update_id] = False
            # Updates of nobody wait for nobody.
            key: Hashable = self._receiver.key(update) or update_id
            if key in self._queues:
                self._queues[key].append(update)
                continue
            self._queues[key] = deque([update])
            worker = asyncio.create_task(self._work(key))
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def until_some_finish(self, seconds: float) -> None:
        """Return when an update was finished since the last `offset`, at the latest after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._some_finished.wait()
        except TimeoutError:
            return

    async def finish(self, seconds: float) -> None:
        """Wait for what is in hand, then let go of the rest: it is not confirmed and comes again."""
        if not self._workers:
            return
        _, left = await asyncio.wait(self._workers, timeout=seconds)
        for worker in left:
            worker.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _work(self, key: Hashable) -> None:
        queue = self._queues[key]
        try:
            while queue:
                update = queue[0]
                try:
                    await self._handle(update)
                except Exception:
                    # Whatever it is, those behind it must not wait for ever.
                    log.exception("update %d could not be answered", update.update_id)
                queue.popleft()
                self._known[update.update_id] = True
                self._some_finished.set()
        finally:
            del self._queues[key]

    async def _handle(self, update: Update) -> None:
        """Handle one update until it is done, and send its answer before the person's next update is looked at."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + _GIVE_UP_ON_CHAT
        pause = _FIRST_PAUSE
        while True:
            try:
                answer = await self._receiver.handle(update)
                break
            except NotNow as error:
                if not error.whole and loop.time() > give_up:
                    log.error("update %d is given up: its chat takes nothing", update.update_id)
                    return
                await asyncio.sleep(min(error.retry_after, pause) if error.whole else error.retry_after)
                pause = min(pause * 2, _LONGEST_PAUSE)
        if answer:
            await self._send(from_answer(json.loads(answer)), give_up)

    async def _send(self, method: TelegramMethod[Any], give_up: float) -> None:
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._call(method)
                return
            except Exception as error:
                if is_harmless(error):
                    log.info("an answer was pointless by now: %s", error)
                    return
                passes = telegram_is_away(error) or storage_is_away(error)
                if not passes and not isinstance(error, AiogramError):
                    raise
                if not passes or loop.time() > give_up:
                    # As with a webhook response: the refusal changes nothing about what was done.
                    # A database's words may hold what was written.
                    log.error("an answer was refused: %s", error if isinstance(error, AiogramError) else type(error))
                    return
                await asyncio.sleep(error.retry_after if isinstance(error, TelegramRetryAfter) else pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    async def _call(self, method: TelegramMethod[Any]) -> None:
        try:
            await self._bot(method)
        except TelegramForbiddenError as error:
            await self._receiver.reaches_nobody(error)
