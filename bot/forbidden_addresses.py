"""Addresses that nothing configured by an operator has any business at: where a cloud hands out its machines' secrets.

Whoever may write an address that the bot calls could have it read them (SSRF; OWASP, "Server Side Request Forgery").
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_NETWORKS = [
    ip_network(network)
    for network in (
        # "This host", which is the machine itself by another name; broadcast, as multicast, is many machines.
        "0.0.0.0/8",
        "255.255.255.255/32",
        "::/128",
        "224.0.0.0/4",
        "ff00::/8",
        # Link-local: metadata of most clouds, 169.254.169.254 and its neighbours.
        "169.254.0.0/16",
        "fe80::/10",
        # Metadata at addresses of their own: AWS, Google (IPv6), Alibaba, Oracle, Azure's wire server.
        "fd00:ec2::254/128",
        "fd20:ce::254/128",
        "100.100.100.200/32",
        "192.0.0.192/32",
        "168.63.129.16/32",
    )
]
# IPv6 that carries an IPv4 address to its gateway: NAT64 (RFC 6052), and what stands for IPv4 (RFC 4291, 2.5.5.1).
_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")


def is_forbidden(host: str) -> bool:
    """Tell whether `host` is such an address, in whatever clothes; a name is none until it is resolved."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    return any(_within(one) for one in (address, *_inside(address)))


def _within(address: IPv4Address | IPv6Address) -> bool:
    # The zone of a link-local address (fe80::1%eth0) belongs to no network.
    plain = ip_address(int(address)) if address.version == 4 else IPv6Address(int(address))
    return any(plain in network for network in _NETWORKS if network.version == plain.version)


def _inside(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """Return the IPv4 addresses that an IPv6 one stands for."""
    if isinstance(address, IPv4Address):
        return []
    plain = IPv6Address(int(address))
    found = [plain.ipv4_mapped, plain.sixtofour]
    # ::1 is loopback, not 0.0.0.1.
    if plain in _NAT64 or (plain in _COMPATIBLE and int(plain) > 1):
        found.append(IPv4Address(int(plain) & 0xFFFFFFFF))
    return [one for one in found if one is not None]
