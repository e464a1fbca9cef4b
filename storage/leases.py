"""Who does a job, and what was done already: small agreements between replicas, kept in Redis."""

from __future__ import annotations

from datetime import timedelta

from storage.redis import Client

# KEYS lease; ARGV owner, ttl (ms).
_HOLD = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

# KEYS lease; ARGV owner.
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class Leases:
    """Leases and once-per-period marks of this deployment. Every call raises redis' errors when Redis is down."""

    def __init__(self, redis: Client) -> None:
        """Use this client; it stays the caller's to close."""
        self._redis = redis
        self._hold = redis.register_script(_HOLD)
        self._release = redis.register_script(_RELEASE)

    async def once(self, name: str, period: timedelta) -> bool:
        """Tell whether this call is the first of this name within `period`, which starts with that first call.

        If the answer of the first call is lost on the way, nobody gets a yes in this period.
        """
        return bool(await self._redis.set(f"once:{name}", "1", nx=True, px=period))

    async def hold(self, name: str, owner: str, ttl: timedelta) -> bool:
        """Take the lease for `ttl`, or prolong it when `owner` has it; False while somebody else has it."""
        return bool(await self._hold(keys=[f"held:{name}"], args=[owner, int(ttl.total_seconds() * 1000)]))

    async def release(self, name: str, owner: str) -> None:
        """Give the lease back, if `owner` still has it."""
        await self._release(keys=[f"held:{name}"], args=[owner])

    async def drop_held(self) -> None:
        """Remove every held lease: only for a store of this process alone, before it serves (the holder is dead)."""
        async for key in self._redis.scan_iter(match="held:*", count=1000):
            await self._redis.delete(key)
