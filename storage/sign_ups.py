"""What a sign-up with a provider needs between its pages, kept in Redis for ten minutes: states, and who came back.

Each name is random, 192 bits, and stands in one key without a hash tag; a state is given out once. Nothing is bound
here: see `storage/identities.py`.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from storage.identities import Identity
from storage.redis import Client


@dataclass(frozen=True)
class Attempt:
    """One click on "continue with ...". `browser` is the hash of what the browser has to show when it comes back.

    `nonce` and `verifier` are OpenID Connect's and PKCE's (RFC 7636). `ticket`: what the page was opened with.
    """

    provider: str
    telegram_id: int
    language: str
    browser: str
    nonce: str
    verifier: str
    ticket: str


@dataclass(frozen=True)
class Arrival:
    """Somebody whom a provider knows, on their way back to the chat of `telegram_id`."""

    telegram_id: int
    identity: Identity


class ForeignArrival(Exception):
    """It was made for somebody else's chat. It is destroyed."""


class SignUps:
    """Every call raises redis' errors when Redis is down. `random` returns so many random bytes."""

    def __init__(
        self, redis: Client, lifetime: timedelta, random: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        """Use this client; it stays the caller's to close."""
        self._redis = redis
        self._lifetime = lifetime
        self._random = random

    def name(self, size: int = 24) -> str:
        """Return a random name of `size` bytes, in base64url."""
        return base64.urlsafe_b64encode(self._random(size)).rstrip(b"=").decode()

    async def begin(self, attempt: Attempt, now: datetime) -> str:
        """Keep an attempt; return its state, good once."""
        return await self._keep("state", asdict(attempt), now)

    async def take(self, state: str, now: datetime) -> Attempt | None:
        """Return the attempt of a state, to the first who asks for it; None when it is used, too old, or nobody's."""
        kept = await self._redis.getdel(_key("state", state))
        found = _fresh(kept, now)
        return None if found is None else Attempt(**found)

    async def arrive(self, arrival: Arrival, now: datetime) -> str:
        """Keep who came back; return the name that brings them to the chat."""
        return await self._keep("once", asdict(arrival), now)

    async def arrived(self, name: str, telegram_id: int, now: datetime) -> Arrival | None:
        """Return who came back under this name, None when it is used or too old.

        Raises ForeignArrival when it was made for another Telegram id; then it is destroyed.
        """
        found = _fresh(await self._redis.get(_key("once", name)), now)
        if found is None:
            return None
        if found["telegram_id"] != telegram_id:
            await self.finish(name)
            raise ForeignArrival
        return Arrival(telegram_id, Identity(**found["identity"]))

    async def finish(self, name: str) -> None:
        """Forget who came back under this name."""
        await self._redis.delete(_key("once", name))

    async def _keep(self, kind: str, what: dict[str, Any], now: datetime) -> str:
        name = self.name()
        until = (now + self._lifetime).timestamp()
        await self._redis.set(_key(kind, name), json.dumps({**what, "until": until}), px=self._lifetime)
        return name


def _key(kind: str, name: str) -> str:
    return f"oauth:{kind}:{name}"


def _fresh(kept: Any, now: datetime) -> dict[str, Any] | None:
    if kept is None:
        return None
    found: dict[str, Any] = json.loads(kept)
    # Redis' clock may be another one than ours.
    return found if found.pop("until") > now.timestamp() else None
