"""redis-py's client of a cluster, with what its callers would otherwise have to know about it."""

from __future__ import annotations

from typing import Any

from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException


class Cluster(RedisCluster):
    """Raises RedisError alone when the cluster, or the node that is asked, cannot be reached or gives up."""

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command where its key is; raises redis' errors."""
        try:
            # redis-py 8.1 sends the first commands of a client that knows no node yet to any of them.
            await self.initialize()
            return await super().execute_command(*args, **kwargs)
        except RedisClusterException as error:
            raise RedisConnectionError(f"the cluster cannot be used: {error}") from error
        except AttributeError as error:
            # When one command hears that the cluster is down, redis-py closes the connections of all; whoever is just
            # opening one finds its half gone. To take that for a bug would acknowledge an update that was not handled.
            raise RedisConnectionError("the connection was closed while it was opened") from error
