"""Everything that remembers, opened in the order it is needed."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from bot.opening import open_database, open_redis
from bot.partner_stores import PartnerStores, open_partner_stores
from bot.settings import Settings
from storage.accounts import Accounts
from storage.challenges import Challenges
from storage.clock import Clock
from storage.conversations import Conversations
from storage.database import Database, DatabaseClock
from storage.events import Events
from storage.expiry import Expiry
from storage.exports import Exports
from storage.invitations import Invitations
from storage.keys import Keys
from storage.leases import Leases
from storage.outbox import Outbox
from storage.redis import Client
from storage.sending import Sending
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
    outbox: Outbox
    expiry: Expiry
    exports: Exports
    events: Events
    partners: PartnerStores
    invitations: Invitations

    async def redis_answers(self) -> None:
        """Raise what the client raises when Redis does not answer."""
        await self.redis.ping()

    async def blocked(self, telegram_id: int) -> None:
        """Remember that a person takes no messages from the bot."""
        await self.accounts.mark_blocked(telegram_id, blocked=True, now=self.clock.now())


@dataclass(frozen=True)
class Engine:
    """Proving numbers: what people ask for, and what the courier and the vendors make of it."""

    challenges: Challenges
    sends: Sends


def open_engine(settings: Settings, stores: Stores, sending: Sending) -> Engine:
    """Return the engine on these stores; `sending` is what the operator decided about it."""
    database, keys, limits = stores.database, stores.keys, settings.limits()
    return Engine(
        Challenges(database, keys, limits, settings.terms_version, sending, stores.events),
        Sends(database, keys, limits, sending),
    )


async def open_stores(settings: Settings, clock: Clock | None, stack: AsyncExitStack) -> Stores:
    """Open Redis and the database; `clock` replaces the database's own. Raises StartFailed."""
    redis, embedded = await open_redis(settings, stack)
    database = await open_database(settings, stack, clock)
    now = clock or await _database_clock(database)
    conversations, leases = Conversations(redis), Leases(redis)
    stack.push_async_callback(conversations.close)
    if embedded:
        # Nobody else uses this store: what a killed predecessor held is nobody's.
        await conversations.drop_locks()
        await leases.drop_held()
    limits, keys = settings.limits(), Keys(settings.secret(), settings.previous_secret())
    events = Events(database, told=settings.crm_webhook_url is not None)
    partners = open_partner_stores(database, keys, limits, settings.time_zone)
    return Stores(
        redis=redis, database=database, clock=now, conversations=conversations, leases=leases, keys=keys,
        accounts=Accounts(database, keys, limits, settings.terms_version, events),
        outbox=Outbox(database, limits), expiry=Expiry(database, limits, events),
        exports=Exports(database, keys), events=events,
        partners=partners,
        invitations=Invitations(database, keys, limits, settings.terms_version, partners.attribution, events),
    )  # fmt: skip


async def _database_clock(database: Database) -> Clock:
    clock = DatabaseClock(database)
    await clock.refresh()
    return clock
