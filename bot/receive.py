"""One update, from either transport: once, in order, acknowledged only after its effects are committed."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiogram import Bot, Dispatcher
from aiogram.dispatcher.event.bases import UNHANDLED
from aiogram.dispatcher.middlewares.user_context import UserContextMiddleware
from aiogram.exceptions import AiogramError, TelegramForbiddenError, TelegramRetryAfter
from aiogram.fsm.storage.base import StorageKey
from aiogram.methods import EditMessageText, TelegramMethod
from aiogram.types import Update
from aiogram.types.update import UpdateTypeLookupError

from bot.answers import anew, to_answer
from bot.outages import is_harmless, lock_is_elsewhere, message_is_gone, reason, storage_is_away, telegram_is_away
from handlers.reply import Reply
from storage.conversations import Conversation, Conversations
from storage.limits import Window
from storage.pace import TooFast

log = logging.getLogger(__name__)

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

# What both transports ask Telegram for: `my_chat_member` is how a block is learnt.
ALLOWED_UPDATES = ("message", "edited_message", "callback_query", "my_chat_member")
# Seconds after which Telegram (or the polling loop) may try an update again.
_AGAIN_AFTER = 5.0
# Seconds of waiting after which a person is told, once, that the bot knows about it.
_TELL_AFTER = 30.0
# A person not heard of for so long (seconds) is not waiting any more: their update went to another replica.
_FORGET_AFTER = 600.0
# An outage nobody was heard of in for so long (seconds) is over, and the next one is told of in the log again.
_OVER_AFTER = 60.0
_MOST_WAITING = 10_000
# Seconds: Telegram waits for our refusal meanwhile.
_NOTICE_WITHIN = 5


class NotNow(Exception):
    """The update is not handled and must not be acknowledged; it may be tried again after `retry_after` seconds.

    `whole` is true when everybody is affected (storage is down), false when it is about this person or their chat.
    """

    def __init__(self, retry_after: float, *, whole: bool) -> None:
        """Take the delay in seconds and whom it is about."""
        super().__init__(f"again after {retry_after:g} s")
        self.retry_after = retry_after
        self.whole = whole


class Receiver:
    """Runs each update through the dispatcher inside its person's conversation.

    `apology` makes the answer to an update that hit a bug; `notice` the one message for a person who has waited for
    storage for 30 s. Both must work without SQL and Redis. `blocked` remembers that a person (Telegram id) takes no
    messages. Beyond `limit` a person's updates are not handled, and `slow_down` makes the one answer: it takes
    the update, the seconds until the next one is handled and the conversation's data. `monotonic` returns seconds.
    """

    def __init__(
        self,
        bot: Bot,
        dispatcher: Dispatcher,
        conversations: Conversations,
        *,
        apology: Callable[[Update], TelegramMethod[Any] | None],
        notice: Callable[[Update], TelegramMethod[Any] | None],
        blocked: Callable[[int], Awaitable[object]],
        limit: Window,
        slow_down: Callable[[Update, int, Mapping[str, Any]], TelegramMethod[Any] | None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use a dispatcher whose storage and events isolation are `conversations`."""
        self._bot = bot
        self._dispatcher = dispatcher
        self._conversations = conversations
        self._apology = apology
        self._blocked = blocked
        self._limit = limit
        self._slow_down = slow_down
        self._waiting = _Waiting(bot, notice, monotonic)

    def parse(self, raw: dict[str, Any]) -> Update:
        """Return the update bound to the bot (else it is built twice). Raises pydantic's ValidationError."""
        return Update.model_validate(raw, context={"bot": self._bot})

    def key(self, update: Update) -> StorageKey | None:
        """Return whose conversation the update belongs to, as the dispatcher sees it; None when to nobody's."""
        message = update.message
        if message is not None and message.from_user is not None and message.business_connection_id is None:
            # Most updates: what the dispatcher says of them, without asking it. A topic is no conversation of its own.
            return StorageKey(bot_id=self._bot.id, chat_id=message.chat.id, user_id=message.from_user.id)
        context = UserContextMiddleware.resolve_event_context(update)
        resolved = self._dispatcher.fsm.resolve_context(self._bot, chat_id=context.chat_id, user_id=context.user_id)
        return resolved.key if resolved else None

    async def handle(self, update: Update) -> str | None:
        """Handle one update and return its answer as a webhook response (the JSON of `{"method": ...}`), or None.

        When this returns, everything is committed and the update may be acknowledged; the returned call has not been
        made yet. The newest update repeated returns the answer kept for it, an older one None. Raises NotNow.
        """
        try:
            kind = update.event_type
        except UpdateTypeLookupError:
            log.info("update %d is of a kind that was not asked for", update.update_id)
            return None
        key = self.key(update)
        try:
            answer = await (self._in_conversation(key, update) if key else self._work(update, None))
        except Exception as error:
            if storage_is_away(error):
                # One line for an outage, not one for each try of each person.
                level = logging.DEBUG if self._waiting.anybody else logging.WARNING
                log.log(level, "updates wait, storage is away: %s", reason(error))
                await self._waiting.remember(key, update)
                raise NotNow(_AGAIN_AFTER, whole=True) from error
            if lock_is_elsewhere(error):
                log.warning("update %d waits: another process has the person's lock", update.update_id)
                raise NotNow(1.0, whole=False) from error
            if telegram_is_away(error):
                log.warning("update %d waits, Telegram does not take calls: %s", update.update_id, type(error).__name__)
                after = error.retry_after if isinstance(error, TelegramRetryAfter) else _AGAIN_AFTER
                raise NotNow(after, whole=False) from error
            log.exception("update %d hit a bug outside its handler", update.update_id)
            return self._apologise(update)
        self._waiting.done(key)
        log.debug("update %d (%s) is handled", update.update_id, kind)
        return answer

    async def _in_conversation(self, key: StorageKey, update: Update) -> str | None:
        async with self._conversations.open(key, update.update_id) as conversation:
            if conversation.seen:
                log.info("update %d was handled before", update.update_id)
                return conversation.kept_reply
            if _is_said_in_private(key, update):
                try:
                    conversation.pace.take(self._limit)
                except TooFast as flood:
                    return await self._refuse(conversation, update, flood)
            answer = await self._work(update, conversation)
            await conversation.save(answer)
            return answer

    async def _refuse(self, conversation: Conversation, update: Update, flood: TooFast) -> str | None:
        words = None if flood.told else self._slow_down(update, flood.retry_in, conversation.data)
        answer = self._written(words)
        await conversation.refuse(answer)
        log.info("update %d comes too fast: handled again in %d s", update.update_id, flood.retry_in)
        return answer

    async def _work(self, update: Update, conversation: Conversation | None) -> str | None:
        reply: Reply | None = None
        try:
            reply = _reply(await self._dispatcher.feed_update(self._bot, update))
            for method in reply.before:
                await self._send(method)
            return self._written(reply.last)
        except TelegramForbiddenError as error:
            # The person blocked the bot meanwhile: nothing more can be said, and nothing is lost by that.
            await self.reaches_nobody(error)
            return None
        except Exception as error:
            if storage_is_away(error) or lock_is_elsewhere(error) or telegram_is_away(error):
                raise
            # Acknowledged all the same: a bug repeats itself, and the person would be stuck behind it for a day.
            log.exception("update %d hit a bug", update.update_id)
            if conversation and reply is None:
                conversation.discard()
            return self._apologise(update)

    async def reaches_nobody(self, error: TelegramForbiddenError) -> None:
        """Remember that the person whom a call was for takes none any more; raises what storage raises.

        Their own update about it (my_chat_member) may come later, or never: an account that Telegram has deactivated
        sends none.
        """
        log.info("a call reaches nobody: %s", error.message)
        chat_id = getattr(error.method, "chat_id", None)
        # A private chat has its person's id; those of groups and channels are negative.
        if isinstance(chat_id, int) and chat_id > 0:
            await self._blocked(chat_id)

    def _apologise(self, update: Update) -> str | None:
        return self._written(self._apology(update))

    def _written(self, method: TelegramMethod[Any] | None) -> str | None:
        # Once: what travels is also what is kept for a repetition.
        return None if method is None else _dumps(to_answer(method, self._bot))

    async def _send(self, method: TelegramMethod[Any]) -> None:
        try:
            await self._bot(method)
        except AiogramError as error:
            if isinstance(method, EditMessageText) and message_is_gone(error):
                # The person deleted it, and still waits for what it was to say.
                await self._bot(anew(method))
                return
            if not is_harmless(error):
                raise
            log.info("%s was pointless by now: %s", method.__api_method__, error)


class _Waiting:
    """People whose updates wait for storage: each is told at most once in an outage, as well as it goes."""

    def __init__(
        self, bot: Bot, notice: Callable[[Update], TelegramMethod[Any] | None], monotonic: Callable[[], float]
    ) -> None:
        self._bot = bot
        self._notice = notice
        self._monotonic = monotonic
        # Per person: since when, heard of last, told.
        self._people: dict[StorageKey, tuple[float, float, bool]] = {}

    @property
    def anybody(self) -> bool:
        # Who was heard of last stands last. They may have been served by another replica since.
        heard = next(reversed(self._people.values()), None)
        return heard is not None and self._monotonic() - heard[1] <= _OVER_AFTER

    def done(self, key: StorageKey | None) -> None:
        if self._people and key:
            self._people.pop(key, None)

    async def remember(self, key: StorageKey | None, update: Update) -> None:
        if key is None:
            return
        now = self._monotonic()
        since, last, told = self._people.pop(key, (now, now, False))
        if now - last > _FORGET_AFTER:
            since, told = now, False
        tell = not told and now - since >= _TELL_AFTER
        self._people[key] = (since, now, told or tell)
        if len(self._people) > _MOST_WAITING:
            # Re-inserted at each try, so the first is the one not heard of for longest.
            del self._people[next(iter(self._people))]
        if tell and (notice := self._notice(update)):
            try:
                await self._bot(notice, request_timeout=_NOTICE_WITHIN)
            except (AiogramError, OSError) as error:
                log.info("a person who waits could not be told: %s", type(error).__name__)


def _is_said_in_private(key: StorageKey, update: Update) -> bool:
    # That somebody has blocked the bot must be learnt however fast they do it; groups have a limit of their own.
    return key.chat_id == key.user_id and update.my_chat_member is None


def _reply(result: object) -> Reply:
    if isinstance(result, Reply):
        return result
    if result is None or result is UNHANDLED:
        return Reply()
    if isinstance(result, TelegramMethod):
        return Reply(last=result)
    raise TypeError(f"a handler returned {type(result).__name__} instead of a Reply")
