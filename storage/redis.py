"""Connections to Redis (or Valkey): pools that wait instead of raising, short retries, text answers."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.maint_notifications import MaintNotificationsConfig

from storage.redis_cluster import Cluster
from storage.redis_connection import Address
from storage.redis_sentinel import Master, MasterClient, MasterPool

Client = Redis | Cluster

# Seconds. A server that is silent for longer is down: the update stays with Telegram, which asks again.
ANSWER_WITHIN = 3.0
CONNECT_WITHIN = 3.0
# Just enough to replace pooled connections that a restarted server has cut; longer outages are Telegram's queue's job.
_RETRIES = 2
# A feature of one vendor's cloud; its handler belongs to one pool and would travel into `waiting_twin`.
_NO_MAINTENANCE = MaintNotificationsConfig(enabled=False)
_CLUSTER = ("redis+cluster", "rediss+cluster")
_SENTINEL = ("redis+sentinel", "rediss+sentinel")
_PORT = 6379
_SENTINEL_PORT = 26379
# Seconds. There are others to ask, and an update waits.
_SENTINEL_WITHIN = 0.5
# Per node of a cluster; redis-py raises beyond it and opens none before it is needed.
_MOST_PER_NODE = 1000


def connect_any(url: str) -> Client:
    """Return a client for what an operator may write. Raises ValueError.

    See `connect`, `connect_cluster` and `connect_sentinel`.
    """
    scheme = urlsplit(url).scheme
    if scheme in _SENTINEL:
        return connect_sentinel(url)
    return connect_cluster(url) if scheme in _CLUSTER else connect(url)


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
        socket_timeout=ANSWER_WITHIN,
        socket_connect_timeout=CONNECT_WITHIN,
        retry=_retry(_RETRIES),
        maint_notifications_config=_NO_MAINTENANCE,
    )
    return Redis.from_pool(pool)


def connect_cluster(url: str) -> Cluster:
    """Return a client for `redis+cluster://[user:password@]host[:port],...`: some of the nodes tell of the others.

    `rediss+cluster://` speaks TLS, with redis-py's options in the query. Nothing is opened before the first command.
    Answers are text. Raises ValueError for what is not of this form.
    """
    parts = urlsplit(url)
    tls = parts.scheme.startswith("rediss")
    if parts.scheme not in _CLUSTER or parts.path not in ("", "/") or (parts.query and not tls):
        raise ValueError("a cluster is written redis+cluster://host:port,host:port")
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    nodes = [_node(place) for place in hosts.split(",")]
    other = {"ssl": True, **_options(f"rediss://host/?{parts.query}")} if tls else {}
    return _cluster(nodes, unquote(user) or None, unquote(password) or None, **other)


def connect_sentinel(url: str) -> Redis:
    """Return a client for `redis+sentinel://[user:password@]host[:port],.../<master>[/<db>]`: hosts are sentinels.

    The login is the servers'; the sentinels' own is `?sentinel_username=...&sentinel_password=...`. With
    `rediss+sentinel://` both speak TLS, with redis-py's options in the query. Connections and errors as of `connect`;
    which server is the master is asked for each connection. Raises ValueError for what is not of this form.
    """
    parts = urlsplit(url)
    name, _, db = parts.path.lstrip("/").partition("/")
    if parts.scheme not in _SENTINEL or not name or (db and not db.isdecimal()):
        raise ValueError("sentinels are written redis+sentinel://host:port,host:port/master/0")
    login, _, hosts = parts.netloc.rpartition("@")
    places = [_node(place, _SENTINEL_PORT) for place in hosts.split(",")]
    tls = parts.scheme.startswith("rediss")
    given = _options(f"{'rediss' if tls else 'redis'}://{login}{'@' if login else ''}host/{db or 0}?{parts.query}")
    own = {name: given.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in given}
    watching: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": _SENTINEL_WITHIN,
        "socket_connect_timeout": _SENTINEL_WITHIN,
        "retry": _retry(0),
        "maint_notifications_config": _NO_MAINTENANCE,
        **({"ssl": True} if tls else {}),
        **{name: value for name, value in given.items() if name.startswith("ssl_")},
        **own,
    }
    pool = MasterPool(
        Master(unquote(name), places, watching),
        tls=tls,
        max_connections=50,
        timeout=20,
        decode_responses=True,
        socket_timeout=ANSWER_WITHIN,
        socket_connect_timeout=CONNECT_WITHIN,
        retry=_retry(_RETRIES),
        maint_notifications_config=_NO_MAINTENANCE,
        **given,
    )
    return MasterClient.from_pool(pool)


def waiting_twin(client: Client, connections: int) -> Client:
    """Return a client of the same server for blocking commands, so that waiting never starves the ordinary pool.

    It has its own `connections`, at most so many (of a cluster: per node, and beyond it raises instead of waiting), no
    read deadline of its own (the command brings one) and no retry.
    """
    if isinstance(client, Cluster):
        known = client.connection_kwargs
        nodes = [(str(node.host), int(node.port)) for node in client.startup_nodes]
        return _cluster(
            nodes,
            known["username"],
            known["password"],
            socket_timeout=None,
            retry=_retry(0),
            max_connections=connections,
        )
    pool = client.connection_pool
    options = {**pool.connection_kwargs, "socket_timeout": None, "retry": _retry(0)}
    options |= {"max_connections": connections, "timeout": None, "maint_notifications_config": _NO_MAINTENANCE}
    if isinstance(pool, MasterPool):
        del options["connection_pool"]
        return Redis.from_pool(MasterPool(pool.master, tls=pool.tls, **options))
    return Redis.from_pool(BlockingConnectionPool(connection_class=pool.connection_class, **options))


def master_of(client: Redis) -> Master | None:
    """Return what tells where the server is by now, None where that is always the same."""
    pool = client.connection_pool
    return pool.master if isinstance(pool, MasterPool) else None


def address_of(client: Redis) -> Address:
    """Return where `client` connects to and what it says first, so that others may do the same.

    Where a master has to be found first, see `master_of`, the host stands for nothing.
    """
    # A connection that is never opened knows what redis-py made of the address and of its query's options.
    sample: Any = client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
    greeting: list[tuple[str, ...]] = []
    if sample.password is not None:
        greeting.append(("AUTH", *((sample.username,) if sample.username else ()), sample.password))
    if sample.db:
        greeting.append(("SELECT", str(sample.db)))
    if sample.client_name:
        greeting.append(("CLIENT", "SETNAME", sample.client_name))
    return Address(
        path=getattr(sample, "path", None),
        host=getattr(sample, "host", ""),
        port=int(getattr(sample, "port", 0)),
        tls=sample.ssl_context.get() if isinstance(sample, SSLConnection) else None,
        keep_alive=getattr(sample, "socket_keepalive_options", {}),
        greeting=tuple(greeting),
    )


def _node(place: str, port: int = _PORT) -> tuple[str, int]:
    parts = urlsplit(f"//{place}")
    if not parts.hostname or parts.path or parts.query:
        raise ValueError("a cluster's node, or a sentinel, is written host:port")
    return parts.hostname, parts.port or port


def _options(url: str) -> dict[str, Any]:
    """Return what redis-py makes of an address, without the place and the kind of connection."""
    found: dict[str, Any] = dict(parse_url(url))
    for name in ("host", "port", "path", "connection_class"):
        found.pop(name, None)
    return found


def _cluster(nodes: list[tuple[str, int]], user: str | None, password: str | None, **other: Any) -> Cluster:
    options: dict[str, Any] = {
        "max_connections": _MOST_PER_NODE,
        "decode_responses": True,
        "socket_timeout": ANSWER_WITHIN,
        "socket_connect_timeout": CONNECT_WITHIN,
        "retry": _retry(_RETRIES),
        "maint_notifications_config": _NO_MAINTENANCE,
        # Learn of each moved slot by itself: redis-py would close every connection at each fifth, commands or not.
        "reinitialize_steps": 0,
    }
    places = [ClusterNode(host, port) for host, port in nodes]
    return Cluster(startup_nodes=places, username=user, password=password, **(options | other))


def _retry(times: int) -> Retry:
    return Retry(ExponentialBackoff(cap=0.2, base=0.02), times)
