"""Which errors mean "not now": the update stays with Telegram and is handled when the other side is back.

Everything else is a bug, and repeating it would only block the person for ever.
"""

from __future__ import annotations

from collections.abc import Iterator

from aiogram.exceptions import (
    ClientDecodeError,
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from redis import exceptions as redis

from storage.errors import Busy, LockLost, StorageAway

_TELEGRAM_AWAY = (
    TelegramNetworkError,
    TelegramServerError,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
    # An answer that is no JSON comes from something in front of Telegram.
    ClientDecodeError,
    OSError,
)
# The Bot API's own words. The person has deleted the message, pressed twice, or the answer came too late.
_GONE = ("message to edit not found", "message can't be edited")
_HARMLESS = (
    "query is too old",
    "message is not modified",
    *_GONE,
    "message to delete not found",
    "message can't be deleted",
)


def storage_is_away(error: BaseException) -> bool:
    """Tell whether SQL or Redis could not be reached, or gave the work up for a reason that passes."""
    return any(_is_away(cause) for cause in _causes(error))


def reason(error: BaseException) -> str:
    """Return why storage is away, in one line without a statement's parameters (they are personal data)."""
    cause = next(cause for cause in _causes(error) if _is_away(cause))
    if isinstance(cause, StorageAway):
        cause = cause.orig
    return f"{type(cause).__name__}: {' '.join(str(cause).split())}"


def telegram_is_away(error: BaseException) -> bool:
    """Tell whether a Bot API call failed for a reason that passes: network, 5xx, 429, a revoked token."""
    return isinstance(error, _TELEGRAM_AWAY) and not isinstance(error, TelegramEntityTooLarge)


def lock_is_elsewhere(error: BaseException) -> bool:
    """Tell whether another process has, or took, the person's lock."""
    return isinstance(error, Busy | LockLost)


def is_harmless(error: BaseException) -> bool:
    """Tell whether a Bot API call was refused because it is pointless by now."""
    return isinstance(error, TelegramBadRequest) and any(words in error.message for words in _HARMLESS)


def message_is_gone(error: BaseException) -> bool:
    """Tell whether an edit failed because there is nothing left to edit."""
    return isinstance(error, TelegramBadRequest) and any(words in error.message for words in _GONE)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def _is_away(error: BaseException) -> bool:
    if isinstance(error, redis.RedisError):
        # Refusals too: a full disk or memory, a replica that became read-only. A value of a wrong type is our mistake.
        return not isinstance(error, redis.DataError)
    # TimeoutError of Python is an OSError; a connection that was refused or cut is one too.
    return isinstance(error, StorageAway | redis.RedisClusterException | OSError)
