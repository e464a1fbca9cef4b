"""Who may use the practice page: this machine's own browser, and no page of another site inside it."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def why_not(request: web.Request, listens_on: str) -> str | None:
    """Return why a request is refused, None when it is not. `listens_on`: HTTP_HOST.

    The name in Host is looked at since a foreign name may be made to lead here (DNS rebinding). A foreign page sends
    its own Origin, and cannot add a header of its own to a POST without being asked first, which is never answered.
    """
    host = request.headers.get("Host", "")
    if not _may_be_called(host, listens_on):
        return "open this page by the address that was printed at the start"
    origin = request.headers.get("Origin")
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        return "another site must not use this page"
    if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site") and not _is_visit(request):
        return "another site must not use this page"
    if request.method == "POST" and request.headers.get("X-Practice") != "1":
        return "the header X-Practice: 1 is missing"
    return None


def is_loopback(host: str) -> bool:
    """Tell whether a name or address, without brackets, is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_everywhere(host: str) -> bool:
    """Tell whether listening on this address is listening on all of them."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def address_of(host: str, port: int) -> str:
    """Return host and port by which this machine's browser reaches what listens there."""
    shown = "127.0.0.1" if is_everywhere(host) else host
    return f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}"


def _is_visit(request: web.Request) -> bool:
    """Tell whether somebody followed a link to the page, which may stand anywhere."""
    return request.headers.get("Sec-Fetch-Mode") == "navigate" and request.path == "/"


def _may_be_called(host: str, listens_on: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if is_loopback(name) or name == listens_on.lower():
        return True
    if not is_everywhere(listens_on):
        return False
    try:
        # An address in digits is nobody's name, so nobody could have made it lead here.
        ip_address(name)
    except ValueError:
        return False
    return True
