"""Everything that remembers, opened in the order it is needed."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from bot.opening import open_database, open_redis
from bot.settings import Settings
from storage.accounts import Accounts
from storage.challenges import Challenges
from storage.clock import Clock
from storage.conversations import Conversations
from storage.database import Database, DatabaseClock
from storage.expiry import Expiry
from storage.keys import Keys
from storage.leases import Leases
from storage.outbox import Outbox
from storage.redis import Client
from storage.sends import Sends


@dataclass(frozen=True)
class Stores:
    """Everything that remembers, by the name handlers and jobs know it under."""

    redis: Client
    database: Database
    clock: Clock
    conversations: Conversations
    leases: Leases
    keys: Keys
    accounts: Accounts
    challenges: Challenges
    outbox: Outbox
    sends: Sends
    expiry: Expiry

    async def redis_answers(self) -> None:
        """Raise what the client raises when Redis does not answer."""
        await self.redis.ping()

    async def blocked(self, telegram_id: int) -> None:
        """Remember that a person takes no messages from the bot."""
        await self.accounts.mark_blocked(telegram_id, blocked=True, now=self.clock.now())


async def open_stores(settings: Settings, clock: Clock | None, stack: AsyncExitStack) -> Stores:
    """Open Redis and the database; `clock` replaces the database's own. Raises StartFailed."""
    redis, embedded = await open_redis(settings, stack)
    database = await open_database(settings, stack)
    now = clock or await _database_clock(database)
    conversations, leases = Conversations(redis), Leases(redis)
    stack.push_async_callback(conversations.close)
    if embedded:
        # Nobody else uses this store: what a killed predecessor held is nobody's.
        await conversations.drop_locks()
        await leases.drop_held()
    limits, keys = settings.limits(), Keys(settings.secret())
    return Stores(
        redis=redis, database=database, clock=now, conversations=conversations, leases=leases, keys=keys,
        accounts=Accounts(database, keys, limits, settings.terms_version),
        challenges=Challenges(database, keys, limits, settings.terms_version),
        outbox=Outbox(database, limits), sends=Sends(database, keys, limits), expiry=Expiry(database, limits),
    )  # fmt: skip


async def _database_clock(database: Database) -> Clock:
    clock = DatabaseClock(database)
    await clock.refresh()
    return clock
