"""Ports for servers that are told where to listen, are started a second later, and come back there after a death.

Not any free one of the kernel's: it gives those away again, to whoever connects or asks for any, while a server of ours
is not there. These lie below its range (Linux, `ip_local_port_range`: from 32768 on), each worker of a run has its own.
"""

from __future__ import annotations

import os
import socket

_FIRST, _LANE, _LANES = 10_000, 2_500, 9
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw-1").removeprefix("gw")) + 1
_begin = _FIRST + _LANE * (_worker % _LANES)
# A process that is started by a test counts in the same lane, from elsewhere on.
_next = os.getpid() * 37


def free_port() -> int:
    """Return a port nobody listens on; it is given again only after all others of the lane."""
    global _next
    for _ in range(_LANE):
        _next += 1
        port = _begin + _next % _LANE
        with socket.socket() as probe:
            # A server that has just ended has connections that linger: it may be there again, and so may another.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")
