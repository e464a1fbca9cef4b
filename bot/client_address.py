"""From which address a web page is opened, when proxies of the operator's own stand in front."""

from __future__ import annotations

import ipaddress

from aiohttp import web

# What one household or server usually has: counting each IPv6 address by itself would count nothing.
_IPV6_NETWORK = 64


def client_of(request: web.Request, trusted_proxies: int) -> str:
    """Return the address, of IPv6 the /64 network; "unknown" when there is none to be read.

    Each trusted proxy adds to X-Forwarded-For the address it was called from. So the n-th from the end is what the
    outermost one saw; all before it is what the caller wrote, and anybody can write anything.
    """
    seen = request.remote or ""
    if trusted_proxies:
        hops = [hop.strip() for line in request.headers.getall("X-Forwarded-For", []) for hop in line.split(",")]
        # With fewer, somebody got past a proxy: then nothing but the connection itself is believed.
        seen = hops[-trusted_proxies] if len(hops) >= trusted_proxies else seen
    try:
        address = ipaddress.ip_address(seen.strip("[]"))
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, _IPV6_NETWORK), strict=False))
    return str(address if isinstance(address, ipaddress.IPv4Address) else address.ipv4_mapped)
