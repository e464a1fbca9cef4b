"""Calls to addresses that an operator wrote: never to a machine's own secrets, and never where a redirect leads.

The address is looked at when the connection is made, after the name was resolved: a name that changes its mind between
a check and the connection (DNS rebinding) gains nothing by it.
"""

from __future__ import annotations

import errno
import socket
from datetime import timedelta
from typing import Any

import aiohttp

from bot.forbidden_addresses import is_forbidden


class ForbiddenAddress(OSError):
    """The name leads to a link-local, metadata or multicast address."""


def guarded_socket(address: tuple[Any, ...]) -> socket.socket:
    """Return a socket for one result of getaddrinfo(3). Raises ForbiddenAddress."""
    family, kind, protocol, _, place = address
    if is_forbidden(str(place[0])):
        raise ForbiddenAddress(errno.EACCES, "this is no address to call")
    return socket.socket(family=family, type=kind, proto=protocol)


def outward_session(timeout: timedelta, *, parallel: int, keep: bool = True) -> aiohttp.ClientSession:
    """Return a session for `parallel` calls at once, each over within `timeout`. Make it inside a running loop.

    `keep`: a connection serves one call after the other. It takes no proxy from the environment, since that would
    resolve names by itself, and keeps no cookie.
    """
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=timeout.total_seconds()),
        connector=aiohttp.TCPConnector(limit=parallel, force_close=not keep, socket_factory=guarded_socket),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )
