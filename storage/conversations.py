"""Where each person is in the conversation: an aiogram storage and event isolation in one, two scripts per update.

Redis is only the conversation: it may be flushed at any moment, SQL is the truth. All keys of a person share one hash
tag, so that they live in one slot of a cluster. Key names and field names are permanent.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import timedelta
from itertools import count
from typing import Any, Literal

from aiogram.fsm.state import State
from aiogram.fsm.storage.base import BaseEventIsolation, BaseStorage, StateType, StorageKey
from redis.exceptions import RedisError

from storage import scripts
from storage.errors import Busy, LockLost
from storage.pace import Pace
from storage.person_keys import PersonKeys, Whose, keys_of, whose
from storage.redis import Client
from storage.redis_scripts import scripts_for
from storage.redis_wakes import Wakes
from storage.renewal import Renewal
from storage.turns import Turns

log = logging.getLogger(__name__)

# How many update ids a person's record remembers: `limits.md`, seen_updates.
SEEN_UPDATES = 32
# A waiter asks again after this many seconds even if nobody woke it: the one who was woken may have died since.
_ASK_AGAIN = 5.0
# Beyond so many people at once the rest wait for the lock's time limit: an outage must not fill the memory.
_MOST_ORPHANS = 10_000
_NOTHING = nullcontext()

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Conversation:
    """One person's record while its lock is ours. `step` and `data` are kept in memory until `save`.

    `seen`: None for a new update, "newest" for a repeat of the last one that was saved (`kept_reply` is what it was
    answered with), "older" for any other of the last 32. `existed` is false when there was no record or an outside
    change made it worthless: the step must be computed anew.
    """

    def __init__(
        self, store: Conversations, key: StorageKey, keys: PersonKeys, token: str, update_id: int, record: list[Any]
    ) -> None:
        """Take the record as `lock and load` returned it; every field but the moment (ms) may be None."""
        now, step, data, seen, reply, pace = record
        self._store = store
        self._loaded: tuple[str | None, str | None] = (step, data)
        self._ids: list[str] = seen.split(",") if seen else []
        self.key = key
        self.keys = keys
        self.token = token
        self.update_id = update_id
        self.saved = False
        self.pace = Pace(pace or "", now)
        self.step: str | None = step
        self.data: dict[str, Any] = json.loads(data) if data else {}
        self.existed: bool = data is not None
        self.seen: Literal["newest", "older"] | None = None
        self.kept_reply: str | None = None
        if str(update_id) in self._ids:
            self.seen = "newest" if self._ids[-1] == str(update_id) else "older"
        if self.seen == "newest":
            self.kept_reply = reply

    def discard(self) -> None:
        """Return `step` and `data` to what was loaded: a failed handler leaves no half-made change."""
        self.step, data = self._loaded
        self.data = json.loads(data) if data else {}

    async def save(self, reply: str | None) -> None:
        """Write step, data, this update's id and the reply kept for its repetition, and unlock, in one script.

        `reply` is a webhook answer, the JSON of `{"method": ...}`, or None. Raises LockLost: nothing is written then.
        """
        await self._store.save(self, self._ids_with_this(), reply)
        self.saved = True

    async def refuse(self, reply: str | None) -> None:
        """Do as `save`, but leave step and data as they are stored. Raises LockLost."""
        await self._store.save(self, self._ids_with_this(), reply, handled=False)
        self.saved = True

    def _ids_with_this(self) -> str:
        ids = [known for known in self._ids if known != str(self.update_id)]
        return ",".join((*ids[-(SEEN_UPDATES - 1) :], str(self.update_id)))


class _Opening:
    # Cheaper than a generator, which the loop takes note of at every start and end.
    def __init__(self, store: Conversations, *whose: Any) -> None:
        self._store, self._whose = store, whose

    async def __aenter__(self) -> Conversation:
        self._opened = await self._store.begin(*self._whose)
        return self._opened[0]

    async def __aexit__(self, *_: object) -> None:
        await self._store.end(*self._opened)


class Conversations(BaseStorage, BaseEventIsolation):
    """All conversations of this deployment, held in one Redis.

    `lifetime` of an untouched record outlives the 24-hour account. `lock_ttl` is how long a killed process keeps its
    people waiting; it is renewed at a third of it while a handler runs. `patience` bounds the wait for another
    process. `random` returns that many random bytes (fencing tokens).
    """

    def __init__(
        self,
        redis: Client,
        *,
        lifetime: timedelta = timedelta(hours=48),
        lock_ttl: timedelta = timedelta(seconds=10),
        patience: timedelta = timedelta(seconds=25),
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Use this client; it stays the caller's to close."""
        self._redis = redis
        self._scripts = scripts_for(redis)
        self._wakes = Wakes(redis)
        self._lifetime = int(lifetime.total_seconds())
        self._lock_ttl = lock_ttl.total_seconds()
        self._patience = patience.total_seconds()
        # A token only has to differ from every other one, of this process and of others.
        self._tokens = (f"{whose}.{number:x}" for whose in (random(9).hex(),) for number in count())
        self._turns = Turns()
        self._open: dict[Whose, Conversation] = {}
        # Locks of ours that Redis, being away, could not be told to give up.
        self._orphans: dict[Whose, str] = {}

    def open(self, key: StorageKey, update_id: int) -> AbstractAsyncContextManager[Conversation]:
        """Wait for this person's turn, lock, load; unlock at the end (without saving, if `save` was not called).

        Within one process in the order of the calls, across processes one at a time. Entering raises Busy after
        `patience`, redis' ConnectionError or TimeoutError when Redis is down.
        """
        return _Opening(self, key, update_id)

    async def begin(self, key: StorageKey, update_id: int) -> tuple[Conversation, Renewal]:
        """Enter `open`."""
        name = whose(key)
        await self._turns.take(name)
        try:
            conversation = await self._load(key, keys_of(key), next(self._tokens), update_id)
        except BaseException:
            self._turns.give(name)
            raise
        self._open[name] = conversation
        return conversation, Renewal(self._lock_ttl / 3, lambda: self._keep_renewing(conversation))

    async def end(self, opened: Conversation, renewal: Renewal) -> None:
        """Leave `open`."""
        try:
            renewal.cancel()
            del self._open[whose(opened.key)]
            if not opened.saved:
                await self._release(opened.key, opened.keys, opened.token)
        finally:
            self._turns.give(whose(opened.key))

    async def forget(self, bot_id: int, telegram_id: int) -> None:
        """Drop the step and data of a person whose account changed outside their own update (their private chat).

        Takes effect at the next load, even if a handler of theirs is about to save; the seen update ids stay.
        """
        keys = keys_of(StorageKey(bot_id=bot_id, chat_id=telegram_id, user_id=telegram_id))
        await self._scripts.run(scripts.FORGET, (keys.lock, keys.record), (self._lifetime,))

    async def drop_locks(self) -> None:
        """Remove every lock: only for a store of this process alone, before it serves (its predecessor is dead)."""
        async for key in self._redis.scan_iter(match="lock:{*", count=1000):
            await self._redis.delete(key)

    def lock(self, key: StorageKey) -> AbstractAsyncContextManager[None]:  # type: ignore[override]
        """Let the dispatcher in: the receiver has opened the conversation already. Raises LookupError if not."""
        self._conversation(key)
        return _NOTHING

    async def set_state(self, key: StorageKey, state: StateType = None) -> None:
        """Set the open conversation's step."""
        self._conversation(key).step = state.state if isinstance(state, State) else state

    async def get_state(self, key: StorageKey) -> str | None:
        """Return the open conversation's step."""
        return self._conversation(key).step

    async def set_data(self, key: StorageKey, data: Mapping[str, Any]) -> None:
        """Replace the open conversation's data; its values must be JSON's."""
        self._conversation(key).data = dict(data)

    async def get_data(self, key: StorageKey) -> dict[str, Any]:
        """Return a copy of the open conversation's data."""
        return dict(self._conversation(key).data)

    async def close(self) -> None:
        """Close the connections that are not the client's."""
        await self._scripts.close()
        await self._wakes.close()

    async def save(self, conversation: Conversation, ids: str, reply: str | None, *, handled: bool = True) -> None:
        """Run the script *save and unlock*, for the conversation alone. Raises LockLost."""
        keys = conversation.keys
        saved = await self._scripts.run(
            scripts.SAVE_AND_UNLOCK,
            (keys.lock, keys.record, keys.waiters, keys.wake),
            (
                conversation.token,
                self._lifetime,
                _dumps(conversation.data) if handled else "",
                ids,
                conversation.step or "",
                reply or "",
                conversation.pace.dump(),
            ),
        )
        if not saved:
            raise LockLost

    def is_idle(self) -> bool:
        """Tell whether no conversation is open or waited for in this process; nothing is kept in memory then."""
        return not self._turns and not self._open

    def _conversation(self, key: StorageKey) -> Conversation:
        try:
            return self._open[whose(key)]
        except KeyError:
            raise LookupError("no conversation is open for this key: updates come in through the receiver") from None

    async def _load(self, key: StorageKey, keys: PersonKeys, token: str, update_id: int) -> Conversation:
        ttl = int(self._lock_ttl * 1000)
        give_up: float | None = None
        try:
            if self._orphans and (orphan := self._orphans.get(whose(key))):
                # With its own token: should another process have the lock by now, this changes nothing.
                await self._scripts.run(scripts.UNLOCK, (keys.lock, keys.waiters, keys.wake), (orphan,))
                del self._orphans[whose(key)]
            while True:
                locked, *record = await self._scripts.run(
                    scripts.LOCK_AND_LOAD,
                    (keys.lock, keys.record, keys.waiters),
                    (token, ttl, int(give_up is not None)),
                )
                if locked:
                    return Conversation(self, key, keys, token, update_id, record)
                now = asyncio.get_running_loop().time()
                give_up = give_up or now + self._patience
                if now >= give_up:
                    raise Busy
                (left,) = record
                # The holder's lock may end by itself (its process was killed): then nobody pushes, so ask again.
                await self._wakes.wait(keys.wake, min(left / 1000 + 0.01, _ASK_AGAIN, give_up - now))
        except RedisError:
            # Asking a server that is away to unlock would only double the wait: the next try does it.
            self._leave(key, token)
            raise
        except BaseException:
            # A cancellation while the answer was under way may have left us the lock.
            await self._release(key, keys, token)
            raise

    async def _release(self, key: StorageKey, keys: PersonKeys, token: str) -> None:
        try:
            await self._scripts.run(scripts.UNLOCK, (keys.lock, keys.waiters, keys.wake), (token,))
        except RedisError as error:
            self._leave(key, token)
            log.warning("a conversation's lock is left to its time limit: %s", error)

    def _leave(self, key: StorageKey, token: str) -> None:
        # An older token of the same person is the one that may hold the lock: the newer came after it.
        if len(self._orphans) < _MOST_ORPHANS:
            self._orphans.setdefault(whose(key), token)

    async def _keep_renewing(self, conversation: Conversation) -> None:
        while True:
            pause = self._lock_ttl / 3
            try:
                args = (conversation.token, int(self._lock_ttl * 1000))
                if not await self._scripts.run(scripts.RENEW, (conversation.keys.lock,), args):
                    log.warning("a conversation's lock was lost while its handler runs; its result will not be saved")
                    return
            except RedisError as error:
                # Sooner again: the failed call took its time, and the lock has only so much left.
                pause = self._lock_ttl / 10
                log.warning("a conversation's lock could not be renewed: %s", error)
            await asyncio.sleep(pause)
