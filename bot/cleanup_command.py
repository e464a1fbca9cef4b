"""`python -m bot cleanup`: what the bot does by the clock, done at once or only told; beside serving processes too.

Whom a serving process has in hand at that moment is left to it, so that nobody is reminded or deleted twice.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from redis.exceptions import RedisError

from bot.cleanup import Cleanup
from bot.event_commands import opened
from bot.failures import StartFailed
from bot.opening import open_redis
from bot.practice.server import PRACTICE_TOKEN
from bot.progress_line import ProgressLine
from bot.settings import Settings
from storage.conversations import Conversations
from storage.database import DATABASE_ERRORS, DatabaseClock
from storage.events import Events
from storage.expiry import Due, Expiry
from storage.redis import connect_any


async def run(settings: Settings, *, dry_run: bool) -> None:
    """Clean up and say what was done, or say what would be. Raises StartFailed."""
    try:
        async with opened(settings) as database:
            clock = DatabaseClock(database)
            await clock.refresh()
            expiry = Expiry(database, settings.limits(), Events(database, told=settings.crm_webhook_url is not None))
            if dry_run:
                await _tell(expiry, clock.now(), settings.cleanup_batch)
            else:
                await _clean_up(settings, expiry, clock.now())
    except DATABASE_ERRORS as error:
        raise StartFailed(f"DATABASE_URL: the database cannot be used ({error})") from error
    except RedisError as error:
        raise StartFailed(
            f"REDIS_URL: the server cannot be used any more ({error}); the rest is left as it is"
        ) from error


async def _tell(expiry: Expiry, now: datetime, batch: int) -> None:
    reminders, expired = await expiry.outlook(now)
    print(f"would remind {_people(reminders, batch, 'ends')}")
    print(f"would delete {_people(expired, batch, 'ended')}")
    if expired.count:
        print(f"would tell {expired.count - expired.blocked:,} of the deleted; the others have blocked the bot")


def _people(due: Due, batch: int, verb: str) -> str:
    if due.oldest is None:
        return "nobody"
    ends = due.oldest.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    batches = -(-due.count // batch)
    return f"{due.count:,} accounts, in {batches:,} batches or more; the oldest {verb} at {ends}"


async def _clean_up(settings: Settings, expiry: Expiry, now: datetime) -> None:
    async with _forgetting(settings) as forget:
        line = ProgressLine(sys.stdout)
        # Who serves looks into the outbox each second, and else at the next start.
        cleanup = Cleanup(
            expiry,
            forget,
            wake=lambda: None,
            batch=settings.cleanup_batch,
            told=lambda progress: line.show(progress, progress.batches),
        )
        progress = await cleanup.run(now)
        line.end(f"done: {progress}" if progress.batches else "nothing was due")


@asynccontextmanager
async def _forgetting(settings: Settings) -> AsyncIterator[Callable[[int], Awaitable[object]]]:
    """Yield what drops the conversation of who is deleted, in the store that a serving process uses too."""
    token = settings.bot_token.get_secret_value() if settings.bot_token else PRACTICE_TOKEN
    async with AsyncExitStack() as stack:
        socket = settings.data_dir.absolute() / "valkey" / "valkey.sock"
        if settings.redis_url is None and await _answers(f"unix://{socket}"):
            # The embedded one, of the process that serves.
            client = connect_any(f"unix://{socket}")
            stack.push_async_callback(client.aclose)
        else:
            client, _ = await open_redis(settings, stack)
        conversations = Conversations(client)
        stack.push_async_callback(conversations.close)
        yield partial(conversations.forget, int(token.partition(":")[0]))


async def _answers(url: str) -> bool:
    client = connect_any(url)
    try:
        await client.ping()
    except (RedisError, OSError):
        return False
    finally:
        await client.aclose()
    return True
