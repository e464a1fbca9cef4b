"""How often one address may open the pages that anybody can reach: a sliding window, kept in Redis."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from storage.limits import Window
from storage.redis import Client

# KEYS the address's openings; ARGV period (ms), count, a name for this one.
# Returns 0, or in how many ms the next one is let in. What was refused does not count.
_OPEN = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  return math.max(1, redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] + ARGV[1] - now)
end
redis.call('ZADD', KEYS[1], now, ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 0
"""


class WebLimit:
    """Counts over all replicas. Raises redis' errors when Redis is down."""

    def __init__(self, redis: Client, window: Window, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        """Use this client; it stays the caller's to close."""
        self._window = window
        self._random = random
        self._script = redis.register_script(_OPEN)

    async def wait(self, who: str) -> float:
        """Count one opening by `who`; return 0, or the seconds to wait when it is one too many."""
        period = int(self._window.period.total_seconds() * 1000)
        milliseconds = await self._script(
            keys=[f"web:{who}"], args=[period, self._window.count, self._random(12).hex()]
        )
        return int(milliseconds) / 1000
