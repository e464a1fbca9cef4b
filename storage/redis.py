"""Connections to Redis (or Valkey): pools that wait instead of raising, short retries, text answers."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.maint_notifications import MaintNotificationsConfig

# Seconds. A server that is silent for longer is down: the update stays with Telegram, which asks again.
_ANSWER_WITHIN = 3.0
_CONNECT_WITHIN = 3.0
# Just enough to replace pooled connections that a restarted server has cut; longer outages are Telegram's queue's job.
_RETRIES = 2
# A feature of one vendor's cloud; its handler belongs to one pool and would travel into `waiting_twin`.
_NO_MAINTENANCE = MaintNotificationsConfig(enabled=False)


def connect(url: str) -> Redis:
    """Return a client for `redis://`, `rediss://` or `unix://<path>`; nothing is opened before the first command.

    At most 50 connections; a caller that finds all of them busy waits up to 20 s (redis-py's default pool raises at
    once). Answers are text. Raises ValueError for another scheme.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=50,
        timeout=20,
        decode_responses=True,
        socket_timeout=_ANSWER_WITHIN,
        socket_connect_timeout=_CONNECT_WITHIN,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), _RETRIES),
        maint_notifications_config=_NO_MAINTENANCE,
    )
    return Redis.from_pool(pool)


def waiting_twin(client: Redis, connections: int) -> Redis:
    """Return a client of the same server for blocking commands, so that waiting never starves the ordinary pool.

    It has its own pool of at most `connections`, no read deadline of its own (the command brings one) and no retry.
    """
    pool = client.connection_pool
    options = {**pool.connection_kwargs, "socket_timeout": None, "retry": Retry(ExponentialBackoff(), 0)}
    return Redis.from_pool(
        BlockingConnectionPool(
            connection_class=pool.connection_class,
            max_connections=connections,
            timeout=None,
            maint_notifications_config=_NO_MAINTENANCE,
            **options,
        )
    )
